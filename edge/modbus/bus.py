"""An open Modbus bus: its devices share one line and take turns on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.interface import ParkedError
from edge.modbus.reader import DeviceReader
from edge.modbus.transport import NoAnswerError, Transport
from edge.parking import Parking

if TYPE_CHECKING:
    from edge.interface import Measured
    from edge.modbus.driver import ModbusPlan


class ModbusBus:
    """An open Modbus bus."""

    def __init__(self, plan: ModbusPlan) -> None:
        self._readers = {device.id: DeviceReader(device.id, device.unit, device.model) for device in plan.devices}
        self._transport = Transport(plan.line, plan.timeout_s)
        self._parking = Parking()

    async def read(self, device: str) -> Measured:
        """Read all quantities of one device.

        Raises: ParkedError, without a word on the line, where it has not answered for a while and its next probe is
        not due; TransientError where it does not answer; PermanentError where it refuses.
        """
        if not self._parking.is_due(device):
            raise ParkedError(f"device {device} does not answer; asked more rarely")
        began_s = time.monotonic()
        try:
            measured = await self._readers[device].read(self._transport)
        except NoAnswerError:
            self._parking.failed(device, time.monotonic() - began_s)
            raise
        except Exception:
            self._parking.answered(device)
            raise
        self._parking.answered(device)
        return measured

    async def close(self) -> None:
        """Close the port or connection."""
        self._transport.close()
