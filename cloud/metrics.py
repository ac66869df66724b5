"""What a collector counts, as Prometheus reads it (text format 0.0.4). Thread-safe."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_GATEWAYS = 1_000
"""Each has some 15 series. Ids of gateways come from topics: whoever may publish may invent them."""
OTHERS = "others"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

OUTCOMES = (
    *("received", "confirmed", "rejected", "dropped", "duplicate"),
    *("damaged", "unsupported", "unreadable", "future", "failed"),
)
_BATCHES, _READINGS, _LETTERS = "messnetz_batches_total", "messnetz_readings_total", "messnetz_dead_letters_total"
_FAILURES, _WRITES = "messnetz_store_failures_total", "messnetz_store_write_seconds"
_HELP = {
    _BATCHES: "Batches by what became of them; 'received' counts all that came, the others what was found out.",
    _READINGS: "Readings in the store, by kind: good, suspect, unregistered.",
    _LETTERS: "Points that the store refused, kept as dead letters.",
    _FAILURES: "Requests to the store that failed and were tried again.",
}


class Metrics:
    """Counters by gateway, a histogram of the store's answers, and whatever is asked for when it is read."""

    def __init__(self, is_known: Callable[[str], bool] = lambda _gateway: True) -> None:
        """`is_known`: whether a gateway is counted by itself; all others are counted together."""
        self._is_known = is_known
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[tuple[tuple[str, str], ...]]] = {name: Counter() for name in _HELP}
        self._counts[_FAILURES][()] = 0
        self._gateways: set[str] = set()
        self._buckets = [0] * (len(BUCKETS_S) + 1)
        self._seconds = 0.0
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def batch(self, outcome: str, gateway: str, count: int = 1) -> None:
        """Count batches; `outcome` is one of `OUTCOMES`."""
        self._count(_BATCHES, gateway, count, ("outcome", outcome))

    def readings(self, kind: str, gateway: str, count: int) -> None:
        """Count readings that the store has: good, suspect or unregistered."""
        if count:
            self._count(_READINGS, gateway, count, ("kind", kind))

    def dead_letters(self, gateway: str, count: int) -> None:
        """Count points that the store refused."""
        self._count(_LETTERS, gateway, count)

    def store_wrote(self, seconds: float) -> None:
        """Note how long the store took for a write."""
        with self._lock:
            self._buckets[bisect_left(BUCKETS_S, seconds)] += 1
            self._seconds += seconds

    def store_failed(self) -> None:
        """Count a request to the store that failed."""
        with self._lock:
            self._counts[_FAILURES][()] += 1

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a value that is asked for whenever the metrics are read."""
        self._gauges[name] = text, value

    def _count(self, name: str, gateway: str, count: int, *labels: tuple[str, str]) -> None:
        with self._lock:
            if gateway not in self._gateways:
                if len(self._gateways) >= MOST_GATEWAYS or not self._is_known(gateway):
                    gateway = OTHERS
                else:
                    self._gateways.add(gateway)
            self._counts[name][(*labels, ("gateway", gateway))] += count

    def text(self) -> str:
        """Write all of it."""
        with self._lock:
            lines = [*self._counters(), *self._histogram()]
        for name, (text, value) in self._gauges.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name} {float(value())!r}"]
        return "\n".join(lines) + "\n"

    def _counters(self) -> Iterator[str]:
        for name, text in _HELP.items():
            yield f"# HELP {name} {text}"
            yield f"# TYPE {name} counter"
            for labels, count in self._counts[name].items():
                shown = ",".join(f'{label}="{value}"' for label, value in labels)
                yield f"{name}{{{shown}}} {count}" if shown else f"{name} {count}"

    def _histogram(self) -> Iterator[str]:
        yield f"# HELP {_WRITES} How long the store took for a write that it took."
        yield f"# TYPE {_WRITES} histogram"
        total = 0
        for bound, count in zip((*BUCKETS_S, "+Inf"), self._buckets, strict=True):
            total += count
            yield f'{_WRITES}_bucket{{le="{bound}"}} {total}'
        yield f"{_WRITES}_sum {self._seconds!r}"
        yield f"{_WRITES}_count {total}"
