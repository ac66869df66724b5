"""What every store refuses, so that the demo refuses what production would.

The rules are those of line protocol as InfluxDB 1.x and 2.x read it: it has no escape for a control character,
changes or loses backslashes in names and at the end of tag values without a word, takes a line that begins
with # for a comment, and keeps some names to itself. All functions raise RejectedPointsError.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from cloud.stores.interface import RejectedPointsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloud.points import Series, Value

MIN_TIME_NS = -(2**63) + 2
MAX_TIME_NS = 2**63 - 2
RESERVED = frozenset({"time", "_field", "_measurement"})
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\\]")
_NOT_IN_TAGS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]|\\\Z")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_series(series: Series) -> None:
    """Check the names and tag values of a series; an empty tag value is as good as none."""
    _check_name("measurement", series.measurement)
    if series.measurement.startswith("#"):
        raise RejectedPointsError(f"the measurement {series.measurement!r} begins with #, which makes a comment")
    for tag, value in series.tags:
        _check_key("tag", tag)
        if _NOT_IN_TAGS.search(value):
            raise RejectedPointsError(f"the tag {tag}={value!r} holds a control character or ends with a backslash")


def check_field(name: str) -> None:
    """Check the name of a field."""
    _check_key("field", name)


def check_time(time_ns: int) -> None:
    """Check a time: some 292 years around 1970."""
    if not MIN_TIME_NS <= time_ns <= MAX_TIME_NS:
        raise RejectedPointsError(f"the time {time_ns} ns is out of range")


def plain_fields(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Check fields and values; a whole number becomes a float, since a field keeps one type for ever."""
    if not fields:
        raise RejectedPointsError("a point without a field")
    for name in fields:
        check_field(name)
    return {name: plain_value(name, value) for name, value in fields.items()}


def plain_value(name: str, value: Value) -> Value:
    """Check the value of a field."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise RejectedPointsError(f"the field {name!r} is no text that UTF-8 can write")
        return value
    try:
        number = float(value)
    except OverflowError as error:
        raise RejectedPointsError(f"the field {name!r} is too great a number") from error
    if not math.isfinite(number):
        raise RejectedPointsError(f"the field {name!r} is {number}, which is no number")
    return number


def _check_key(what: str, name: str) -> None:
    _check_name(what, name)
    if name in RESERVED:
        raise RejectedPointsError(f"the {what} name {name!r} belongs to the store")


def _check_name(what: str, name: str) -> None:
    if not name:
        raise RejectedPointsError(f"a {what} without a name")
    if _NOT_IN_NAMES.search(name):
        raise RejectedPointsError(f"the {what} {name!r} holds a control character or a backslash")
