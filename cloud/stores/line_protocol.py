"""Points as line protocol: `measurement,tag=value field=1.5,text="x",flag=true 1700000000000000000`.

What it costs per point decides what a collector can do. So the escaped series is cached (whoever writes many points
should build a `Series` once and use it again), and points that hold nothing but numbers under plain names, which is
nearly all, are written together by msgspec's JSON encoder: `{"a":1.5,"b":2.0}` is `a=1.5,b=2.0` but for its
punctuation, and a number takes it a tenth of the time of Python's `repr`.
Source: https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
"""

from __future__ import annotations

import gzip
import math
import re
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from cloud.stores import rules
from cloud.stores.interface import RejectedPointsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloud.points import Fields, Point, Series, Value

POINTS_PER_BODY = 10_000
"""Some 2 MB; InfluxDB takes 25 MB by default."""
GZIP_LEVEL = 1  # influxdb-client takes 9: five times the work for a third less on the wire
POINTS_TOGETHER = 500
"""One that holds a text costs these the quick way."""
CACHED_SERIES = 1 << 20
"""More than a city of 100,000 devices has, since a cache that is a little too small is none; some 300 B each."""
CACHED_FIELDS = 4_096
CACHED_TIMES = 64

_IN_MEASUREMENT = re.compile(r"([, ])")
_IN_KEY = re.compile(r"([,= ])")
_IN_TEXT = re.compile(r'(["\\])')
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*")

_json = msgspec.json.Encoder()


def bodies(points: Sequence[Point]) -> Iterator[bytes]:
    """Write points as the bodies of requests, each of a bounded size.

    Raises: as `encode`, when it comes to the body with the bad point.
    """
    for start in range(0, len(points), POINTS_PER_BODY):
        yield encode(points[start : start + POINTS_PER_BODY])


def compress(body: bytes) -> bytes:
    """Compress a body for the way over a network; a tenth remains."""
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def encode(points: Sequence[Point]) -> bytes:
    """Write points as lines, each ended by a line feed. Numbers are floats, to the last digit.

    Raises: RejectedPointsError naming the first point that cannot be written; see `rules`.
    """
    parts = []
    for start in range(0, len(points), POINTS_TOGETHER):
        part = points[start : start + POINTS_TOGETHER]
        parts.append(_encode_numbers(part) or _encode_any(part))
    return b"".join(parts)


def _encode_numbers(points: Sequence[Point]) -> bytes | None:
    """Write points that hold finite numbers under plain names; None for any others."""
    fields = [point.fields for point in points]
    if not all(fields) or not all(map(_is_plain, set(chain.from_iterable(fields)))):
        return None
    if not _are_finite(fields):
        return None
    text = _json.encode_lines(fields)
    if b":t" in text or b":f" in text:  # true, false
        return None
    lines = text[1:-2].replace(b'":', b"=").replace(b'"', b"").decode().split("}\n{")
    try:
        made = [
            f"{_prefix(point.series)}{line} {_time(point.time_ns)}\n" for point, line in zip(points, lines, strict=True)
        ]
    except RejectedPointsError:
        return None
    return "".join(made).encode()


def _are_finite(several: Sequence[Fields]) -> bool:
    """Whether all values are numbers, and finite: their sum is, then. False also where the sum alone is too great."""
    values: Iterator[Any] = chain.from_iterable(fields.values() for fields in several)
    try:
        return math.isfinite(sum(values))
    except (TypeError, OverflowError):  # a text; a whole number that is none of a float
        return False


@lru_cache(CACHED_TIMES)
def _time(time_ns: int) -> str:
    """Write a time; the points of one sample follow each other."""
    rules.check_time(time_ns)
    return str(time_ns)


@lru_cache(CACHED_FIELDS)
def _is_plain(name: str) -> bool:
    return _PLAIN_NAME.fullmatch(name) is not None and name not in rules.RESERVED


def _encode_any(points: Sequence[Point]) -> bytes:
    lines: list[str] = []
    for point in points:
        try:
            lines.append(_line(point))
        except RejectedPointsError as error:
            raise RejectedPointsError(f"{point.series.measurement!r} at {point.time_ns} ns: {error}") from error
    return "".join(lines).encode()


def _line(point: Point) -> str:
    fields = ",".join(f"{_key(name)}{_value(name, value)}" for name, value in point.fields.items())
    if not fields:
        raise RejectedPointsError("a point without a field")
    rules.check_time(point.time_ns)
    return f"{_prefix(point.series)}{fields} {point.time_ns}\n"


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
