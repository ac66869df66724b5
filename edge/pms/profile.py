"""Profiles of particulate and CO2 sensors: which kind of sensor it is, and which of its values are which readings."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge import planning
from edge.pms.sensors import SENSORS
from edge.thinning import ThinnedProfile

if TYPE_CHECKING:
    from base.strict_yaml import Document
    from edge.pms.sensors import Sensor


class PmsHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the driver must know of a model."""

    sensor: str
    """How its frames are made."""
    values: dict[str, str]
    """Reading -> the sensor's name of the value; the value stands in the quantity's unit."""
    warm_up_s: Annotated[float, msgspec.Meta(ge=0, le=600)] | None = None
    """So long after it was switched on its values are left out; what is usual for the sensor unless set."""


class PmsProfile(ThinnedProfile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of such a sensor."""

    pms: PmsHalf

    @property
    def sensor(self) -> Sensor:
        """The kind of sensor."""
        return SENSORS[self.pms.sensor]

    @property
    def warm_up_s(self) -> float:
        """How long it warms up."""
        return self.sensor.warm_up_s if self.pms.warm_up_s is None else self.pms.warm_up_s


@cache
def load(name: str) -> PmsProfile:
    """Read and check a profile.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "pms", PmsProfile)
    check(document, profile)
    return profile


def check(document: Document, profile: PmsProfile) -> None:
    """Check that every reading comes from a value that the sensor has.

    Raises: ConfigError at the line that is wrong.
    """
    half = profile.pms
    if half.sensor not in SENSORS:
        raise document.error(("pms", "sensor"), repr(half.sensor), f"one of: {', '.join(SENSORS)}")
    known = {each.name for layout in profile.sensor.layouts.values() for each in layout.fields if each is not None}
    for name, value in half.values.items():
        if name not in profile.readings:
            raise document.error(("pms", "values", name), repr(name), "one of those under 'readings'")
        if value not in known:
            raise document.error(("pms", "values", name), repr(value), f"one of: {', '.join(sorted(known))}")
    profile.check_sources(document, half.values, "one under 'pms: values'")
