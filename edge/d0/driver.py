"""The D0 driver: meters on IEC 62056-21, that speak by themselves or are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge import planning
from edge.d0 import profile as profiles
from edge.d0.parity import raw_line
from edge.listening import ListeningPlan, target_of
from edge.obis import Map
from edge.stream import LineConfig, SerialPort, line_of, place_of
from edge.thinning import Thinner
from edge.turns import AskedTarget
from wire.ids import END, Id
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from base.strict_yaml import Document, Path_
    from edge.d0.profile import D0Half, D0Profile
    from edge.interface import Bus, BusPlan, Place
    from edge.listening import Decoder, Gatherer
    from edge.planning import Planned
    from edge.stream import LineAddress, LineSettings
    from wire import profile as public

TALK_CHARACTERS = 40
"""Question, name and answer, at the first speed."""
TALK_S = 1.0
"""What both wait before they speak, all together."""
RATES = (600, 1200, 2400, 4800, 9600, 19200)


class D0Device(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A meter on IEC 62056-21."""

    address: (
        Annotated[
            str,
            msgspec.Meta(pattern=r"^[0-9A-Za-z ]{1,32}" + END, description="up to 32 digits and letters, in quotes"),
        ]
        | None
    ) = None
    """Where several share a line: what the meter is called by, most often its number. Of one that is asked only."""


class D0BusConfig(LineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line with a meter that speaks by itself, or with meters that are asked."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["d0"]
    """What speaks to the meters."""
    fastest_baud_rate: Literal[300, 600, 1200, 2400, 4800, 9600, 19200] = 9600
    """The highest speed that the head can go along with where meters are asked."""
    devices: Annotated[list[D0Device], msgspec.Meta(min_length=1)]
    """The meters."""


@dataclass(frozen=True)
class ReadoutTarget(AskedTarget):
    """One meter that is asked."""

    address: str
    """Empty where it needs none."""
    profile: str
    parameters: Mapping[str, float]
    half: D0Half = field(compare=False, repr=False)


@dataclass(frozen=True)
class ReadoutPlan:
    """A checked line of meters that are asked."""

    id: str
    line: LineAddress
    settings: LineSettings
    """As the line is set at first."""
    fastest: int
    devices: tuple[ReadoutTarget, ...]
    listens = False

    @property
    def place(self) -> Place:
        """Where it is."""
        return place_of(self.line)

    def cost_s(self, device: str) -> float:
        """Estimate for how many seconds one reading of a meter keeps the line busy."""
        return self._cost_s(device, self.fastest)

    def faster(self, share: float) -> str:
        """Name the lowest speed that would cut the line's time to this share of what it is."""
        allowed = share * self._use(self.fastest)
        for rate in RATES:
            if rate > self.fastest and self._use(rate) <= allowed:
                return f"`fastest_baud_rate: {rate}`, where the head can go along"
        return ""

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether another plan has the same line, set in the same way."""
        return isinstance(other, ReadoutPlan) and (self.line, self.settings, self.fastest) == (
            other.line,
            other.settings,
            other.fastest,
        )

    def open(self) -> Bus:
        """Make the bus ready; the port is opened with the first reading."""
        from edge.d0.readout import ReadoutBus  # noqa: PLC0415 - loaded where a bus is opened

        return ReadoutBus(self)

    def _use(self, fastest: int) -> float:
        return sum(self._cost_s(device.id, fastest) / device.interval_s for device in self.devices)

    def _cost_s(self, device: str, fastest: int) -> float:
        half = next(target for target in self.devices if target.id == device).half
        first_s = self.settings.character_s
        then_s = msgspec.structs.replace(self.settings, baud_rate=min(half.speed, fastest)).character_s
        wake_s = 4.0 if half.wake_up else 0.0
        return wake_s + TALK_S + TALK_CHARACTERS * first_s + half.telegram_bytes * then_s


class D0Driver:
    """The driver as the table knows it."""

    title = "Meters on IEC 62056-21 (D0)"
    config: type[msgspec.Struct] = D0BusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (profiles.D0Profile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(D0BusConfig, path)
        found = [
            planning.device_of(document, (*path, "devices", index), device, "d0", profiles.load)
            for index, device in enumerate(config.devices)
        ]
        _check_company(document, path, config, [device.profile for device in found])
        settings = found[0].profile.d0.line
        line = line_of(document, path, config, settings)
        if isinstance(line, SerialPort):
            settings = line.settings
        if found[0].profile.d0.mode == "read":
            targets = tuple(_readout(*each) for each in zip(config.devices, found, strict=True))
            return ReadoutPlan(config.id, line, settings, config.fastest_baud_rate, targets)
        return _listening(config.id, raw_line(line), found[0])


def _readout(entry: D0Device, device: Planned[D0Profile]) -> ReadoutTarget:
    profile = device.profile
    return ReadoutTarget(
        device.id, device.interval_s, entry.address or "", profile.profile, device.parameters, profile.d0
    )


def _listening(bus: str, line: LineAddress, device: Planned[D0Profile]) -> ListeningPlan:
    profile = device.profile

    def make() -> tuple[Decoder, Gatherer]:
        from edge.d0.decoder import PushDecoder  # noqa: PLC0415 - loaded where a bus is opened

        return PushDecoder(device.id, Map(profile.d0.registers, device.parameters)), Thinner(profile.rules)

    return ListeningPlan(bus, line, target_of(device), make)


def _check_company(document: Document, path: Path_, config: D0BusConfig, found: list[D0Profile]) -> None:
    """Refuse a line whose meters cannot share it."""
    seen: dict[str | None, str] = {}
    for index, (device, profile) in enumerate(zip(config.devices, found, strict=True)):
        at = (*path, "devices", index)
        if profile.d0.mode == "push" and len(found) > 1:
            raise document.error(
                (*at, "profile"), "a meter that speaks by itself beside another", "a line of its own for it"
            )
        if profile.d0.mode == "push" and device.address is not None:
            raise document.error((*at, "address"), "'address' of a meter that speaks by itself", "none")
        if device.address in seen:
            expected = "an 'address' of its own, as several meters share the line"
            raise document.error(at, f"the address of {seen[device.address]!r}", expected)
        if device.address is None and len(found) > 1:
            raise document.error(at, "no 'address' beside other meters", "what the meter is called by")
        seen[device.address] = device.id


DRIVER = D0Driver()
