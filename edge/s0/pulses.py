"""When a pulse is one, and how far a counter went on that starts over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Edge(NamedTuple):
    """A change of the line. Active: the meter's output conducts."""

    is_active: bool
    at_ns: int
    number: int
    """Counts the edges of the line; one that is left out was lost."""


@dataclass
class PulseFilter:
    """Counts pulses by both their edges; what is shorter than a pulse can be is a disturbance."""

    shortest_ns: int
    pulses: int = 0
    spikes: int = 0
    lost: int = 0
    """Edges that the kernel could not keep while the machine stalled; two of them are taken for a pulse."""
    _began_ns: int | None = None
    _last: int | None = None

    def take(self, edge: Edge) -> None:
        """Take the next edge."""
        missing = 0 if self._last is None else max(0, edge.number - self._last - 1)
        self._last = edge.number
        if missing:
            self._lose(missing, is_active=edge.is_active)
        if edge.is_active:
            self._began_ns = edge.at_ns
            return
        if self._began_ns is None:
            return
        if edge.at_ns - self._began_ns >= self.shortest_ns:
            self.pulses += 1
        else:
            self.spikes += 1
        self._began_ns = None

    def broken(self) -> None:
        """Forget a pulse that had begun: the line was taken anew, and its edges are counted from the beginning."""
        self._began_ns = self._last = None

    def _lose(self, missing: int, *, is_active: bool) -> None:
        """Count what must have been between two edges: ends of pulses, one that had begun among them."""
        self.lost += missing
        began = self._began_ns is not None
        self.pulses += (missing + 1) // 2 if began else missing // 2
        self._began_ns = None
        if not is_active and missing % 2 == (0 if began else 1):
            self.pulses += 1  # this edge ends a pulse whose beginning was lost


def went_on(last: int, now: int, modulus: int) -> int:
    """Return how far a counter went on.

    One that fell has gone over its top where that is the shorter way; otherwise it was set to 0.
    """
    if now >= last:
        return now - last
    over_the_top = now + modulus - last
    return over_the_top if over_the_top <= modulus // 2 else now
