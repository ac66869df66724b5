"""The collector: batches in, points out, and only then the confirm.

It keeps nothing that a restart could lose: a batch that was taken and not written is not confirmed, and its
gateway sends it again.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from base.errors import MessnetzError, PermanentError, TransientError
from base.mqtt import Connection, Handlers
from base.retry import Backoff
from cloud.complaints import Complaints
from cloud.inbox import Arrival, Inbox
from cloud.routing import UNREGISTERED, route
from cloud.stores.interface import RejectedPointsError
from wire import batch as wire_batch
from wire import confirm as wire_confirm
from wire.confirm import Confirm, Rejection
from wire.errors import BadMessageError, DamagedError, UnsupportedError
from wire.topics import Topics

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from cloud.config import CollectorFile
    from cloud.points import Point
    from cloud.registry import Registry
    from cloud.stores.interface import Store
    from wire.batch import Header

logger = logging.getLogger(__name__)

MOST_WAITING = 2_000
MOST_WAITING_BYTES = 64 << 20
MOST_AT_ONCE = 64
MOST_BYTES_AT_ONCE = 2 << 20
MOST_READINGS_AT_ONCE = 20_000
"""Of one write; a last batch may go beyond it by its own size."""
TAKE_TIMEOUT_S = 0.5


@dataclass(frozen=True)
class Routed:
    """One batch, decoded and routed."""

    gateway: str
    header: Header
    points: list[Point]
    readings: int


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


@dataclass
class Part:
    """What is written and confirmed together."""

    batches: list[Routed] = field(default_factory=list)
    verdicts: Verdicts = field(default_factory=Verdicts)


class Collector:
    """One collector on one broker and one store."""

    def __init__(self, config: CollectorFile, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self._topics = Topics(config.prefix)
        self._inbox = Inbox(MOST_WAITING, MOST_WAITING_BYTES)
        self._complaints = Complaints(logger)
        self._backoff = Backoff("store", logger, first_s=0.2, cap_s=15.0)
        self._mqtt = Connection(
            config.mqtt,
            client_id=config.collector,
            handlers=Handlers(
                connected=lambda: logger.info("connected"),
                disconnected=lambda reason: logger.warning("broker: %s", reason),
                message=self._arrived,
            ),
            subscriptions=[self._topics.of("+", "batch")],
        )

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop` is set; a write under way is finished and confirmed."""
        self._prepare_store(stop)
        self._mqtt.start()
        try:
            while not stop.is_set():
                arrivals = self._inbox.take(MOST_AT_ONCE, MOST_BYTES_AT_ONCE, TAKE_TIMEOUT_S)
                if arrivals:
                    self._handle(arrivals, stop)
        finally:
            self._mqtt.stop()

    def _prepare_store(self, stop: threading.Event) -> None:
        """Wait for the store; a collector that starts before its database is no fault."""
        while not stop.is_set():
            try:
                self._store.prepare()
            except MessnetzError as error:
                stop.wait(self._backoff.failed(error))
                continue
            self._backoff.succeeded()
            return

    def _arrived(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
        at = self._topics.read(topic)
        if at is not None and at.kind == "batch" and not retained:
            self._inbox.put(Arrival(at.gateway, payload))

    def _handle(self, arrivals: list[Arrival], stop: threading.Event) -> None:
        """Route, write and confirm in parts that are bounded in readings, however well they were compressed."""
        part, readings = Part(), 0
        for arrival in arrivals:
            batch = self._route(arrival, part.verdicts)
            if batch is not None:
                part.batches.append(batch)
                readings += batch.readings
            if readings >= MOST_READINGS_AT_ONCE:
                self._settle(part, stop)
                part, readings = Part(), 0
        self._settle(part, stop)

    def _settle(self, part: Part, stop: threading.Event) -> None:
        self._write(part.batches, part.verdicts, stop)
        for gateway, confirm in part.verdicts.confirms(time.time_ns() // 1_000_000):
            try:
                self._mqtt.publish(self._topics.of(gateway, "confirm"), wire_confirm.encode(confirm))
            except Exception as error:  # noqa: BLE001 - the last net: the other gateways get their confirms
                self._complaints.add(gateway, "confirm failed", repr(error), trace=True)

    def _route(self, arrival: Arrival, verdicts: Verdicts) -> Routed | None:
        """Decode and route one batch; None for one that is rejected, or neither confirmed nor rejected but reported."""
        try:
            return self._open(arrival, verdicts)
        except DamagedError as error:
            self._complaints.add(arrival.gateway, "damaged on the way", error)
        except UnsupportedError as error:
            self._complaints.add(arrival.gateway, "newer than this release", error)
        except BadMessageError as error:
            self._complaints.add(arrival.gateway, "no readable header", error)
        except Exception as error:  # noqa: BLE001 - the last net: one batch never ends the process
            self._complaints.add(arrival.gateway, "unexpected", repr(error), trace=True)
        return None

    def _open(self, arrival: Arrival, verdicts: Verdicts) -> Routed | None:
        header, packed = wire_batch.open_header(arrival.payload)
        try:
            samples = wire_batch.open_pack(header, packed)
        except BadMessageError as error:
            self._reject(arrival.gateway, header, error, verdicts)
            return None
        points = route(arrival.gateway, header.number, samples, self._registry)
        strangers = {str(point.fields["device"]) for point in points if point.series.measurement == UNREGISTERED}
        if strangers:
            names = ", ".join(sorted(strangers)[:5])
            self._complaints.add(arrival.gateway, "not in the registry as its own", f"kept as unregistered: {names}")
        return Routed(arrival.gateway, header, points, sum(len(sample.readings) for sample in samples))

    def _reject(self, gateway: str, header: Header, error: PermanentError, verdicts: Verdicts) -> None:
        verdicts.reject(gateway, header, str(error))
        self._complaints.add(gateway, "rejected", f"batch {header.number} of stream {header.stream}: {error}")

    def _write(self, batches: list[Routed], verdicts: Verdicts, stop: threading.Event) -> None:
        """Write batches together; where that fails for one's sake, one by one, to find which one it is."""
        while batches and not stop.is_set():
            try:
                self._store.write([point for batch in batches for point in batch.points])
            except RejectedPointsError as error:
                if len(batches) == 1:
                    self._reject(batches[0].gateway, batches[0].header, error, verdicts)
                else:
                    self._write_apart(batches, verdicts, stop)
                return
            except MessnetzError as error:  # the store as a whole: nothing is confirmed and nothing rejected
                wait_s = error.retry_after_s if isinstance(error, TransientError) else None
                stop.wait(self._backoff.failed(error, at_least_s=wait_s or 0.0))
                continue
            except Exception as error:  # noqa: BLE001 - the last net: one batch never ends the process
                if len(batches) == 1:
                    self._complaints.add(batches[0].gateway, "unexpected", repr(error), trace=True)
                else:
                    self._write_apart(batches, verdicts, stop)
                return
            self._backoff.succeeded()
            for batch in batches:
                verdicts.accept(batch)
            return

    def _write_apart(self, batches: list[Routed], verdicts: Verdicts, stop: threading.Event) -> None:
        for batch in batches:
            self._write([batch], verdicts, stop)
