"""Profiles of radar traffic counters: what their lines look like, and how passages are told apart."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

from edge import planning
from edge.radar.reports import Column, Unit
from edge.stream import LineSettings
from wire import profile as public

if TYPE_CHECKING:
    from base.strict_yaml import Document

QUANTITIES = ("count_vehicles", "speed_mean", "speed_v85")
CLASSES = ("car", "lorry", "unknown")
PARAMETERS = ("slowest_kmh", "least_passages", "lorry_from_m")
"""Those that every profile declares; the last where it knows classes."""
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=60)]


class RadarHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the driver must know of a model."""

    settings: LineSettings = LineSettings()
    """As the model leaves the factory."""
    unit: Unit = "m/s"
    """Of speeds, where a line does not say it and the bus does not either."""
    columns: Annotated[tuple[Column, ...], msgspec.Meta(min_length=1)] = ("speed",)
    """Of lines that are no JSON; `other` for what is not needed."""
    gap_s: _Seconds = 1.0
    """So long without a report ends a passage."""
    longest_s: _Seconds = 10.0
    """What lasts longer is more than one vehicle."""
    least_reports: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    """What was reported less often is none."""
    question: str = ""
    """What the radar always answers; sent every `ask_s` as a sign of life is wanted."""
    ask_s: Annotated[float, msgspec.Meta(ge=5, le=60)] = 20.0


class RadarProfile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of a radar."""

    radar: RadarHalf


@cache
def load(name: str) -> RadarProfile:
    """Read and check a profile.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "radar", RadarProfile)
    check(document, profile)
    return profile


def check(document: Document, profile: RadarProfile) -> None:
    """Check that every reading can be counted.

    Raises: ConfigError at the line that is wrong.
    """
    if "speed" not in profile.radar.columns:
        raise document.error(("radar", "columns"), "no 'speed'", "one column that is the speed")
    knows_classes = False
    for index, reading in enumerate(profile.readings):
        quantity, _, name = reading.partition("/")
        at = ("readings", index)
        if quantity not in QUANTITIES:
            raise document.error(at, repr(quantity), f"one of: {', '.join(QUANTITIES)}")
        channel = profile.channels.get(name)
        if channel is None or channel.direction not in ("in", "out"):
            raise document.error(at, repr(reading), "a channel with the direction 'in' or 'out'")
        if channel.vehicle_class is not None:
            knows_classes = True
            if channel.vehicle_class not in CLASSES:
                raise document.error(at, repr(channel.vehicle_class), f"one of: {', '.join(CLASSES)}")
    for parameter in PARAMETERS if knows_classes else PARAMETERS[:2]:
        if parameter not in profile.parameters:
            raise document.error(("parameters",), f"no {parameter!r}", "it: a radar needs it")
