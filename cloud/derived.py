"""What a write says of itself, in the same write: which devices were heard of, and which hours it touched.

`device_seen`: per device and minute of arrival. `touched`: per device and hour of its readings, with the time at
which that write began; what was computed from an hour before is computed again. Both know registered devices alone:
whoever invents names makes no series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud.points import Point
from wire import gaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cloud.points import Series
    from cloud.registry import Registry
    from wire.readings import Sample

NS_PER_MS = 1_000_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_GAPS = frozenset({gaps.UNTIL, gaps.READINGS})


class Traces:
    """The devices and hours of some batches."""

    def __init__(self) -> None:
        self.seen: set[Series] = set()
        self.touched: set[tuple[Series, int]] = set()
        """With the start of the hour, in Unix milliseconds."""

    def add(self, gateway: str, samples: Sequence[Sample], registry: Registry) -> None:
        """Add what one batch holds of its gateway's own devices. A gap is no sign of life."""
        for sample in samples:
            placement = registry.find(sample.device, sample.measured_at_ms)
            if placement is None or placement.gateway != gateway:
                continue
            self.touched.add((placement.touched, sample.measured_at_ms // HOUR_MS * HOUR_MS))
            seen = placement.seen
            if seen not in self.seen and any(reading.quantity not in _GAPS for reading in sample.readings):
                self.seen.add(seen)

    @classmethod
    def of(cls, several: Iterable[Traces]) -> Traces:
        """Join the traces of the batches of one write."""
        joined = cls()
        for traces in several:
            joined.seen |= traces.seen
            joined.touched |= traces.touched
        return joined

    def points(self, now_ms: int) -> list[Point]:
        """Make the points of a write that begins now (Unix milliseconds)."""
        minute_ns, now = now_ms // MINUTE_MS * MINUTE_MS * NS_PER_MS, float(now_ms)
        points = [Point(series, minute_ns, {"arrived_at_ms": now}) for series in self.seen]
        points += [Point(series, hour_ms * NS_PER_MS, {"written_at_ms": now}) for series, hour_ms in self.touched]
        return points
