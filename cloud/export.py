"""Readings out of a store, one by one, as programs like them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloud.routing import NS_PER_MS
from wire.vocabulary import measurements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud.points import Point
    from cloud.stores.interface import Store


class ExportedReading(msgspec.Struct, frozen=True):
    """One reading as the store holds it; `time_ms` is Unix time in milliseconds."""

    measurement: str
    site: str
    gateway: str
    device: str
    quantity: str
    channel: str
    time_ms: int
    value: float
    flags: int


def readings(store: Store, start_ms: int, end_ms: int) -> Iterator[ExportedReading]:
    """Return every reading of a time range (start <= time < end), good and suspect ones."""
    for measurement in _present(store):
        for point in store.series(measurement, start_ms * NS_PER_MS, end_ms * NS_PER_MS):
            yield from _readings(point)


def latest(store: Store) -> Iterator[ExportedReading]:
    """Return the newest value of every series and quantity."""
    for measurement in _present(store):
        for point in store.latest(measurement):
            yield from _readings(point)


def _present(store: Store) -> list[str]:
    """Return the measurements of readings that the store holds."""
    known = measurements().readings.measurements
    return [name for name in store.measurements() if name.removesuffix("_suspect") in known]


def _readings(point: Point) -> Iterator[ExportedReading]:
    tags = dict(point.series.tags)
    flags = int(point.fields.get("q", 0))
    for quantity, value in point.fields.items():
        if quantity == "q" or not isinstance(value, float):
            continue
        yield ExportedReading(
            measurement=point.series.measurement,
            site=tags.get("site", ""),
            gateway=tags.get("gateway", ""),
            device=tags.get("device", ""),
            quantity=quantity,
            channel=tags.get("channel", ""),
            time_ms=point.time_ns // NS_PER_MS,
            value=value,
            flags=flags,
        )
