"""The vocabulary: quantities and measurements, read from the tables beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from base import strict_yaml
from base.messages import Text
from wire.ids import QuantityName

HERE = Path(__file__).parent


Label: TypeAlias = Text
"""A name for people, in German and English."""


class Quantity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is measured. See the head of `quantities.yaml` for the columns."""

    unit: str
    ucum: str
    kind: Literal["gauge", "counter", "delta", "state"]
    range: tuple[float, float]
    aggregate: Literal["mean", "sum", "last", "max", "vector", "energetic", "volume_weighted"]
    label: Label
    step: Annotated[float, msgspec.Meta(gt=0)] | None = None
    stuck_h: Annotated[float, msgspec.Meta(gt=0)] | None = None
    rest: tuple[float, ...] = ()
    clip: tuple[float, float] | None = None


class _Readings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tags: list[str]
    common: list[str]
    """Quantities that every measurement holds beside its own: what any device may tell of itself."""
    measurements: dict[str, list[str]]


class DerivedMeasurement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measurement that the cloud makes."""

    tags: list[str]
    fields: dict[str, Literal["number", "text", "boolean"]]


class Measurements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every measurement of the store: those of readings, and the derived ones."""

    readings: _Readings
    derived: dict[str, DerivedMeasurement]

    def fields(self, measurement: str) -> list[str]:
        """Return the quantities that a measurement of readings may hold: its own, then the common ones."""
        return [*self.readings.measurements[measurement], *self.readings.common]


@cache
def quantities() -> dict[str, Quantity]:
    """All quantities by name."""
    return strict_yaml.load(HERE / "quantities.yaml").convert(dict[QuantityName, Quantity])


@cache
def measurements() -> Measurements:
    """All measurements."""
    return strict_yaml.load(HERE / "measurements.yaml").convert(Measurements)
