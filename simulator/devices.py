"""Simulated meters: a register map that refreshes as a meter's does, and remembers every poll."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.simulator import DataType, SimData, SimDevice

from simulator.models import FILLER, Model

if TYPE_CHECKING:
    from collections.abc import Callable

REFRESH_MS = 300
"""A meter computes its registers anew at most this often; requests in between see the same values."""
ANY_UNIT = 0


class Poll(NamedTuple):
    """One refresh of a meter's registers, which is one poll by the agent."""

    device: str
    polled_at_ms: int


@dataclass
class Journal:
    """Every poll since the beginning, in the order in which they happened."""

    polls: list[Poll] = field(default_factory=list)
    readings: int = 0
    """Readings that these polls made."""

    def note(self, poll: Poll, readings: int) -> None:
        """Add a poll that made so many readings."""
        self.polls.append(poll)
        self.readings += readings


def now_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


class Meter:
    """One device behind a unit id. Reads only; answers only its model's function code."""

    def __init__(self, device: str, model: Model, journal: Journal, clock: Callable[[], int] = now_ms) -> None:
        self.device = device
        self.model = model
        self._journal = journal
        self._clock = clock
        self._latched_at_ms: int | None = None

    def sim_device(self, unit: int) -> SimDevice:
        """This meter as pymodbus' server wants it, under a unit id."""
        registers = SimData(self.model.first, values=[FILLER] * self.model.size, datatype=DataType.REGISTERS)
        return SimDevice(unit, [registers], action=self._answer)

    def latch(self) -> int:
        """Refresh the registers where that is due; returns the Unix time in ms that they belong to."""
        now = self._clock()
        at = self._latched_at_ms
        if at is None or not 0 <= now - at < REFRESH_MS:
            self._latched_at_ms = at = now
            self._journal.note(Poll(self.device, at), len(self.model.addresses))
        return at

    async def _answer(
        self,
        function_code: int,
        start_address: int,
        _address: int,
        _count: int,
        registers: list[int],
        values_to_write: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if function_code != self.model.function_code or values_to_write is not None:
            return ExcCodes.ILLEGAL_FUNCTION
        fresh = self.model.registers(self.device, self.latch())
        offset = self.model.first - start_address
        registers[offset : offset + len(fresh)] = fresh
        return None


async def _nobody(*_request: object) -> ExcCodes | None:
    raise NoSuchIdException("no meter has this unit id")


def nobody() -> SimDevice:
    """Who stands for all unit ids that no meter has: the server then keeps silent, as a line does."""
    return SimDevice(ANY_UNIT, [SimData(0, count=0x10000, datatype=DataType.REGISTERS)], action=_nobody)
