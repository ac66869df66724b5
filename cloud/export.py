"""Readings out of a store, one by one, as programs like them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloud import pieces
from cloud.routing import NS_PER_MS
from cloud.unregistered import UNREGISTERED, is_adopted, seconds_around, time_ms
from wire.vocabulary import measurements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cloud.points import Point
    from cloud.stores.interface import Store


GAP = "gap"


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


def is_known(measurement: str) -> bool:
    """Whether a measurement holds readings: good, suspect or unregistered ones, or gaps."""
    return measurement in (UNREGISTERED, GAP) or _is_registered(measurement)


def _is_registered(measurement: str) -> bool:
    return measurement.removesuffix("_suspect") in measurements().readings.measurements


def readings(store: Store, start_ms: int, end_ms: int, only: Collection[str] = ()) -> Iterator[ExportedReading]:
    """Return every reading of a time range (start <= time < end).

    Good and suspect ones, or those of some measurements only, which may be `unregistered` (what was adopted is left
    out there, because it counts in its place) or `gap`: then as gaps travel, as the quantities `gap_until` and
    `gap_readings` with the reason as channel.
    """
    for measurement in _present(store, only):
        if measurement == UNREGISTERED:
            for point in pieces.series(store, measurement, *seconds_around(start_ms, end_ms)):
                if start_ms <= time_ms(point) < end_ms:
                    yield from _unregistered(point)
        else:
            for point in pieces.series(store, measurement, start_ms * NS_PER_MS, end_ms * NS_PER_MS):
                yield from _readings(point)


def latest(store: Store, only: Collection[str] = ()) -> Iterator[ExportedReading]:
    """Return the newest value of every series and quantity, or of those of some measurements (registered ones)."""
    for measurement in _present(store, only):
        for point in store.latest(measurement):
            yield from _readings(point)


def _present(store: Store, only: Collection[str]) -> list[str]:
    """Return the measurements of readings that the store holds."""
    return [name for name in store.measurements() if (name in only if only else _is_registered(name))]


def _unregistered(point: Point) -> Iterator[ExportedReading]:
    if is_adopted(point):
        return
    fields = point.fields
    yield ExportedReading(
        measurement=UNREGISTERED,
        site="",
        gateway=point.series.tag("gateway"),
        device=str(fields.get("device", "")),
        quantity=str(fields.get("quantity", "")),
        channel=str(fields.get("channel", "")),
        time_ms=time_ms(point),
        value=float(fields.get("value", 0.0)),
        flags=int(fields.get("flags", 0)),
    )


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
            channel=tags.get("reason" if point.series.measurement == GAP else "channel", ""),
            time_ms=point.time_ns // NS_PER_MS,
            value=value,
            flags=flags,
        )
