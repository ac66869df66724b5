"""An open Modbus bus: its devices share one line and take turns on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.modbus.driver import ModbusPlan
from edge.modbus.reader import DeviceReader
from edge.modbus.transport import Transport
from edge.turns import Turns

if TYPE_CHECKING:
    from edge.interface import BusPlan, Measured, Traffic
    from edge.modbus.driver import ModbusTarget


class ModbusBus:
    """An open Modbus bus."""

    def __init__(self, plan: ModbusPlan) -> None:
        self._plan = plan
        self._turns = Turns(plan.devices, _reader)
        self._transport = Transport(plan.line, plan.timeout_s)

    async def read(self, device: str) -> Measured:
        """Read all quantities of one device.

        Raises: ParkedError, without a word on the line, where it has not answered for a while and its next probe is
        not due; TransientError where it does not answer; PermanentError where it refuses.
        """
        return await self._turns.ask(device, lambda _, reader: reader.read(self._transport))

    def traffic(self, device: str) -> Traffic:
        """Return how often a device was asked, and how often in vain."""
        return self._transport.traffic(self._turns.reader(device).unit)

    def parked_s(self, device: str) -> float | None:
        """Return the seconds until a parked device is asked again; None where it is not parked."""
        return self._turns.parked_s(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with another plan of the same line; devices that did not change keep their readers."""
        if not isinstance(plan, ModbusPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        self._turns.follow(plan.devices, _reader)
        self._plan = plan

    async def close(self) -> None:
        """Close the port or connection."""
        self._transport.close()


def _reader(device: ModbusTarget) -> DeviceReader:
    return DeviceReader(device.id, device.unit, device.model)
