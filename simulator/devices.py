"""Simulated meters: a register map that refreshes as a meter's does, and remembers every poll."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.simulator import DataType, SimData, SimDevice

from simulator.faults import Fault, Faults, Wrong
from simulator.models import FILLER, Registers

if TYPE_CHECKING:
    from collections.abc import Callable

BOUNDARY_MS = 2_000
"""A poll so soon before a fault may have been cut short by it."""
DOUBTED_POLLS = 2
"""So many polls after a fault may be the master's way of finding out that it is over."""
ANY_UNIT = 0

_REFUSALS = {
    "busy": ExcCodes.DEVICE_BUSY,
    "failure": ExcCodes.DEVICE_FAILURE,
    "function": ExcCodes.ILLEGAL_FUNCTION,
    "value": ExcCodes.ILLEGAL_VALUE,
}


class Poll(NamedTuple):
    """One refresh of a meter's registers, which is one poll by the agent."""

    device: str
    polled_at_ms: int
    wrong: Wrong | None = None
    """The fault under which its values were made."""
    is_certain: bool = True
    """Whether its readings must arrive: a fault may have kept the answer from the agent."""


@dataclass
class Journal:
    """Every poll since the beginning, in the order in which they happened."""

    polls: list[Poll] = field(default_factory=list)
    readings: int = 0
    """Readings that these polls certainly made."""
    spoiled: int = 0
    """Answers that a fault swallowed, garbled or refused: none of them made a reading."""

    def note(self, poll: Poll, readings: int) -> int:
        """Add a poll that made so many readings; returns its position."""
        self.polls.append(poll)
        if poll.is_certain:
            self.readings += readings
        return len(self.polls) - 1

    def doubt(self, position: int, readings: int) -> None:
        """Note that what a poll made may not have reached the agent."""
        poll = self.polls[position]
        if poll.is_certain:
            self.polls[position] = poll._replace(is_certain=False)
            self.readings -= readings


def now_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


class Meter:
    """One device behind a unit id. Reads only; answers only its model's function code."""

    def __init__(
        self,
        device: str,
        model: Registers,
        journal: Journal,
        clock: Callable[[], int] = now_ms,
        *,
        faults: Faults | None = None,
        sector: str = "",
    ) -> None:
        self.device = device
        self.model = model
        self.sector = sector
        self.faults = faults or Faults()
        self.fault: Fault | None = None
        """What the answer that is about to be sent suffers from."""
        self._journal = journal
        self._clock = clock
        self._asked: set[int] = set()
        self._latched_at_ms: int | None = None
        self._wrong: Wrong | None = None
        self._position, self._readings = 0, 0
        self._doubted = 0

    def sim_device(self, unit: int) -> SimDevice:
        """This meter as pymodbus' server wants it, under a unit id."""
        registers = SimData(self.model.first, values=[FILLER] * self.model.size, datatype=DataType.REGISTERS)
        return SimDevice(unit, [registers], action=self._answer)

    def latch(self, fault: Fault | None = None, address: int = 0) -> int:
        """Refresh the registers where a poll begins; returns the Unix time in ms that they belong to.

        A poll begins where a register is asked for again: however long its requests take (a machine may stall amid
        them), and however soon the next one comes. `address`: of the first register that is asked for.
        """
        now = self._clock()
        at = self._latched_at_ms
        is_slow = fault is not None and fault.kind == "slow"
        if at is None or address in self._asked:
            self._asked.clear()
            self._latched_at_ms = at = now
            self._wrong = fault.wrong if fault else None
            self._readings = self.model.count(self.device, at, self._wrong, self.sector)
            poll = Poll(self.device, at, self._wrong, is_certain=not (is_slow or self._doubted))
            self._position = self._journal.note(poll, self._readings)
            self._doubted = max(0, self._doubted - 1)
        self._asked.add(address)
        return at

    async def _answer(
        self,
        function_code: int,
        start_address: int,
        address: int,
        _count: int,
        registers: list[int],
        values_to_write: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        self.fault = fault = self.faults.of(self.device)
        if function_code != self.model.function_code or values_to_write is not None:
            return ExcCodes.ILLEGAL_FUNCTION
        if fault is not None and fault.kind in ("silent", "garbage", "refuse"):
            self._spoil()
            if fault.kind == "refuse":
                return _REFUSALS[self.faults.choose(fault)]
            fresh = self.model.registers(self.device, self._clock(), sector=self.sector)
        else:
            fresh = self.model.registers(self.device, self.latch(fault, address), self._wrong, self.sector)
        offset = self.model.first - start_address
        registers[offset : offset + len(fresh)] = fresh
        return None

    def _spoil(self) -> None:
        """Note an answer that makes no reading; what was polled around it is in doubt."""
        self._journal.spoiled += 1
        self._doubted = DOUBTED_POLLS
        if self._latched_at_ms is not None and self._clock() - self._latched_at_ms < BOUNDARY_MS:
            self._journal.doubt(self._position, self._readings)
        self._latched_at_ms = None


async def _nobody(*_request: object) -> ExcCodes | None:
    raise NoSuchIdException("no meter has this unit id")


def nobody() -> SimDevice:
    """Who stands for all unit ids that no meter has: the server then keeps silent, as a line does."""
    return SimDevice(ANY_UNIT, [SimData(0, count=0x10000, datatype=DataType.REGISTERS)], action=_nobody)
