"""From what arrived to points: checked, decoded, routed; and the verdict on what can be none."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloud.derived import Traces
from cloud.routing import UNREGISTERED, route
from wire import batch as wire_batch
from wire import confirm as wire_confirm
from wire.confirm import Confirm, Rejection
from wire.errors import BadMessageError, DamagedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cloud.complaints import Complaints
    from cloud.inbox import Arrival
    from cloud.metrics import Metrics
    from cloud.points import Point
    from cloud.registry import Registry
    from wire.batch import Header
    from wire.readings import Sample

SUSPECT = "_suspect"


@dataclass(frozen=True)
class Routed:
    """One batch, decoded and routed."""

    gateway: str
    header: Header
    points: list[Point]
    traces: Traces
    readings: int
    suspect: int
    unregistered: int


@dataclass
class Verdicts:
    """What becomes of the batches of one write, by gateway and stream."""

    written: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    rejected: dict[tuple[str, str], list[Rejection]] = field(default_factory=dict)

    def accept(self, batch: Routed) -> None:
        """The store has it."""
        self.written.setdefault((batch.gateway, batch.header.stream), set()).add(batch.header.number)

    def reject(self, gateway: str, header: Header, reason: str) -> None:
        """It can never be stored."""
        self.rejected.setdefault((gateway, header.stream), []).append(Rejection(header.number, reason))

    def confirms(self, now_ms: int) -> Iterable[tuple[str, Confirm]]:
        """Return one confirm for each gateway and stream."""
        for gateway, stream in self.written.keys() | self.rejected.keys():
            numbers = wire_confirm.ranges(self.written.get((gateway, stream), ()))
            yield gateway, Confirm(stream, now_ms, numbers, self.rejected.get((gateway, stream), []))


class _AheadError(Exception):
    """It says that it is from the future. It waits: neither confirmed nor rejected, until its time has come."""


class Opener:
    """Opens batches. One that cannot be opened costs the others nothing, whatever is in it."""

    def __init__(
        self,
        complaints: Complaints,
        metrics: Metrics,
        *,
        ahead_s: float,
    ) -> None:
        """`ahead_s`: how far ahead of now a batch may say that it is."""
        self._complaints = complaints
        self._metrics = metrics
        self._ahead_s = ahead_s

    def open(self, arrival: Arrival, registry: Registry, verdicts: Verdicts) -> Routed | None:
        """Decode and route one batch; None for one that is rejected, or neither confirmed nor rejected but reported."""
        try:
            return self._open(arrival, registry, verdicts)
        except DamagedError as error:
            self._report(arrival, "damaged", "damaged on the way", error)
        except UnsupportedError as error:
            self._report(arrival, "unsupported", "newer than this release", error)
        except BadMessageError as error:
            self._report(arrival, "unreadable", "no readable header", error)
        except _AheadError as error:
            self._report(arrival, "future", "from the future", error)
        except Exception as error:  # noqa: BLE001 - the last net: one batch never ends the process
            self._report(arrival, "failed", "unexpected", repr(error), trace=True)
        return None

    def _report(self, arrival: Arrival, outcome: str, kind: str, text: object, *, trace: bool = False) -> None:
        self._metrics.batch(outcome, arrival.gateway)
        self._complaints.add(arrival.gateway, kind, text, trace=trace)

    def _open(self, arrival: Arrival, registry: Registry, verdicts: Verdicts) -> Routed | None:
        header, packed = wire_batch.open_header(arrival.payload)
        self._check_time("is sealed", header.sealed_at_ms, header)
        try:
            samples = wire_batch.open_pack(header, packed)
        except BadMessageError as error:
            verdicts.reject(arrival.gateway, header, str(error))
            text = f"batch {header.number} of stream {header.stream}: {error}"
            self._report(arrival, "rejected", "rejected", text)
            return None
        newest_ms = max((sample.measured_at_ms for sample in samples), default=0)
        self._check_time("holds a reading", newest_ms, header)
        return self._route(arrival.gateway, header, samples, registry)

    def _check_time(self, what: str, at_ms: int, header: Header) -> None:
        ahead_s = at_ms / 1000 - time.time()
        if ahead_s > self._ahead_s:
            raise _AheadError(
                f"batch {header.number} of stream {header.stream} {what} {ahead_s:.0f} s ahead of this clock; "
                "it waits on its gateway: check both clocks"
            )

    def _route(self, gateway: str, header: Header, samples: Sequence[Sample], registry: Registry) -> Routed:
        points = route(gateway, header.number, samples, registry)
        traces = Traces()
        traces.add(gateway, samples, registry)
        suspect, strangers = 0, []
        for point in points:
            measurement = point.series.measurement
            if measurement == UNREGISTERED:
                strangers.append(point)
            elif "q" in point.fields and measurement.endswith(SUSPECT):
                suspect += len(point.fields) - 1
        if strangers:
            names = ", ".join(sorted({str(point.fields["device"]) for point in strangers})[:5])
            self._complaints.add(gateway, "not in the registry as its own", f"kept as unregistered: {names}")
        readings = sum(len(sample.readings) for sample in samples)
        return Routed(gateway, header, points, traces, readings, suspect, len(strangers))
