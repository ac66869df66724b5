"""An open M-Bus: its meters share one line and take turns on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.mbus.driver import MbusPlan
from edge.mbus.line import Line
from edge.mbus.reader import MeterReader
from edge.turns import Turns

if TYPE_CHECKING:
    from edge.interface import BusPlan, Measured, Traffic
    from edge.mbus.driver import MbusTarget


class MbusBus:
    """An open M-Bus."""

    def __init__(self, plan: MbusPlan) -> None:
        self._plan = plan
        self._line = Line(plan.line, plan.settings, plan.timeout_s)
        self._turns = Turns(plan.devices, self._reader)

    async def read(self, device: str) -> Measured:
        """Read all quantities of one meter.

        Raises: ParkedError, without a word on the line, where it has not answered for a while and its next probe is
        not due; TransientError where it does not answer, or not whole; PermanentError where it is not what its
        profile says.
        """
        return await self._turns.ask(device, lambda _, reader: reader.read(self._line))

    def traffic(self, device: str) -> Traffic:
        """Return how often a meter was asked, and how often in vain."""
        return self._turns.reader(device).traffic

    def parked_s(self, device: str) -> float | None:
        """Return the seconds until a parked meter is asked again; None where it is not parked."""
        return self._turns.parked_s(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with another plan of the same line; meters that did not change keep their readers."""
        if not isinstance(plan, MbusPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        self._plan = plan
        self._turns.follow(plan.devices, self._reader)

    async def close(self) -> None:
        """Close the port or connection."""
        self._line.close()

    def _reader(self, device: MbusTarget) -> MeterReader:
        return MeterReader(device, self._plan.tries)
