"""The dead band: a reading that changed little since the last recorded one is left out, but not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wire.readings import Reading

JITTER = 0.1
"""Of an interval: so little may the next poll be late without a reading being recorded one poll early."""


class _Recorded(NamedTuple):
    value: float
    at_s: float


class DeadBand:
    """What of one device was recorded last. Times are monotonic, in seconds."""

    def __init__(self, bands: Mapping[str, float], max_s: float, interval_s: float) -> None:
        """`bands`: quantity -> change in its unit; `max_s`: the longest that a reading may be left out."""
        self._bands = bands
        self._longest_s = max_s - (1 - JITTER) * interval_s
        self._recorded: dict[str, _Recorded] = {}

    def sift(self, readings: Sequence[Reading], at_s: float) -> tuple[Reading, ...]:
        """Return the readings that are to be recorded.

        Left out is one that changed by less than its band since the last recorded one, carries no flag, and would
        not have been left out for too long by the next poll.
        """
        kept = tuple(reading for reading in readings if self._is_news(reading, at_s))
        for reading in kept:
            self._recorded[reading.name] = _Recorded(reading.value, at_s)
        return kept

    def forget(self) -> None:
        """Record everything with the next sample: there was a time of which nothing is known."""
        self._recorded.clear()

    def _is_news(self, reading: Reading, at_s: float) -> bool:
        band = self._bands.get(reading.quantity)
        last = self._recorded.get(reading.name)
        if band is None or last is None or reading.flags:
            return True
        return abs(reading.value - last.value) >= band or at_s - last.at_s > self._longest_s
