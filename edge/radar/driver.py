"""The driver of radar traffic counters: checks a bus at the desk, counts in the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge import planning
from edge.listening import ListeningPlan, target_of
from edge.radar import profile as profiles
from edge.radar.reports import Unit  # noqa: TC001 - msgspec reads annotations when it decodes
from edge.stream import LineConfig, line_of
from wire.ids import Id  # noqa: TC001 - likewise
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan
    from edge.listening import Decoder, Gatherer
    from edge.radar.profile import RadarProfile
    from wire import profile as public

SHORTEST_S = 60.0
"""In a shorter interval a count would be a single passage."""
SILENT = 3.0
"""Questions in vain, after which an interval is not whole."""


class RadarDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The radar on such a line."""


class RadarBusConfig(LineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line with one radar traffic counter."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["radar"]
    """What speaks to the radar."""
    unit: Unit | None = None
    """Of the speeds that it reports, where its lines do not say it; the profile's unless set."""
    turned: bool = False
    """What comes towards the radar counts as `out`: for two radars at one road, or where `in` means into town."""
    devices: Annotated[list[RadarDevice], msgspec.Meta(min_length=1, max_length=1)]
    """The radar."""


class RadarDriver:
    """The driver as the table knows it."""

    title = "A line with a radar traffic counter"
    config: type[msgspec.Struct] = RadarBusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (profiles.RadarProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(RadarBusConfig, path)
        at = (*path, "devices", 0)
        device = planning.device_of(document, at, config.devices[0], "radar", profiles.load)
        why = "in which a count may be a single passage"
        planning.check_interval(document, at, device.interval_s, SHORTEST_S, why)
        line = line_of(document, path, config, device.profile.radar.settings)

        def make() -> tuple[Decoder, Gatherer]:
            return _make(device.profile, device.parameters, config)

        return ListeningPlan(config.id, line, target_of(device), make, (config.unit, config.turned))


def _make(profile: RadarProfile, parameters: Mapping[str, float], config: RadarBusConfig) -> tuple[Decoder, Gatherer]:
    from edge.radar.counting import Counting, TrafficCounter  # noqa: PLC0415 - what only an open bus needs
    from edge.radar.decoder import RadarDecoder, RadarGatherer  # noqa: PLC0415
    from edge.radar.reports import ReportReader  # noqa: PLC0415

    half = profile.radar
    counting = Counting(
        half.gap_s,
        half.longest_s,
        half.least_reports,
        parameters["slowest_kmh"],
        parameters.get("lorry_from_m", 0.0),
        round(parameters["least_passages"]),
        config.turned,
        SILENT * half.ask_s if half.question else None,
    )
    counter = TrafficCounter(counting, profile.readings, profile.channels)
    reader = ReportReader(config.unit or half.unit, half.columns)
    return RadarDecoder(reader, counter, half.question.encode(), half.ask_s), RadarGatherer(counter)


DRIVER = RadarDriver()
