"""Profiles of devices that speak NMEA 0183: which value of which sentence is which reading."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge import planning
from edge.nmea.sentences import NAMES
from edge.stream import LineSettings
from edge.thinning import ThinnedProfile

if TYPE_CHECKING:
    from base.strict_yaml import Document


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a reading comes from: value * scale + what the parameter `add` says, a direction within 0 to 360."""

    value: str
    scale: float = 1.0
    add: str | None = None


class NmeaHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the driver must know of a model."""

    values: dict[str, Value]
    """By reading."""
    talker: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")] | None = None
    """Sentences of others on the line are left out; of any unless set."""
    settings: LineSettings = LineSettings(4800)
    """As the model leaves the factory; 4800 8N1 is the norm's."""


class NmeaProfile(ThinnedProfile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of such a device."""

    nmea: NmeaHalf


@cache
def load(name: str) -> NmeaProfile:
    """Read and check a profile.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "nmea", NmeaProfile)
    check(document, profile)
    return profile


def check(document: Document, profile: NmeaProfile) -> None:
    """Check that every reading comes from a value that there is.

    Raises: ConfigError at the line that is wrong.
    """
    for name, value in profile.nmea.values.items():
        at = ("nmea", "values", name)
        if name not in profile.readings:
            raise document.error(at, repr(name), "one of those under 'readings'")
        if value.value not in NAMES and not value.value.startswith("XDR."):
            raise document.error((*at, "value"), repr(value.value), f"XDR.<name>, or one of: {', '.join(NAMES)}")
        if value.add is not None and value.add not in profile.parameters:
            raise document.error((*at, "add"), repr(value.add), "a parameter declared under 'parameters'")
    profile.check_sources(document, profile.nmea.values, "one under 'nmea: values'")
