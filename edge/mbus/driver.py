"""The M-Bus driver: checks a bus at the desk, reads its meters in the field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edge import planning
from edge.mbus import budget, selection
from edge.mbus import profile as profiles
from edge.mbus.config import MbusBusConfig
from edge.mbus.profile import MbusProfile
from edge.stream import LineAddress, LineSettings, SerialPort, line_of, place_of
from edge.turns import AskedTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from base.strict_yaml import Document, Path_
    from edge.interface import Bus, BusPlan, Place
    from edge.mbus.config import MbusDevice
    from edge.mbus.selection import Selection
    from wire import profile as public

USUAL = LineSettings(2400, 8, "E", 1)


@dataclass(frozen=True)
class MbusTarget(AskedTarget):
    """One meter: its address, and what its records mean."""

    address: int | Selection
    """Primary, or its own number."""
    profile: MbusProfile = field(repr=False)
    parameters: Mapping[str, float]


@dataclass(frozen=True)
class MbusPlan:
    """A checked M-Bus."""

    id: str
    line: LineAddress
    settings: LineSettings
    """Of the line, or of the converter behind TCP as far as anybody knows."""
    timeout_s: float
    tries: int
    devices: tuple[MbusTarget, ...]
    listens = False

    @property
    def place(self) -> Place:
        """Where it is."""
        return place_of(self.line)

    def cost_s(self, device: str) -> float:
        """Estimate for how many seconds one reading of a meter keeps the line busy."""
        return self._cost_s(self.settings.baud_rate, device)

    def faster(self, share: float) -> str:
        """Name the lowest baud rate that would cut the line's time to this share of what it is."""
        allowed = share * self._use(self.settings.baud_rate)
        for baud_rate in budget.BAUD_RATES:
            if self._use(baud_rate) <= allowed:
                return f"`baud_rate: {baud_rate}`, where all its meters can be set to it"
        return ""

    def _use(self, baud_rate: int) -> float:
        return sum(self._cost_s(baud_rate, device.id) / device.interval_s for device in self.devices)

    def _cost_s(self, baud_rate: int, device: str) -> float:
        target = next(target for target in self.devices if target.id == device)
        return budget.reading_s(baud_rate, target.profile.mbus, is_selected=not isinstance(target.address, int))

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether another plan has the same line, set in the same way."""
        if not isinstance(other, MbusPlan):
            return False
        return (self.line, self.timeout_s, self.tries) == (other.line, other.timeout_s, other.tries)

    def open(self) -> Bus:
        """Make the bus ready; the port is opened with the first reading."""
        from edge.mbus.bus import MbusBus  # noqa: PLC0415 - the decoder is loaded when it is first needed

        return MbusBus(self)


class MbusDriver:
    """The driver as the table knows it."""

    title = "An M-Bus"
    config: type[msgspec.Struct] = MbusBusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (MbusProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the M-Bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(MbusBusConfig, path)
        targets = tuple(_targets(document, path, config))
        usual = msgspec.structs.replace(USUAL, baud_rate=targets[0].profile.mbus.baud_rate)
        line = line_of(document, path, config, usual)
        settings = line.settings if isinstance(line, SerialPort) else usual
        return MbusPlan(config.id, line, settings, config.timeout_s, config.tries, targets)


def _targets(document: Document, path: Path_, config: MbusBusConfig) -> list[MbusTarget]:
    targets: list[MbusTarget] = []
    taken: dict[int | Selection, str] = {}
    for index, device in enumerate(config.devices):
        at = (*path, "devices", index)
        address = _address(document, at, device)
        key = "address" if isinstance(address, int) else "secondary"
        if address in taken:
            raise document.error((*at, key), f"{address}, which {taken[address]!r} has", "an address of its own")
        if address == 0 and len(config.devices) > 1:
            expected = "1 to 250, or its `secondary` address: every new meter has 0"
            raise document.error((*at, key), "0 beside other meters", expected)
        _check_apart(document, (*at, key), address, taken)
        taken[address] = device.id
        planned = planning.device_of(document, at, device, "mbus", profiles.load)
        if targets and config.serial is not None and config.baud_rate is None:
            _check_baud_rate(document, (*at, "profile"), targets[0], planned.profile)
        targets.append(MbusTarget(device.id, planned.interval_s, address, planned.profile, planned.parameters))
    return targets


def _check_apart(document: Document, at: Path_, address: int | Selection, taken: dict[int | Selection, str]) -> None:
    """Refuse a number with places for any digit that another listed meter has, too: both would answer at once."""
    for other, owner in taken.items():
        if isinstance(address, int) or isinstance(other, int) or not address.meets_with(other):
            continue
        raise document.error(at, f"{address}, which the meter {owner!r} ({other}) may answer, too", "its whole number")


def _address(document: Document, at: Path_, device: MbusDevice) -> int | Selection:
    if (device.address is None) == (device.secondary is None):
        found = "no address" if device.address is None else "'address' and 'secondary'"
        raise document.error(at, found, "one of 'address' and 'secondary'")
    if device.secondary is None:
        return device.address or 0
    found_selection = selection.parse(device.secondary)
    if found_selection is None:
        raise document.error((*at, "secondary"), repr(device.secondary), selection.EXPECTED)
    return found_selection


def _check_baud_rate(document: Document, at: Path_, first: MbusTarget, profile: MbusProfile) -> None:
    usual, own = first.profile.mbus.baud_rate, profile.mbus.baud_rate
    if usual != own:
        found = f"a model that leaves the factory with {own} baud, where {first.id!r} has {usual}"
        raise document.error(at, found, "'baud_rate' on the bus, as all its meters are set")


DRIVER = MbusDriver()
