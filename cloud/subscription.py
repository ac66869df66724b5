"""What a collector hears: batches, shared with others or alone, and statuses; and the proof that it does.

A broker may grant a subscription and deliver nothing: amqtt takes `$share/...` for a topic of that name, an access
list of mosquitto's keeps silent about what it withholds. So after each connect a collector publishes probes to
`P/<collector>/batch` until one of them comes back; of a shared subscription the other members get theirs.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from base.mqtt import Connection, Handlers
from base.retry import Backoff
from cloud.inbox import Arrival
from wire.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud.config import CollectorFile

logger = logging.getLogger(__name__)

PROBE = b"messnetz-probe "
"""No gateway's: a batch begins with a header line in JSON."""
PROBE_INTERVAL_S = 0.25
PROBE_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Heard:
    """Who wants to know of what arrives. Both run on the network thread, and must return at once."""

    batch: Callable[[Arrival], None]
    status: Callable[[str, bytes], None]
    """Gateway and payload."""


class Subscription:
    """The connection of one collector to its broker, with the subscriptions that it needs."""

    def __init__(self, config: CollectorFile, group: str | None, heard: Heard) -> None:
        """`group`: the secret name that collectors of a shared subscription have in common."""
        self._collector = config.collector
        self._heard = heard
        self._topics = Topics(config.prefix)
        self._is_shared = group is not None
        batches = self._topics.of("+", "batch")
        self._mqtt = Connection(
            config.mqtt,
            client_id=config.collector,
            handlers=Handlers(connected=self._connected, disconnected=self._disconnected, message=self._arrived),
            subscriptions=[f"$share/{group}/{batches}" if group else batches, self._topics.of("+", "status")],
        )
        self._changed = threading.Condition()
        self._probe: bytes | None = None
        """What proves this connection; None while there is none."""
        self._is_proven = self._is_stopping = False
        self.failures = 0
        """How often a connection was given up because nothing came."""
        self.trouble = "not connected yet"
        """Why nothing can be heard; empty where the subscription has proven itself."""
        self._backoff = Backoff("subscription", logger, first_s=1.0, cap_s=60.0)
        self._thread = threading.Thread(target=self._prove_each, name="probe", daemon=True)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._probe is not None

    @property
    def is_proven(self) -> bool:
        """Whether a probe has come back on this connection."""
        return self._is_proven

    def start(self) -> None:
        """Begin to connect; never blocks."""
        self._mqtt.start()
        self._thread.start()

    def stop(self) -> None:
        """Disconnect."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._mqtt.stop()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def confirm(self, gateway: str, payload: bytes) -> bool:
        """Hand a confirm to the broker without waiting; False where it is not taken."""
        return self._mqtt.publish(self._topics.of(gateway, "confirm"), payload)

    def _connected(self) -> None:
        with self._changed:
            self._probe, self._is_proven = PROBE + secrets.token_hex(16).encode(), False
            if not self.failures:
                self.trouble = "no probe has come back yet"
            self._changed.notify_all()

    def _disconnected(self, reason: str) -> None:
        logger.warning("broker: %s", reason)
        with self._changed:
            if self._is_proven or not self.failures:
                self.trouble = f"broker: {reason}"
            self._probe, self._is_proven = None, False
            self._changed.notify_all()

    def _arrived(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
        at = self._topics.read(topic)
        if at is None:
            return
        if at.kind == "status":
            self._heard.status(at.gateway, payload)
        elif at.kind == "batch" and not retained:
            if payload.startswith(PROBE):  # of another collector, unless it is our own
                self._take_probe(payload)
            else:
                self._heard.batch(Arrival(at.gateway, payload))

    def _take_probe(self, payload: bytes) -> None:
        with self._changed:
            if payload == self._probe and not self._is_proven:
                self._is_proven, self.trouble, self.failures = True, "", 0
                self._changed.notify_all()
                logger.info("connected; the subscription delivers")

    def _prove_each(self) -> None:
        """Prove every connection as it comes."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_stopping or (self._probe and not self._is_proven))
                if self._is_stopping:
                    return
                probe = self._probe
            if probe is not None:
                self._prove(probe)

    def _prove(self, probe: bytes) -> None:
        """Send one connection's probe until it comes back, or give that connection up after a bounded time."""
        until_s = time.monotonic() + PROBE_TIMEOUT_S
        topic = self._topics.of(self._collector, "batch")
        while time.monotonic() < until_s:
            self._mqtt.publish(topic, probe)
            with self._changed:
                if self._changed.wait_for(
                    lambda: self._is_stopping or self._is_proven or self._probe != probe, PROBE_INTERVAL_S
                ):
                    if self._is_proven:
                        self._backoff.succeeded()
                    return
        subscription = (
            f"$share/.../{self._topics.of('+', 'batch')}" if self._is_shared else self._topics.of("+", "batch")
        )
        reason = (
            f"the broker grants {subscription} and delivers nothing of it: no probe on {topic} has come back in "
            f"{PROBE_TIMEOUT_S:g} s; look at its access list (this collector must read the one and write the other)"
            + (", and whether it knows shared subscriptions" if self._is_shared else "")
        )
        with self._changed:
            self.failures += 1
            self.trouble = reason
            wait_s = self._backoff.failed(reason)
            self._changed.wait_for(lambda: self._is_stopping or self._is_proven or self._probe != probe, wait_s)
            if self._is_stopping or self._is_proven or self._probe != probe:
                return
        self._mqtt.reconnect("the subscription delivers nothing")
