"""The Modbus driver: checks a bus at the desk, reads its devices in the field."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge import planning
from edge.interface import Place
from edge.modbus import budget
from edge.modbus import profile as profiles
from edge.modbus.config import ModbusBusConfig, SerialLine, SerialSettings, parse_endpoint
from edge.modbus.register_map import RegisterProfile
from edge.turns import AskedTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    import msgspec

    from base.strict_yaml import Document, Path_
    from edge.interface import Bus, BusPlan
    from edge.modbus.config import Line
    from edge.modbus.model import Compiled
    from edge.modbus.profile import ModbusProfile
    from edge.plausibility.encoding import Encoding
    from wire import profile as public

LINES = ("tcp", "rtu_over_tcp", "serial")
LAST_UNIT = 247
"""Of one device's own on a serial line; the norm (Modbus over serial line, section 2.2) reserves those above."""


@dataclass(frozen=True)
class ModbusTarget(AskedTarget):
    """One device of a bus: its unit id, and its compiled profile."""

    unit: int
    model: Compiled = field(compare=False)
    profile: ModbusProfile = field(repr=False)
    """What the model was compiled from, with `parameters`: two compiled models cannot be compared."""
    parameters: Mapping[str, float]

    @property
    def encodings(self) -> Mapping[str, Encoding]:
        """How its values are written down, by the names of the readings."""
        return self.profile.encodings(self.parameters)


@dataclass(frozen=True)
class ModbusPlan:
    """A checked Modbus bus."""

    id: str
    line: Line
    timeout_s: float
    devices: tuple[ModbusTarget, ...]

    @property
    def place(self) -> Place:
        """Where it is."""
        if isinstance(self.line, SerialLine):
            return Place("serial", os.path.normpath(self.line.port))
        return Place("rtu_over_tcp" if self.line.is_rtu else "tcp", str(self.line).lower())

    def cost_s(self, device: str) -> float:
        """Estimate for how many seconds one reading of a device keeps the line busy."""
        return self._cost_s(self.line, device)

    def faster(self, share: float) -> str:
        """Name the lowest baud rate that would cut the line's time to this share of what it is."""
        if not isinstance(self.line, SerialLine):
            return ""
        allowed = share * self._use(self.line)
        for baud_rate in budget.BAUD_RATES:
            if self._use(budget.at_baud_rate(self.line, baud_rate)) <= allowed:
                return f"`baud_rate: {baud_rate}`, where all its devices can be set to it"
        return ""

    def _use(self, line: Line) -> float:
        return sum(self._cost_s(line, device.id) / device.interval_s for device in self.devices)

    def _cost_s(self, line: Line, device: str) -> float:
        target = next(target for target in self.devices if target.id == device)
        return budget.reading_s(line, target.model)

    listens = False

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether another plan has the same line, set in the same way."""
        return isinstance(other, ModbusPlan) and (self.line, self.timeout_s) == (other.line, other.timeout_s)

    def open(self) -> Bus:
        """Make the bus ready; the port is opened with the first reading."""
        from edge.modbus.bus import ModbusBus  # noqa: PLC0415 - pymodbus is loaded when it is first needed

        return ModbusBus(self)


class ModbusDriver:
    """The driver as the table knows it."""

    title = "A Modbus bus"
    config: type[msgspec.Struct] = ModbusBusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return register maps and SunSpec models."""
        from edge.modbus.sunspec.profile import SunSpecProfile  # noqa: PLC0415 - for the few devices that have it

        return (RegisterProfile, SunSpecProfile)

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
            if device.unit > LAST_UNIT and config.tcp is None and len(config.devices) > 1:
                raise document.error(
                    (*at, "unit"),
                    f"unit {device.unit} beside other devices",
                    f"a unit id up to {LAST_UNIT}, or a line of its own: more than one device may answer this one",
                )
            planned = planning.device_of(document, at, device, "modbus", profiles.load)
            profile, values = planned.profile, planned.parameters
            model = profiles.compile_model(profile, values)
            if config.serial is not None:
                _check_settings(document, at, config, targets[0] if targets else None, model.half.settings)
            targets.append(ModbusTarget(device.id, planned.interval_s, device.unit, model, profile, values))
        return targets

    @staticmethod
    def _line(document: Document, path: Path_, config: ModbusBusConfig, first: ModbusTarget) -> Line:
        given = {key: value for key in LINES if (value := getattr(config, key)) is not None}
        if len(given) != 1:
            found = " and ".join(repr(key) for key in given) or "no line"
            raise document.error(path, found, "one of 'tcp', 'rtu_over_tcp' and 'serial'")
        ((key, address),) = given.items()
        if key != "serial":
            endpoint = parse_endpoint(address, is_rtu=key == "rtu_over_tcp")
            if endpoint is None:
                raise document.error((*path, key), repr(address), "HOST or HOST:PORT")
            for setting in ("baud_rate", "parity", "stop_bits"):
                if getattr(config, setting) is not None:
                    raise document.error((*path, setting), f"{setting!r} beside {key!r}", "it with 'serial' only")
            return endpoint
        if not address.strip() or "\0" in address or "://" in address:
            raise document.error((*path, key), repr(address), "a serial port, such as /dev/serial/by-id/...")
        usual = first.model.half.settings
        settings = SerialSettings(
            config.baud_rate or usual.baud_rate, config.parity or usual.parity, config.stop_bits or usual.stop_bits
        )
        return SerialLine(address, settings)


def _check_settings(
    document: Document, at: Path_, config: ModbusBusConfig, first: ModbusTarget | None, usual: SerialSettings
) -> None:
    """Refuse a line whose devices are set differently from the factory while the file does not say which it is."""
    if first is None:
        return
    for key in ("baud_rate", "parity", "stop_bits"):
        others, own = getattr(first.model.half.settings, key), getattr(usual, key)
        if getattr(config, key) is None and others != own:
            raise document.error(
                (*at, "profile"),
                f"a model that leaves the factory with {key} {own}, where {first.id!r} has {others}",
                f"'{key}' on the bus, as all its devices are set",
            )


DRIVER = ModbusDriver()
