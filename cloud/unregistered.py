"""Readings without a place, as they lie in the store: the way back from a point to what a gateway sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud.routing import NS_PER_MS, UNREGISTERED
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from cloud.points import Point

__all__ = ["ADOPTED_AT", "UNREGISTERED", "is_adopted", "sample_of"]

ADOPTED_AT = "adopted_at_ms"
"""The field that marks a reading which `messnetz cloud adopt` has brought to its place; Unix time in milliseconds."""


def is_adopted(point: Point) -> bool:
    """Whether the reading has a place by now, and counts there."""
    return ADOPTED_AT in point.fields


def sample_of(point: Point) -> Sample:
    """Return the reading of an unregistered point as its gateway sent it, alone in its sample.

    Its time is the millisecond of the point: what lies below keeps readings apart that share it.
    """
    fields = point.fields
    reading = Reading(
        quantity=str(fields.get("quantity", "")),
        value=float(fields.get("value", 0.0)),
        unit=str(fields.get("unit", "")),
        channel=str(fields.get("channel", "")),
        flags=int(fields.get("flags", 0)),
    )
    return Sample(str(fields.get("device", "")), point.time_ns // NS_PER_MS, (reading,))
