"""Reads in InfluxQL: the one language that InfluxDB 1.x, 2.x, 3 Core and Grafana share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from base.errors import PermanentError
from cloud.points import Point, Series
from cloud.stores.rules import MAX_TIME_NS, MIN_TIME_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cloud.points import Fields, Value
    from cloud.stores.query import QueryClient

_CASTS = {"float": "float", "integer": "float", "unsigned": "float", "string": "string", "boolean": "boolean"}


def identifier(name: str) -> str:
    """Quote the name of a measurement, tag, field or database."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(text: str) -> str:
    """Quote a text."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class InfluxqlReader:
    """The reading half of a store that speaks InfluxQL; methods as in `Store`."""

    def __init__(self, queries: QueryClient) -> None:
        self._queries = queries

    def series(
        self, measurement: str, start_ns: int, end_ns: int, tags: Mapping[str, str] | None = None
    ) -> Iterator[Point]:
        """All points of a measurement in a time range, in order of time."""
        fields, tag_keys = self._columns(measurement)
        start_ns, end_ns = max(start_ns, MIN_TIME_NS), min(end_ns, MAX_TIME_NS + 1)
        if not fields or start_ns >= end_ns:
            return
        # One column for each field and type: where a field has two, SELECT * would drop one of them unsaid.
        columns = [f"{identifier(name)}::{kind} AS f{index}" for index, (name, kind) in enumerate(fields)]
        columns += [f"{identifier(tag)}::tag AS t{index}" for index, tag in enumerate(tag_keys)]
        conditions = [f"time >= {start_ns}", f"time <= {end_ns - 1}", *_conditions(tags)]
        what, where = ", ".join(columns), " AND ".join(conditions)
        rows = _Rows(measurement, [name for name, _ in fields], tag_keys)
        for row in self._queries.rows(f"SELECT {what} FROM {identifier(measurement)} WHERE {where}"):  # noqa: S608 - quoted
            yield rows.point(row)

    def latest(self, measurement: str, tags: Mapping[str, str] | None = None) -> list[Point]:
        """The newest value of each field of each series, sorted by tags and field."""
        fields, _ = self._columns(measurement)
        if not fields:
            return []
        where = f" WHERE {' AND '.join(_conditions(tags))}" if tags else ""
        source = f"FROM {identifier(measurement)}{where} GROUP BY *"
        newest: dict[tuple[Series, str], Point] = {}
        for number, block in self._queries.run(*(f"SELECT last({identifier(n)}::{k}) {source}" for n, k in fields)):
            series = _series(measurement, block.tags.items())
            name = fields[number][0]
            for time_ns, value in block.values:
                known = newest.get((series, name))
                if known is None or known.time_ns < time_ns:
                    newest[series, name] = Point(series, time_ns, {name: _plain(value)})
        return sorted(newest.values(), key=lambda point: (point.series.tags, *point.fields))

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        """The values of a tag, sorted; InfluxDB also lists those whose points it rejected."""
        rows = self._queries.rows(f"SHOW TAG VALUES FROM {identifier(measurement)} WITH KEY = {identifier(tag)}")
        return sorted({value for _, value in rows if value})

    def measurements(self) -> list[str]:
        """Names of all measurements, sorted."""
        return sorted(name for (name,) in self._queries.rows("SHOW MEASUREMENTS"))

    def close(self) -> None:
        """Let go of all connections."""
        self._queries.close()

    def _columns(self, measurement: str) -> tuple[list[tuple[str, str]], list[str]]:
        """Return fields, with the type to read each as, and tags."""
        source = identifier(measurement)
        fields: set[tuple[str, str]] = set()
        tags: list[str] = []
        for number, block in self._queries.run(f"SHOW FIELD KEYS FROM {source}", f"SHOW TAG KEYS FROM {source}"):
            if number == 0:
                fields.update((name, self._cast(kind)) for name, kind in block.values)
            else:
                tags += [tag for (tag,) in block.values]
        return sorted(fields), sorted(tags)

    def _cast(self, kind: str) -> str:
        if kind not in _CASTS:
            raise PermanentError(f"{self._queries.store} holds a field of the type {kind!r}, which we cannot read")
        return _CASTS[kind]


class _Rows:
    """Turns the rows of one SELECT (time, fields, tags) into points."""

    def __init__(self, measurement: str, fields: Sequence[str], tags: Sequence[str]) -> None:
        self._measurement = measurement
        self._fields = fields
        self._tags = tags
        self._known: dict[tuple[str | None, ...], Series] = {}

    def point(self, row: list[Any]) -> Point:
        end = 1 + len(self._fields)
        values = tuple(row[end:])
        series = self._known.get(values)
        if series is None:
            series = self._known[values] = _series(self._measurement, zip(self._tags, values, strict=True))
        pairs = zip(self._fields, row[1:end], strict=True)
        fields: Fields = {name: _plain(value) for name, value in pairs if value is not None}
        return Point(series, row[0], fields)


def _conditions(tags: Mapping[str, str] | None) -> list[str]:
    return [f"{identifier(tag)}::tag = {literal(value)}" for tag, value in (tags or {}).items()]


def _series(measurement: str, tags: Iterable[tuple[str, str | None]]) -> Series:
    return Series(measurement, tuple(sorted((tag, value) for tag, value in tags if value)))


def _plain(value: float | str | bool) -> Value:  # noqa: FBT001 - a field's value, whatever it is
    """Return a field's value; JSON writes a whole float without a point."""
    return value if isinstance(value, bool | str) else float(value)
