"""The Modbus driver: checks a bus at the desk, reads its devices in the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from base.errors import ConfigError
from edge.modbus import profile as profiles
from edge.modbus.config import Endpoint, ModbusBusConfig, SerialLine, SerialSettings, parse_endpoint

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_
    from edge.interface import Bus, BusPlan
    from edge.modbus.profile import Model
    from edge.modbus.transport import Line, Transport
    from wire.readings import Reading


@dataclass(frozen=True)
class ModbusTarget:
    """One device of a bus: its unit id and what its registers mean."""

    id: str
    unit: int
    interval_s: float
    model: Model


@dataclass(frozen=True)
class ModbusPlan:
    """A checked Modbus bus."""

    id: str
    line: Line
    timeout_s: float
    devices: tuple[ModbusTarget, ...]

    def open(self) -> Bus:
        """Make the bus ready; the port is opened with the first reading."""
        from edge.modbus.transport import Transport  # noqa: PLC0415 - pymodbus is loaded when it is first needed

        return ModbusBus(self.devices, Transport(self.line, self.timeout_s))


class ModbusBus:
    """An open Modbus bus."""

    def __init__(self, devices: tuple[ModbusTarget, ...], transport: Transport) -> None:
        self._devices = {device.id: device for device in devices}
        self._transport = transport

    async def read(self, device: str) -> tuple[Reading, ...]:
        """Read all quantities of one device.

        Raises: TransientError where it does not answer; PermanentError where it refuses.
        """
        target = self._devices[device]
        return await read_model(self._transport, target.unit, target.model)

    async def close(self) -> None:
        """Close the port or connection."""
        self._transport.close()


async def read_model(transport: Transport, unit: int, model: Model) -> tuple[Reading, ...]:
    """Make the requests of a model to one unit, and decode the answers."""
    registers: dict[int, int] = {}
    for request in model.requests:
        words = await transport.read(unit, model.profile.modbus.function_code, request)
        registers.update(enumerate(words, request.address))
    return model.decode(registers)


class ModbusDriver:
    """The driver as the table knows it."""

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the Modbus bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(ModbusBusConfig, path)
        targets = tuple(self._targets(document, path, config))
        return ModbusPlan(config.id, self._line(document, path, config, targets[0]), config.timeout_s, targets)

    @staticmethod
    def _targets(document: Document, path: Path_, config: ModbusBusConfig) -> list[ModbusTarget]:
        targets: list[ModbusTarget] = []
        units: dict[int, str] = {}
        for index, device in enumerate(config.devices):
            at = (*path, "devices", index)
            if device.unit in units:
                raise document.error(
                    (*at, "unit"), f"unit {device.unit}, which {units[device.unit]!r} has", "a unit id of its own"
                )
            units[device.unit] = device.id
            try:
                model = profiles.load(device.profile)
            except ConfigError as error:
                if error.at.file.is_file():
                    raise
                raise document.error((*at, "profile"), f"no profile {device.profile!r}", error.expected) from error
            interval_s = device.interval_s or model.profile.interval_s
            targets.append(ModbusTarget(device.id, device.unit, interval_s, model))
        return targets

    @staticmethod
    def _line(document: Document, path: Path_, config: ModbusBusConfig, first: ModbusTarget) -> Line:
        if (config.tcp is None) == (config.serial is None):
            found = "neither 'tcp' nor 'serial'" if config.tcp is None else "both 'tcp' and 'serial'"
            raise document.error(path, found, "one of them")
        if config.tcp is not None:
            endpoint = parse_endpoint(config.tcp)
            if endpoint is None:
                raise document.error((*path, "tcp"), repr(config.tcp), "HOST or HOST:PORT")
            for key in ("baud_rate", "parity", "stop_bits"):
                if getattr(config, key) is not None:
                    raise document.error((*path, key), f"{key!r} beside 'tcp'", "it with 'serial' only")
            return Endpoint(*endpoint)
        usual = first.model.profile.modbus.settings
        settings = SerialSettings(
            config.baud_rate or usual.baud_rate, config.parity or usual.parity, config.stop_bits or usual.stop_bits
        )
        return SerialLine(config.serial or "", settings)


DRIVER = ModbusDriver()
