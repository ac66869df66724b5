"""Brings unregistered readings to where they belong, once the registry knows their device.

The registry of now decides, by routing itself, so that what is adopted lies where it would lie had the device been
known from the start. The order is what makes it safe: the copies are written, the store confirms them, and only then
are the originals marked. Killed in between, the next run finds the copies in their place and marks what it had not.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from cloud.outcomes import Kind, Outcome, Tally
from cloud.pieces import following
from cloud.points import Point, Series
from cloud.routing import NS_PER_MS, route
from cloud.unregistered import ADOPTED_AT, UNREGISTERED, is_adopted, sample_of, seconds_around, time_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cloud.points import Fields
    from cloud.registry import Registry
    from cloud.stores.interface import Store
    from wire.readings import Sample

MOST_READINGS = 20_000
"""Of one piece: what is read, written and marked together, and all that is held in memory."""
WINDOW_NS = 24 * 3600 * 10**9
"""Of one read; stores answer raw reads of some days, not of years."""
HOUR_NS = 3600 * 10**9
MOST_ASKED_BY_NAME = 20
"""Devices of one piece beyond which their gateway's points are read as one."""
FLAGS = "q"


@dataclass(frozen=True)
class Choice:
    """Which readings: times are Unix milliseconds, start <= time < end."""

    start_ms: int
    end_ms: int
    gateway: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class _Routed:
    """An unregistered point, the reading in it, and where that belongs."""

    original: Point
    sample: Sample
    target: Point

    @property
    def key(self) -> tuple[Series, int]:
        return self.target.series, self.target.time_ns


