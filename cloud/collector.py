"""The collector: batches in, points out, and only then the confirm.

It keeps nothing that a restart could lose: a batch that was taken and not written is not confirmed, and its
gateway sends it again. Three threads: the network's, which never waits; this one, which opens and routes; and the
writer's, so that the next part is routed while the store takes the last.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import Full, Queue
from typing import TYPE_CHECKING

from base.errors import MessnetzError
from cloud.complaints import Complaints
from cloud.inbox import Arrival, Inbox
from cloud.metrics import Metrics
from cloud.monitor import Monitor
from cloud.opening import Opener, Routed, Verdicts
from cloud.subscription import Heard, Subscription
from cloud.time_answers import TimeAnswers
from cloud.twins import Twins
from cloud.writer import Writer
from wire import confirm as wire_confirm
from wire.bounds import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud.config import CollectorFile
    from cloud.registry import Registry
    from cloud.stores.interface import Store

logger = logging.getLogger(__name__)

MOST_WAITING = 6_000
MOST_WAITING_BYTES = 24 << 20
MOST_AT_ONCE = 64
MOST_READINGS_AT_ONCE = 20_000
"""Of one write; a last batch may go beyond it by its own size."""
TAKE_TIMEOUT_S = 0.5


@dataclass
class Part:
    """What is written together."""

    arrivals: list[Arrival] = field(default_factory=list)
    batches: list[Routed] = field(default_factory=list)
    verdicts: Verdicts = field(default_factory=Verdicts)


class Collector:
    """One collector on one broker and one store."""

    def __init__(
        self,
        config: CollectorFile,
        registry: Registry,
        store: Store,
        *,
        group: str | None = None,
        reload: Callable[[Registry], Registry] | None = None,
    ) -> None:
        """`group`: of a shared subscription. `reload`: makes the registry to follow the one that it is given."""
        self._config = config
        self._registry = registry
        self._reload = reload
        self._is_reload_asked = False  # no Event: a signal handler may meet its lock held by what it interrupts
        self._metrics = Metrics(self._is_known)
        self._complaints = Complaints(logger, is_known=self._is_known)
        self._inbox = Inbox(MOST_WAITING, MOST_WAITING_BYTES, self._metrics.batch, self._is_known)
        self._opener = Opener(self._complaints, self._metrics, ahead_s=config.ahead_s)
        self._writer = Writer(store, self._complaints, self._metrics)
        self._subscription = Subscription(config, group, Heard(self._inbox.put, self._answer))
        self._time_answers = TimeAnswers(self._subscription.confirm, self._complaints)
        self._twins = Twins(self._complaints)
        self._written_at_s: float | None = None
        self._add_gauges()

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop` is set; what is being written is finished and confirmed."""
        with ExitStack() as stack:
            if self._config.listen is not None:
                stack.enter_context(Monitor(self._config.listen, self._metrics, self.reasons))
            self._writer.prepare(stop)
            parts: Queue[Part | None] = Queue(1)
            writer = threading.Thread(target=self._write_parts, args=(parts, stop), name="writer", daemon=True)
            writer.start()
            self._subscription.start()
            try:
                while not stop.is_set():
                    self._take_over_registry()
                    part = self._take_part()
                    if part.arrivals:
                        self._hand_over(part, parts, stop)
            finally:
                stop.set()
                parts.put(None)
                writer.join()
                self._subscription.stop()

    def ask_reload(self) -> None:
        """Read the registry again, soon. May be called from a signal handler."""
        self._is_reload_asked = True

    def _is_known(self, gateway: str) -> bool:
        return self._registry.has_gateway(gateway)

    def reasons(self) -> dict[str, str]:
        """Why the collector cannot do its work, by part; empty where it can."""
        troubles = {"subscription": self._subscription.trouble, "store": self._writer.trouble}
        return {part: trouble for part, trouble in troubles.items() if trouble}

    def _take_over_registry(self) -> None:
        if self._reload is None or not self._is_reload_asked:
            return
        self._is_reload_asked = False
        try:
            self._registry = self._reload(self._registry)
        except MessnetzError as error:
            logger.error("the registry in force stays: %s", error)  # noqa: TRY400 - a sentence for a person
        except Exception:
            logger.exception("the registry in force stays: internal error, please report")
        else:
            logger.info("registry reloaded: %d devices", len(self._registry))

    def _answer(self, gateway: str, payload: bytes) -> None:
        self._time_answers.take(gateway, payload)
        self._twins.take(gateway, payload)

    def _take_part(self) -> Part:
        """Take, open and route batch by batch, each in its gateway's turn, until there is enough for a write."""
        part, readings, timeout_s = Part(), 0, TAKE_TIMEOUT_S
        while readings < MOST_READINGS_AT_ONCE and len(part.arrivals) < MOST_AT_ONCE:
            arrivals = self._inbox.take(1, MAX_PAYLOAD_BYTES, timeout_s)
            if not arrivals:
                break
            part.arrivals += arrivals
            for arrival in arrivals:
                begin_s = time.thread_time()
                batch = self._opener.open(arrival, self._registry, part.verdicts)
                points = 0
                if batch is not None:
                    part.batches.append(batch)
                    readings += batch.readings
                    points = len(batch.points)
                self._inbox.charge(arrival.gateway, points, time.thread_time() - begin_s)
            timeout_s = 0.0
        return part

    def _hand_over(self, part: Part, parts: Queue[Part | None], stop: threading.Event) -> None:
        """Wait until the writer takes a part; meanwhile the registry may be read again, however long the store is gone.

        Where the collector is to stop, the part is let go of: it is not confirmed, and its gateways keep it.
        """
        while not stop.is_set():
            try:
                parts.put(part, timeout=TAKE_TIMEOUT_S)
            except Full:
                self._take_over_registry()
            else:
                return

    def _write_parts(self, parts: Queue[Part | None], stop: threading.Event) -> None:
        """Write parts as they come; what waits when the collector is to stop is neither written nor confirmed."""
        while (part := parts.get()) is not None:
            if not stop.is_set():
                self._settle(part, stop)

    def _settle(self, part: Part, stop: threading.Event) -> None:
        """Write and confirm; what the store refuses waits until the others are confirmed."""
        try:
            stored, refused = self._writer.write(part.batches, stop)
            self._confirm(stored, part.verdicts)
            for batch, error in refused:
                if self._writer.bury(batch, error, stop):
                    self._confirm([batch], Verdicts())
        except Exception:
            logger.exception("internal error while writing, please report")
        finally:
            self._inbox.done(part.arrivals)

    def _confirm(self, stored: list[Routed], verdicts: Verdicts) -> None:
        if stored:
            self._written_at_s = time.monotonic()
        for batch in stored:
            verdicts.accept(batch)
            self._metrics.batch("confirmed", batch.gateway)
            good = batch.readings - batch.suspect - batch.unregistered
            for kind, count in (("good", good), ("suspect", batch.suspect), ("unregistered", batch.unregistered)):
                self._metrics.readings(kind, batch.gateway, count)
        for gateway, confirm in verdicts.confirms(time.time_ns() // 1_000_000):
            try:
                self._subscription.confirm(gateway, wire_confirm.encode(confirm))
            except Exception as error:  # noqa: BLE001 - the last net: the other gateways get their confirms
                self._complaints.add(gateway, "confirm failed", repr(error), trace=True)

    def _add_gauges(self) -> None:
        gauge, subscription, inbox = self._metrics.gauge, self._subscription, self._inbox
        gauge("messnetz_queue_batches", "Batches that wait.", lambda: inbox.batches)
        gauge("messnetz_queue_bytes", "Payload of the batches that wait.", lambda: inbox.bytes)
        gauge("messnetz_connected", "Whether there is a connection to the broker.", lambda: subscription.is_connected)
        gauge("messnetz_subscription_proven", "Whether a probe has come back.", lambda: subscription.is_proven)
        gauge(
            "messnetz_subscription_failures",
            "Connections in a row on which no probe came back.",
            lambda: subscription.failures,
        )
        gauge("messnetz_gateway_twins", "Gateways with two machines under their id.", self._twins.count)
        gauge("messnetz_registry_devices", "Devices of the registry in force.", lambda: len(self._registry))
        gauge("messnetz_store_last_write_age_seconds", "Since the last write; NaN before.", self._age_s)

    def _age_s(self) -> float:
        return float("nan") if self._written_at_s is None else time.monotonic() - self._written_at_s
