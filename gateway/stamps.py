"""The times of readings before and after the time is known, and what is committed of them.

A stamp is Unix time, or, below `EARLIEST_MS`, the time since the machine started: such a reading has no time yet.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from gateway.spool_records import EARLIEST_MS
from wire.readings import Flag, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

Origin = Literal["kernel", "trusted", "collector"]
GRID_MS = 4
"""Also the number of lanes."""
SAME_MS = 1000
"""Clocks that are no further apart agree."""


class Timing(NamedTuple):
    """What is committed of a boot's time. Offsets make Unix time of the time since the start, in milliseconds."""

    boot: str
    offset_ms: int
    origin: Origin
    placing_ms: int
    """The first one; readings without a time are placed with it, and it never changes."""
    placing_flags: int

    def place(self, sample: Sample) -> Sample:
        """Give a sample that has none its time."""
        if is_placed(sample.measured_at_ms):
            return sample
        return flagged(
            Sample(sample.device, sample.measured_at_ms + self.placing_ms, sample.readings), self.placing_flags
        )


class Past(NamedTuple):
    """What the spool remembers."""

    timing: Timing | None = None
    """Of this boot."""
    lane: int = 0
    latest_ms: int | None = None
    """When the newest batch was sealed that has a time (Unix time)."""


class Stamp(NamedTuple):
    """The time of a reading, or since the start of the machine, and the flags that go with it."""

    at_ms: int
    flags: int = 0


class SourceTime(NamedTuple):
    """The time that a source gave to what it said."""

    at_ms: int
    flags: int
    at_s: float
    """The same moment on the monotonic clock."""
    arrived_s: float
    """When it came, on the monotonic clock."""

    def stamped(self, device: str, readings: tuple[Reading, ...]) -> Sample:
        """Make a sample of readings."""
        return flagged(Sample(device, self.at_ms, readings), self.flags)


def is_placed(at_ms: int) -> bool:
    """Whether a time is Unix time; otherwise it is time since the start of the machine."""
    return at_ms >= EARLIEST_MS


def flagged(sample: Sample, flags: int) -> Sample:
    """Return a sample with flags on all its readings."""
    if not flags:
        return sample
    readings = tuple(_flagged(reading, flags) for reading in sample.readings)
    return Sample(sample.device, sample.measured_at_ms, readings)


def _flagged(reading: Reading, flags: int) -> Reading:
    return msgspec.structs.replace(reading, flags=reading.flags | flags)


AHEAD_MS = 120_000
"""A source whose time is so far in the future has a wrong clock ..."""
OLDEST_MS = 366 * 86_400_000
"""... and one that is so far behind."""

MOST_SAID = 100
"""Times of a source that are known again, for each device."""


class Stamps:
    """The times of one device: no two are the same."""

    def __init__(self, stamp: Callable[[float], Stamp]) -> None:
        self._stamp = stamp
        self._last_ms = 0
        self._said: OrderedDict[int, tuple[Reading, ...]] = OrderedDict()
        """What a source said last, by its times."""

    def next(self, monotonic_s: float) -> Stamp:
        """Return the time of a moment on the monotonic clock.

        A tie with the last one moves on. What goes back further is a step of the time: it is in another lane, and is
        followed.
        """
        at_ms, flags = self._stamp(monotonic_s)
        if is_placed(at_ms) == is_placed(self._last_ms) and 0 <= self._last_ms - at_ms < SAME_MS:
            at_ms = self._last_ms + GRID_MS
        self._last_ms = at_ms
        return Stamp(at_ms, flags)

    def of_source(self, at_ms: int, monotonic_s: float, readings: tuple[Reading, ...]) -> SourceTime:
        """Return the time that a source gave to readings which came at a moment on the monotonic clock.

        The same readings at the same time are the same message again, and keep it; others at this time move on by 1 ms.
        A time that cannot be gives way to that of the arrival, and is flagged.
        """
        arrived_ms, _ = self._stamp(monotonic_s)
        behind_ms = arrived_ms - at_ms
        if not is_placed(at_ms) or (is_placed(arrived_ms) and not -AHEAD_MS <= behind_ms <= OLDEST_MS):
            own = self.next(monotonic_s)
            return SourceTime(own.at_ms, own.flags | Flag.TIME_ESTIMATED, monotonic_s, monotonic_s)
        while self._said.get(at_ms, readings) != readings:
            at_ms += 1
        self._said[at_ms] = readings
        if len(self._said) > MOST_SAID:
            self._said.popitem(last=False)
        at_s = monotonic_s - behind_ms / 1000 if is_placed(arrived_ms) else monotonic_s
        return SourceTime(at_ms, 0, at_s, monotonic_s)