def adopt(
    store: Store, registry: Registry, choice: Choice, *, is_dry: bool, looked: Callable[[int, int], None]
) -> Tally:
    """Adopt what may be adopted, or with `is_dry` only say what would be; returns what became of each reading.

    `looked` is told how many readings a piece had, and the time that it has come to (Unix milliseconds).

    Raises: as the store does. What was done until then stays done; another run goes on from there.
    """
    tally = Tally()
    for gateway in store.tag_values(UNREGISTERED, "gateway"):
        if choice.gateway in (None, gateway):
            for points in _pieces(store, gateway, choice):
                chosen = [point for point in points if choice.start_ms <= time_ms(point) < choice.end_ms]
                _Piece(store, registry, gateway, tally).settle(chosen, choice.device, is_dry=is_dry)
                looked(len(points), points[-1].time_ns // NS_PER_MS)
    return tally


def _pieces(store: Store, gateway: str, choice: Choice) -> Iterator[list[Point]]:
    """Yield the unregistered points of a gateway in order of time, so many at once; days without any cost nothing."""
    start_ns, end_ns = seconds_around(choice.start_ms, choice.end_ms)
    tags = {"gateway": gateway}
    while start_ns < end_ns:
        window_end_ns = min(start_ns + WINDOW_NS, end_ns)
        points = list(islice(store.series(UNREGISTERED, start_ns, window_end_ns, tags), MOST_READINGS))
        if points:
            yield points
            start_ns = window_end_ns if len(points) < MOST_READINGS else points[-1].time_ns + 1
            continue
        start_ns = following(store, UNREGISTERED, window_end_ns, end_ns, tags)


class _Piece:
    """Some readings of one gateway, judged and adopted together."""

    def __init__(self, store: Store, registry: Registry, gateway: str, tally: Tally) -> None:
        self._store = store
        self._registry = registry
        self._gateway = gateway
        self._tally = tally

    def settle(self, points: list[Point], device: str | None, *, is_dry: bool) -> None:
        """Copy, and after the store's answer mark."""
        routed = self._route([point for point in points if not is_adopted(point)], device)
        copies: dict[tuple[Series, int], Fields] = {}
        held = self._held(routed)
        placed: list[Point] = []
        for each in routed:
            kind = _merge(each.target.fields, held.setdefault(each.key, {}), copies, each.key)
            if kind is not Kind.TAKEN:
                placed.append(each.original)
            self._tally.add(
                self._gateway, each.sample, Outcome(Kind.TO_ADOPT if is_dry and kind is Kind.ADOPTED else kind)
            )
        if is_dry:
            return
        now_ms = float(time.time_ns() // NS_PER_MS)
        if copies:
            written = [Point(series, time_ns, fields) for (series, time_ns), fields in copies.items()]
            self._store.write([*written, *_touched(written, now_ms)])
        if placed:
            self._store.write([Point(point.series, point.time_ns, {ADOPTED_AT: now_ms}) for point in placed])

    def _route(self, points: list[Point], device: str | None) -> list[_Routed]:
        """Ask routing for the place of each reading; those that have none are counted with the reason."""
        routed = []
        for point in points:
            sample = sample_of(point)
            if device not in (None, sample.device):
                continue
            (target,) = route(self._gateway, 0, [sample], self._registry)
            if target.series.measurement == UNREGISTERED:
                self._tally.add(self._gateway, sample, _why(self._registry, self._gateway, sample))
            else:
                routed.append(_Routed(point, sample, target))
        return routed

    def _held(self, routed: list[_Routed]) -> dict[tuple[Series, int], Fields]:
        """Return what the store holds at the places that are asked for."""
        wanted = {each.key for each in routed}
        devices: dict[str, set[str]] = defaultdict(set)
        for each in routed:
            devices[each.target.series.measurement].add(each.sample.device)
        held: dict[tuple[Series, int], Fields] = {}
        for measurement, names in devices.items():
            times = [time_ns for series, time_ns in wanted if series.measurement == measurement]
            asked: list[Mapping[str, str]] = [{"device": name} for name in sorted(names)]
            if len(names) > MOST_ASKED_BY_NAME:
                asked = [{"gateway": self._gateway}]
            for tags in asked:
                for point in self._store.series(measurement, min(times), max(times) + 1, tags):
                    if (point.series, point.time_ns) in wanted:
                        held[point.series, point.time_ns] = dict(point.fields)
        return held


def _merge(fields: Fields, held: Fields, copies: dict[tuple[Series, int], Fields], key: tuple[Series, int]) -> Kind:
    """Put a reading's fields into its point, beside what the point holds; a value that is there is never replaced."""
    values = {name: value for name, value in fields.items() if name != FLAGS}
    if values.items() <= held.items():
        return Kind.PRESENT
    if values.keys() & held.keys():
        return Kind.TAKEN
    if FLAGS in fields:  # as in routing: those of any reading of the point
        values[FLAGS] = float(int(fields[FLAGS]) | int(held.get(FLAGS, 0)))
    held.update(values)
    copies.setdefault(key, {}).update(values)
    return Kind.ADOPTED


def _touched(written: list[Point], now_ms: float) -> list[Point]:
    """Name the devices and hours that a write touched: what was derived from them is computed again."""
    hours = {(point.series.tag("device"), point.time_ns // HOUR_NS * HOUR_NS) for point in written}
    return [Point(Series.of("touched", device=name), at_ns, {"written_at_ms": now_ms}) for name, at_ns in sorted(hours)]


def _why(registry: Registry, gateway: str, sample: Sample) -> Outcome:
    """Say why routing has no place for a reading."""
    placement = registry.find(sample.device, sample.measured_at_ms)
    history = registry.history(sample.device)
    if placement is None and not history:
        return Outcome(Kind.UNKNOWN)
    following = next((known for known in history if known.since_ms > sample.measured_at_ms), None)
    nearest = placement or following or history[-1]
    if nearest.gateway != gateway:
        return Outcome(Kind.OTHER_GATEWAY, nearest.gateway)
    if placement is None:
        entry = nearest.entry
        return Outcome(Kind.BEFORE, entry.since) if following else Outcome(Kind.AFTER, entry.until or "")
    reading = sample.readings[0]
    slot = placement.slots.get((reading.quantity, reading.channel))
    if slot is not None and slot.unit != reading.unit:
        return Outcome(Kind.UNIT, f"{reading.unit or '1'}, not {slot.unit}")
    return Outcome(Kind.QUANTITY, placement.entry.profile)
