"""Kinds of buses of a simulated town: how devices are put on one, and what a gateway's file says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from simulator.devices import Meter
from simulator.models import Registers
from simulator.servers import RtuBus, TcpBus, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simulator.devices import Journal
    from simulator.faults import Faults
    from simulator.servers import Bus
    from simulator.spec import Device

BAUD_RATE = 9600


class Rig(NamedTuple):
    """What the devices of a town share."""

    journal: Journal
    faults: Faults
    sectors: Mapping[str, str]
    """Device -> the sector of its site."""
    lines: Path
    """The directory for the links to serial ports, and for what else a bus keeps."""
    interval_s: float
    """Between two samples of a device that speaks by itself and has no interval of its own."""


class Kind(Protocol):
    """One kind of bus."""

    speaks: bool
    """Whether its devices speak by themselves: each word is a sample, and the town ends when the last was taken."""

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:
        """Put devices on a bus; it works from `Bus.plug` on."""

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Write what a gateway's file says of the bus, without id and devices.

        `address` is None where none works; `lines` as in `Rig`.
        """

    def entry(self, device: Device) -> dict[str, Any]:
        """Write what it says of a device, beside id, profile, site and interval."""


class _Modbus:
    speaks = False

    def entry(self, device: Device) -> dict[str, Any]:
        """Name its unit id."""
        return {"unit": device.unit}

    @staticmethod
    def meters(devices: Sequence[Device], rig: Rig) -> dict[int, Meter]:
        """Make the meters by their unit ids."""
        return {
            device.unit: Meter(
                device.id, _registers(device), rig.journal, faults=rig.faults, sector=rig.sectors[device.id]
            )
            for device in devices
        }


class _ModbusTcp(_Modbus):
    """Meters behind one Modbus TCP endpoint."""

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:  # noqa: ARG002 - as the interface has it
        """Put meters behind a free port."""
        return TcpBus(self.meters(devices, rig), free_port())

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name the endpoint."""
        del lines
        return {"driver": "modbus", "tcp": address or f"{name}.invalid"}


class _ModbusRtu(_Modbus):
    """Meters on one serial line."""

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:
        """Put meters on a pseudo-terminal."""
        return RtuBus(self.meters(devices, rig), BAUD_RATE, rig.lines / name)

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name the port and how it is set."""
        del lines
        port = address or f"/dev/null/{name}"
        return {"driver": "modbus", "serial": port, "baud_rate": BAUD_RATE, "parity": "N", "stop_bits": 1}


def _registers(device: Device) -> Registers:
    if not isinstance(device.model, Registers):
        raise TypeError(f"{device.id} is no meter on Modbus")
    return device.model


MODBUS_TCP = _ModbusTcp()
MODBUS_RTU = _ModbusRtu()
