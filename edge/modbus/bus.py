"""An open Modbus bus: its devices share one line and take turns on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.interface import NoAnswerError, ParkedError
from edge.modbus.driver import ModbusPlan
from edge.modbus.reader import DeviceReader
from edge.modbus.transport import Transport
from edge.parking import Parking

if TYPE_CHECKING:
    from edge.interface import BusPlan, Measured, Traffic
    from edge.modbus.driver import ModbusTarget


class ModbusBus:
    """An open Modbus bus."""

    def __init__(self, plan: ModbusPlan) -> None:
        self._plan = plan
        self._readers = {device.id: _reader(device) for device in plan.devices}
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

    def traffic(self, device: str) -> Traffic:
        """Return how often a device was asked, and how often in vain."""
        return self._transport.traffic(self._readers[device].unit)

    def parked_s(self, device: str) -> float | None:
        """Return the seconds until a parked device is asked again; None where it is not parked."""
        return self._parking.probe_in_s(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with another plan of the same line; devices that did not change keep their readers."""
        if not isinstance(plan, ModbusPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        before = {device.id: device for device in self._plan.devices}
        readers: dict[str, DeviceReader] = {}
        for device in plan.devices:
            if device.is_like(before.get(device.id)):
                readers[device.id] = self._readers[device.id]
            else:
                self._parking.answered(device.id)  # another device under this name: it is asked at once
                readers[device.id] = _reader(device)
        for gone in before.keys() - readers.keys():
            self._parking.answered(gone)
        self._plan, self._readers = plan, readers

    async def close(self) -> None:
        """Close the port or connection."""
        self._transport.close()


def _reader(device: ModbusTarget) -> DeviceReader:
    return DeviceReader(device.id, device.unit, device.model)
