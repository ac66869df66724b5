"""Points as line protocol: `measurement,tag=value field=1.5,text="x",flag=true 1700000000000000000`.

What it costs per point decides what a collector can do, and the series is most of it: so the escaped series is
cached, and whoever writes many points should build a `Series` once and use it again.
Source: https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
"""

from __future__ import annotations

import gzip
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from cloud.stores import rules
from cloud.stores.interface import RejectedPointsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cloud.points import Point, Series, Value

POINTS_PER_BODY = 10_000
"""Some 2 MB; InfluxDB takes 25 MB by default."""
GZIP_LEVEL = 1  # influxdb-client takes 9: five times the work for a third less on the wire
CACHED_SERIES = 65_536  # some 20 MB at most
CACHED_FIELDS = 4_096

_IN_MEASUREMENT = re.compile(r"([, ])")
_IN_KEY = re.compile(r"([,= ])")
_IN_TEXT = re.compile(r'(["\\])')


def bodies(points: Sequence[Point]) -> Iterator[bytes]:
    """Write points as the gzipped bodies of requests, each of a bounded size.

    Raises: as `encode`, when it comes to the body with the bad point.
    """
    for start in range(0, len(points), POINTS_PER_BODY):
        yield gzip.compress(encode(points[start : start + POINTS_PER_BODY]), GZIP_LEVEL, mtime=0)


def encode(points: Iterable[Point]) -> bytes:
    """Write points as lines, each ended by a line feed. Numbers are floats, to the last digit.

    Raises: RejectedPointsError naming the first point that cannot be written; see `rules`.
    """
    lines: list[str] = []
    for point in points:
        try:
            lines.append(_line(point))
        except RejectedPointsError as error:
            raise RejectedPointsError(f"{point.series.measurement!r} at {point.time_ns} ns: {error}") from error
    return "".join(lines).encode()


def _line(point: Point) -> str:
    fields = ",".join(
        [
            # a finite float, by far the most frequent, costs no call
            f"{_key(name)}{value!r}"
            if value.__class__ is float and value - value == 0.0
            else f"{_key(name)}{_value(name, value)}"
            for name, value in point.fields.items()
        ]
    )
    if not fields:
        raise RejectedPointsError("a point without a field")
    time_ns = point.time_ns
    if not rules.MIN_TIME_NS <= time_ns <= rules.MAX_TIME_NS:
        rules.check_time(time_ns)
    return f"{_prefix(point.series)}{fields} {time_ns}\n"


@lru_cache(CACHED_SERIES)
def _prefix(series: Series) -> str:
    rules.check_series(series)
    tags = [f",{_escape_key(tag)}={_escape_key(value)}" for tag, value in series.tags if value]
    return _IN_MEASUREMENT.sub(r"\\\1", series.measurement) + "".join(tags) + " "


@lru_cache(CACHED_FIELDS)
def _key(name: str) -> str:
    rules.check_field(name)
    return _escape_key(name) + "="


def _escape_key(text: str) -> str:
    return _IN_KEY.sub(r"\\\1", text)


def _value(name: str, value: Value) -> str:
    plain = rules.plain_value(name, value)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, str):
        return '"' + _IN_TEXT.sub(r"\\\1", plain) + '"'
    return repr(plain)
