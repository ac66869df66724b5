"""The store without a server: one SQLite file, for the demo, a single school, a laptop.

A point is a row: series, time, and its fields as a JSON object, into which later writes merge field by field.
"""

from __future__ import annotations

import heapq
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from cloud.points import Point, Series
from cloud.stores import rules
from cloud.stores.interface import RejectedPointsError
from cloud.stores.sqlite_file import SqliteFile

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY, measurement TEXT NOT NULL, tags TEXT NOT NULL, UNIQUE (measurement, tags)
);
CREATE TABLE point (
    series INTEGER NOT NULL, time_ns INTEGER NOT NULL, fields TEXT NOT NULL, PRIMARY KEY (series, time_ns)
) WITHOUT ROWID;
CREATE TABLE newest (
    series INTEGER NOT NULL, field TEXT NOT NULL, time_ns INTEGER NOT NULL, PRIMARY KEY (series, field)
) WITHOUT ROWID
"""
ROWS_IN_MEMORY = 16_384
"""What a read holds at a time, shared among the series it reads."""

_decode_fields = msgspec.json.Decoder(dict[str, float | str | bool]).decode
_decode_tags = msgspec.json.Decoder(dict[str, str]).decode
_encode = msgspec.json.encode


class EmbeddedStore:
    """A file of points. Threads may share it; other processes may read it meanwhile, and write in turn."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)
        self._ids: dict[Series, int] = {}

    def prepare(self) -> None:
        """Open the file; make it, and its directory, where there is none."""
        self._file.open(SCHEMA, SCHEMA_VERSION)

    def write(self, points: Sequence[Point]) -> None:
        """Write points in one transaction: all of them, or none."""
        checked = [(point.series, point.time_ns, _checked_fields(point)) for point in points]
        made: dict[Series, int] = {}
        newest: dict[tuple[int, str], int] = {}
        rows: list[tuple[int, int, str]] = []
        with self._file.transaction() as connection:
            for series, time_ns, fields in checked:
                number = self._ids.get(series) or made.get(series)
                if number is None:
                    number = made[series] = _series_id(connection, series)
                rows.append((number, time_ns, _encode(fields).decode()))
                for name in fields:
                    newest[number, name] = max(time_ns, newest.get((number, name), time_ns))
            connection.executemany(
                "INSERT INTO point VALUES (?, ?, ?) "
                "ON CONFLICT (series, time_ns) DO UPDATE SET fields = json_patch(fields, excluded.fields)",
                rows,
            )
            connection.executemany(
                "INSERT INTO newest VALUES (?, ?, ?) "
                "ON CONFLICT (series, field) DO UPDATE SET time_ns = max(time_ns, excluded.time_ns)",
                [(number, name, time_ns) for (number, name), time_ns in newest.items()],
            )
        self._ids.update(made)  # only now: what was rolled back has no id

    def series(
        self, measurement: str, start_ns: int, end_ns: int, tags: Mapping[str, str] | None = None
    ) -> Iterator[Point]:
        """All points of a measurement in a time range, in order of time."""
        start_ns, end_ns = max(start_ns, rules.MIN_TIME_NS), min(end_ns, rules.MAX_TIME_NS + 1)
        wanted = self._matching(measurement, tags)
        rows_each = max(16, ROWS_IN_MEMORY // max(1, len(wanted)))
        scans = [self._scan(number, series, start_ns, end_ns, rows_each) for number, series in wanted.items()]
        return heapq.merge(*scans, key=attrgetter("time_ns"))

    def latest(self, measurement: str, tags: Mapping[str, str] | None = None) -> list[Point]:
        """The newest value of each field of each series, sorted by tags and field."""
        wanted = self._matching(measurement, tags)
        rows = self._file.select(
            "SELECT newest.series, field, time_ns, fields FROM series JOIN newest ON newest.series = series.id "
            "JOIN point USING (series, time_ns) WHERE measurement = ?",
            [measurement],
        )
        points = [
            Point(wanted[number], time_ns, {field: _decode_fields(fields)[field]})
            for number, field, time_ns, fields in rows
            if number in wanted
        ]
        return sorted(points, key=lambda point: (point.series.tags, *point.fields))

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        """The values of a tag, sorted."""
        return sorted({series.tag(tag) for series in self._matching(measurement, None).values()} - {""})

    def measurements(self) -> list[str]:
        """Names of all measurements, sorted."""
        return [name for (name,) in self._file.select("SELECT DISTINCT measurement FROM series ORDER BY measurement")]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _matching(self, measurement: str, tags: Mapping[str, str] | None) -> dict[int, Series]:
        """Return the series that have all of `tags`, by id."""
        rows = self._file.select("SELECT id, tags FROM series WHERE measurement = ?", [measurement])
        known = {number: Series(measurement, tuple(_decode_tags(text).items())) for number, text in rows}
        asked = (tags or {}).items()
        return {n: series for n, series in known.items() if all(series.tag(tag) == value for tag, value in asked)}

    def _scan(self, number: int, series: Series, start_ns: int, end_ns: int, rows_each: int) -> Iterator[Point]:
        """Yield the points of one series page by page, so that no cursor stays open between them."""
        while True:
            rows = self._file.select(
                "SELECT time_ns, fields FROM point WHERE series = ? AND time_ns >= ? AND time_ns < ? "
                "ORDER BY time_ns LIMIT ?",
                [number, start_ns, end_ns, rows_each],
            )
            for time_ns, fields in rows:
                yield Point(series, time_ns, _decode_fields(fields))
            if len(rows) < rows_each:
                return
            start_ns = rows[-1][0] + 1


def _checked_fields(point: Point) -> Mapping[str, float | str | bool]:
    try:
        rules.check_time(point.time_ns)
        return rules.plain_fields(point.fields)
    except RejectedPointsError as error:
        raise RejectedPointsError(f"{point.series.measurement!r} at {point.time_ns} ns: {error}") from error


def _series_id(connection: sqlite3.Connection, series: Series) -> int:
    """Return the id of a series; make it where there is none."""
    rules.check_series(series)
    key = (series.measurement, _encode(dict(sorted((tag, value) for tag, value in series.tags if value))).decode())
    connection.execute("INSERT INTO series (measurement, tags) VALUES (?, ?) ON CONFLICT DO NOTHING", key)
    (number,) = connection.execute("SELECT id FROM series WHERE measurement = ? AND tags = ?", key).fetchone()
    return int(number)
