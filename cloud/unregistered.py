"""Readings without a place, as they lie in the store: the way back from a point to what a gateway sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud.routing import NS_PER_MS, NS_PER_S, TIME_MS, UNREGISTERED
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from cloud.points import Point

__all__ = ["ADOPTED_AT", "UNREGISTERED", "is_adopted", "sample_of", "seconds_around", "time_ms"]

END_OF_TIME_NS = 2**63 - 2
ADOPTED_AT = "adopted_at_ms"
"""The field that marks a reading which `messnetz cloud adopt` has brought to its place; Unix time in milliseconds."""


def is_adopted(point: Point) -> bool:
    """Whether the reading has a place by now, and counts there."""
    return ADOPTED_AT in point.fields


def sample_of(point: Point) -> Sample:
    """Return the reading of an unregistered point as its gateway sent it, alone in its sample."""
    fields = point.fields
    reading = Reading(
        quantity=str(fields.get("quantity", "")),
        value=float(fields.get("value", 0.0)),
        unit=str(fields.get("unit", "")),
        channel=str(fields.get("channel", "")),
        flags=int(fields.get("flags", 0)),
    )
    return Sample(str(fields.get("device", "")), time_ms(point), (reading,))


def time_ms(point: Point) -> int:
    """Return when the reading of an unregistered point was measured, in Unix milliseconds.

    The point itself stands at the second: what lies below keeps readings apart. One without the field is of a
    release that kept the millisecond there.
    """
    return int(point.fields.get(TIME_MS, point.time_ns // NS_PER_MS))


def seconds_around(start_ms: int, end_ms: int) -> tuple[int, int]:
    """Return where in time the points of readings with start <= time < end stand, as nanoseconds; others may, too."""
    start_s, end_s = start_ms * NS_PER_MS // NS_PER_S, -(-end_ms * NS_PER_MS // NS_PER_S)
    return start_s * NS_PER_S, min(end_s * NS_PER_S, END_OF_TIME_NS)
