"""The P1 driver: a meter's port for its customer, and the meters of gas, water or heat that it speaks for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge import planning
from edge.d0.parity import raw_line
from edge.listening import ListeningPlan, ListeningTarget, target_of
from edge.obis import Map
from edge.p1 import profile as profiles
from edge.speaking import SpeakingPlan, patience_s
from edge.stream import LineConfig, line_of
from edge.thinning import Thinner
from wire.ids import Id  # noqa: TC001 - msgspec reads annotations when it decodes
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from base.strict_yaml import Document, Path_
    from edge.d0.lines import Lines
    from edge.interface import Bus, BusPlan, Place, PlannedDevice
    from edge.listening import Decoder, Gatherer
    from edge.p1.profile import P1Half, P1Profile
    from edge.planning import Planned
    from edge.stream import LineAddress
    from edge.thinning import Rule
    from wire import profile as public


class P1Device(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A meter on P1."""

    channel: Annotated[int, msgspec.Meta(ge=1, le=9)] | None = None
    """Of several meters of one kind that the port speaks for: the n of `0-n:24.2.1`."""


class P1BusConfig(LineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A P1 port."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["p1"]
    """What understands the meter."""
    devices: Annotated[list[P1Device], msgspec.Meta(min_length=1)]
    """The meter whose port it is, and those that it speaks for."""


@dataclass(frozen=True)
class SubTarget:
    """A meter that another one speaks for."""

    id: str
    interval_s: float
    profile: str
    channel: int | None
    parameters: Mapping[str, float]
    half: P1Half = field(compare=False, repr=False)

    @property
    def patience_s(self) -> float:
        """For how long it may have no new value."""
        return patience_s(self.interval_s)


@dataclass(frozen=True)
class P1Plan(SpeakingPlan):
    """A checked P1 port."""

    id: str
    line: LineAddress
    main: ListeningTarget
    subs: tuple[SubTarget, ...]
    half: P1Half = field(compare=False, repr=False)
    parameters: Mapping[str, float] = field(compare=False, repr=False)
    rules: tuple[Rule, ...] = field(compare=False, repr=False)

    @property
    def devices(self) -> tuple[PlannedDevice, ...]:
        """The meter whose port it is first."""
        return (self.main, *self.subs)

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.listening().place

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether an open bus can go on with another plan: nothing but intervals differs."""
        if not isinstance(other, P1Plan) or not self.listening().is_same_line(other.listening()):
            return False
        return [replace(sub, interval_s=0.0) for sub in self.subs] == [
            replace(sub, interval_s=0.0) for sub in other.subs
        ]

    def open(self) -> Bus:
        """Make the bus ready; the port is opened with the first reading."""
        from edge.p1.bus import P1Bus  # noqa: PLC0415 - loaded where a bus is opened

        return P1Bus(self)

    def listening(self, heard: Callable[[Lines], None] | None = None) -> ListeningPlan:
        """Return the plan for the meter whose port it is. `heard`: called with every good telegram."""

        def make() -> tuple[Decoder, Gatherer]:
            from edge.d0.decoder import PushDecoder  # noqa: PLC0415 - loaded where a bus is opened
            from edge.p1.checksum import is_right  # noqa: PLC0415

            mapping = Map(self.half.registers, self.parameters)
            proof = is_right if self.half.checksum else None
            return PushDecoder(self.main.id, mapping, proof, heard), Thinner(self.rules)

        return ListeningPlan(self.id, self.line, self.main, make)


class P1Driver:
    """The driver as the table knows it."""

    title = "A P1 port (DSMR)"
    config: type[msgspec.Struct] = P1BusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (profiles.P1Profile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(P1BusConfig, path)
        main: Planned[P1Profile] | None = None
        subs: list[SubTarget] = []
        for index, entry in enumerate(config.devices):
            at = (*path, "devices", index)
            device = planning.device_of(document, at, entry, "p1", profiles.load)
            if device.profile.p1.types:
                subs.append(_sub(document, at, entry, device, subs))
            elif main is None:
                main = device
            else:
                raise document.error(at, f"{device.id!r} beside {main.id!r}", "a port of its own for each meter")
        if main is None:
            raise document.error((*path, "devices"), "no meter whose port it is", "one, such as profile dsmr/p1")
        profile = main.profile
        line = raw_line(line_of(document, path, config, profile.p1.settings))
        return P1Plan(config.id, line, target_of(main), tuple(subs), profile.p1, main.parameters, profile.rules)


def _sub(
    document: Document, at: Path_, entry: P1Device, device: Planned[P1Profile], others: list[SubTarget]
) -> SubTarget:
    """Return a meter that another one speaks for; refuse two of one kind that nothing tells apart."""
    profile = device.profile
    for other in others:
        if set(other.half.types) & set(profile.p1.types) and (
            other.channel == entry.channel or None in (other.channel, entry.channel)
        ):
            raise document.error(at, f"{entry.id!r} of the same kind as {other.id!r}", "a 'channel' for each of them")
    return SubTarget(device.id, device.interval_s, profile.profile, entry.channel, device.parameters, profile.p1)


DRIVER = P1Driver()
