"""An open M-Bus: its meters share one line and take turns on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.interface import NoAnswerError, ParkedError
from edge.mbus.driver import MbusPlan
from edge.mbus.line import Line
from edge.mbus.reader import MeterReader
from edge.parking import Parking

if TYPE_CHECKING:
    from edge.interface import BusPlan, Measured, Traffic


class MbusBus:
    """An open M-Bus."""

    def __init__(self, plan: MbusPlan, line: Line | None = None) -> None:
        """`line`: another one, for tests."""
        self._plan = plan
        self._line = line or Line(plan.line, plan.settings, plan.timeout_s)
        self._readers = {device.id: MeterReader(device, plan.tries) for device in plan.devices}
        self._parking = Parking()

    async def read(self, device: str) -> Measured:
        """Read all quantities of one meter.

        Raises: ParkedError, without a word on the line, where it has not answered for a while and its next probe is
        not due; TransientError where it does not answer, or not whole; PermanentError where it is not what its
        profile says.
        """
        if not self._parking.is_due(device):
            raise ParkedError(f"device {device} does not answer; asked more rarely")
        began_s = time.monotonic()
        try:
            measured = await self._readers[device].read(self._line)
        except NoAnswerError:
            self._parking.failed(device, time.monotonic() - began_s)
            raise
        except Exception:
            self._parking.answered(device)
            raise
        self._parking.answered(device)
        return measured

    def traffic(self, device: str) -> Traffic:
        """Return how often a meter was asked, and how often in vain."""
        return self._readers[device].traffic

    def parked_s(self, device: str) -> float | None:
        """Return the seconds until a parked meter is asked again; None where it is not parked."""
        return self._parking.probe_in_s(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with another plan of the same line; meters that did not change keep their readers."""
        if not isinstance(plan, MbusPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        before = {device.id: device for device in self._plan.devices}
        readers: dict[str, MeterReader] = {}
        for device in plan.devices:
            if device.is_like(before.get(device.id)):
                readers[device.id] = self._readers[device.id]
            else:
                self._parking.answered(device.id)  # another meter under this name: it is asked at once
                readers[device.id] = MeterReader(device, plan.tries)
        for gone in before.keys() - readers.keys():
            self._parking.answered(gone)
        self._plan, self._readers = plan, readers

    async def close(self) -> None:
        """Close the port or connection."""
        self._line.close()
