"""What the store can never take is kept in it all the same: as text, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud.points import Point, Series
from cloud.stores import line_protocol
from cloud.stores.interface import RejectedPointsError
from wire.bounds import MAX_PACK_READINGS

if TYPE_CHECKING:
    from wire.batch import Header

NS_PER_MS = 1_000_000
DEAD_LETTER = "dead_letter"
MOST_POINT_CHARS = 4_000
MOST_REASON_CHARS = 500
_BATCHES_APART = 50
_POINTS_APART = 2 * MAX_PACK_READINGS
"""A batch makes a point for each of its readings at most, and one or two for each of its devices and hours."""


def letter(gateway: str, header: Header, index: int, point: Point, reason: str, at_ms: int) -> Point:
    """Make a dead letter of the `index`-th point of a batch.

    `at_ms` is where it stands in time. A batch's letters have nanoseconds of their own, by its number and the index:
    no two overwrite each other, and a batch that comes again overwrites its own.
    """
    apart_ns = (header.number % _BATCHES_APART) * _POINTS_APART + index % _POINTS_APART
    fields = {"point": _plain(_text(point), MOST_POINT_CHARS), "reason": _plain(reason, MOST_REASON_CHARS)}
    return Point(Series.of(DEAD_LETTER, gateway=gateway), at_ms * NS_PER_MS + apart_ns, {**fields})


def _text(point: Point) -> str:
    """Line protocol where the point can be written as such, else as near to it as can be."""
    try:
        return line_protocol.encode([point]).decode().rstrip("\n")
    except (RejectedPointsError, UnicodeEncodeError):
        tags = "".join(f",{tag}={value}" for tag, value in point.series.tags)
        fields = ",".join(f"{name}={value!r}" for name, value in point.fields.items())
        return f"{point.series.measurement}{tags} {fields} {point.time_ns}"


def _plain(text: str, most_chars: int) -> str:
    """Cut a text, and write whatever is no character as an escape."""
    return text[:most_chars].encode("utf-8", "backslashreplace").decode()
