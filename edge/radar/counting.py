"""Counts passages: what a radar reports several times a second becomes one passage, and passages become numbers.

A passage ends when its direction was silent for `gap_s`, or after `longest_s`: what follows then is taken for the next
vehicle of a dense stream. Its speed is the middle one of its reports, since wheels seem twice as fast as their car;
where the radar itself reports the fastest speed of an object, that.

Nothing of a single passage is handed on: counts, and speeds where at least `least_passages` vehicles were measured.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from edge.interface import Measured
from edge.plausibility.encoding import shortest
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge.radar.reports import Direction, Report
    from wire.profile import Channel

VehicleClass: TypeAlias = Literal["car", "lorry", "unknown"]
LONGEST_VEHICLE_M = 30.0
SHORTEST_VEHICLE_M = 0.5
SHORTEST_S = 30.0
"""A sample is never made of less: asked for often enough, counts would show single passages."""
MOST_GARBLED = 0.1
"""Of an interval's lines. A vehicle has four reports and more, of which two must come: where one line in ten cannot be
read, one vehicle in 300 is missed; where one in two, every third."""
FEW_GARBLED = 2
"""So many may be garbled in any interval: on a quiet road they would be a large share."""
MOST_REPORTS = 500
MOST_PASSAGES = 20_000
"""In an interval and direction; no road has so many."""


class Counting(NamedTuple):
    """How passages are told apart, and what is said of them."""

    gap_s: float
    longest_s: float
    least_reports: int
    """What was reported less often is no vehicle, unless the radar is sure."""
    slowest_kmh: float
    lorry_from_m: float
    least_passages: int
    is_turned: bool = False
    """What comes towards the radar counts as `out`."""
    alive_s: float | None = None
    """An interval in which the radar said nothing for longer is not whole; None: it cannot be asked."""


class Passage(NamedTuple):
    """One vehicle."""

    speed_kmh: float
    vehicle_class: VehicleClass


@dataclass
class _Passing:
    """A passage that may go on."""

    began_s: float
    last_s: float
    speeds: list[float] = field(default_factory=list)
    sure_kmh: float = 0.0
    length_m: float | None = None

    def add(self, report: Report, at_s: float) -> None:
        self.last_s = at_s
        if len(self.speeds) < MOST_REPORTS:
            self.speeds.append(report.speed_kmh)
        if report.is_sure:
            self.sure_kmh = max(self.sure_kmh, report.speed_kmh)
        self.length_m = report.length_m if report.length_m is not None else self.length_m


class TrafficCounter:
    """What passed since the last sample. Times are monotonic, in seconds."""

    def __init__(
        self,
        counting: Counting,
        readings: Sequence[str],
        channels: Mapping[str, Channel],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`readings`: what a sample holds, each of a channel with a direction, and perhaps a class."""
        self._counting = counting
        self._readings = tuple(readings)
        self._channels = channels
        self._clock = clock
        self._passing: dict[Direction, _Passing] = {}
        self._passages: dict[Direction, list[Passage]] = {"in": [], "out": []}
        self._began_s = self._alive_s = clock()
        self._is_open = self._is_whole = False
        self._lines = self._garbled = 0

    def saw(self, report: Report) -> None:
        """Take a report."""
        now_s = self._clock()
        if report.speed_kmh < self._counting.slowest_kmh:
            return
        direction: Direction = report.direction
        if self._counting.is_turned:
            direction = "out" if direction == "in" else "in"
        passing = self._passing.get(direction)
        if passing is not None and not self._goes_on(passing, report, now_s):
            self._end(direction)
            passing = None
        if passing is None:
            passing = self._passing[direction] = _Passing(now_s, now_s)
        passing.add(report, now_s)
        if report.is_passage:
            self._end(direction)

    def alive(self) -> None:
        """Note that the radar said something."""
        now_s = self._clock()
        self._check_life(now_s)
        self._alive_s = now_s
        self._lines += 1

    def garbled(self) -> None:
        """Note a line that cannot be read: perhaps a vehicle's."""
        self._lines += 1
        self._garbled += 1

    def opened(self) -> None:
        """Note that it is heard from now on: what passed before in this interval was not counted."""
        self._is_open, self._alive_s = True, self._clock()

    def closed(self) -> None:
        """Note that it is not heard any more."""
        self._passing.clear()
        self._is_open = self._is_whole = False

    def take(self) -> Measured | None:
        """Return what passed, at the time of now, and begin anew.

        None where it is not known for the whole interval, or too much of what was said in it could not be read.
        """
        now_s = self._clock()
        self._check_life(now_s)
        if self._is_whole and now_s - self._began_s < SHORTEST_S:
            return None  # what is not whole is let go at once: the next interval may begin
        for direction in tuple(self._passing):
            if now_s - self._passing[direction].last_s > self._counting.gap_s:
                self._end(direction)
        is_clear = self._garbled <= max(FEW_GARBLED, MOST_GARBLED * self._lines)
        measured = self._measured(now_s) if self._is_whole and is_clear else None
        self._lines = self._garbled = 0
        self._passages = {"in": [], "out": []}
        self._began_s, self._is_whole = now_s, self._is_heard(now_s)
        return measured

    def _goes_on(self, passing: _Passing, report: Report, now_s: float) -> bool:
        counting = self._counting
        is_near = now_s - passing.last_s <= counting.gap_s and now_s - passing.began_s <= counting.longest_s
        return is_near and not report.is_passage

    def _end(self, direction: Direction) -> None:
        passing = self._passing.pop(direction)
        passages = self._passages[direction]
        is_vehicle = passing.sure_kmh > 0 or len(passing.speeds) >= self._counting.least_reports
        if is_vehicle and len(passages) < MOST_PASSAGES:
            passages.append(Passage(passing.sure_kmh or median(passing.speeds), self._class_of(passing.length_m)))

    def _class_of(self, length_m: float | None) -> VehicleClass:
        if length_m is None or not SHORTEST_VEHICLE_M <= length_m <= LONGEST_VEHICLE_M:
            return "unknown"
        return "lorry" if length_m >= self._counting.lorry_from_m else "car"

    def _is_heard(self, now_s: float) -> bool:
        alive_s = self._counting.alive_s
        return self._is_open and (alive_s is None or now_s - self._alive_s <= alive_s)

    def _check_life(self, now_s: float) -> None:
        self._is_whole = self._is_whole and self._is_heard(now_s)

    def _measured(self, now_s: float) -> Measured:
        readings, without = [], []
        for name in self._readings:
            quantity, _, channel = name.partition("/")
            value = self._value(quantity, self._channels[channel])
            if value is None:
                without.append(name)
            else:
                readings.append(Reading(quantity, value, quantities()[quantity].unit, channel))
        return Measured(tuple(readings), now_s, tuple(without))

    def _value(self, quantity: str, channel: Channel) -> float | None:
        direction: Direction = "in" if channel.direction == "in" else "out"
        passages = [
            passage for passage in self._passages[direction] if channel.vehicle_class in (None, passage.vehicle_class)
        ]
        if quantity == "count_vehicles":
            return float(len(passages))
        if len(passages) < max(1, self._counting.least_passages):
            return None
        speeds = sorted(passage.speed_kmh for passage in passages)
        if quantity == "speed_mean":
            return shortest(round(math.fsum(speeds) / len(speeds), 1))
        return shortest(round(speeds[math.ceil(0.85 * len(speeds)) - 1], 1))
