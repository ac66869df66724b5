"""Batches between the MQTT loop, which never waits, and the writer, which does."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from cloud.complaints import Complaints
from wire.bounds import MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES

logger = logging.getLogger(__name__)

Key: TypeAlias = tuple[str, bytes]


@dataclass(frozen=True)
class Arrival:
    """One batch as it came from the broker."""

    gateway: str
    payload: bytes

    @property
    def key(self) -> Key | None:
        """What makes it the same batch as another: its gateway and its header line; None where it has none."""
        end = self.payload.find(b"\n", 0, MAX_HEADER_BYTES)
        return None if end < 0 else (self.gateway, self.payload[:end])


class Inbox:
    """A queue, bounded in batches and in bytes. What is dropped is unconfirmed, and its gateway sends it again."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._waiting: OrderedDict[Key, Arrival] = OrderedDict()
        self._bytes = 0
        self._changed = threading.Condition()
        self._complaints = Complaints(logger)
        self.dropped = 0

    def put(self, arrival: Arrival) -> None:
        """Take a batch, unless it can be none, the queue is full, or the same one waits in it. Never blocks."""
        size, key = len(arrival.payload), arrival.key
        if size > MAX_PAYLOAD_BYTES:
            self._drop(arrival, "too large", f"a payload of {size} bytes; at most {MAX_PAYLOAD_BYTES}")
        elif key is None:
            self._drop(arrival, "no header", f"a payload of {size} bytes without a header line")
        elif not self._queue(key, arrival):
            self._drop(arrival, "queue full", "the collector does not keep up; the gateway sends it again")

    def _queue(self, key: Key, arrival: Arrival) -> bool:
        """Queue a batch; False where there is no room for it."""
        with self._changed:
            if key in self._waiting:
                return True
            if len(self._waiting) >= self._most or self._bytes + len(arrival.payload) > self._most_bytes:
                return False
            self._waiting[key] = arrival
            self._bytes += len(arrival.payload)
            self._changed.notify()
            return True

    def _drop(self, arrival: Arrival, kind: str, text: str) -> None:
        self.dropped += 1
        self._complaints.add(arrival.gateway, kind, text)

    def take(self, most: int, most_bytes: int, timeout_s: float) -> list[Arrival]:
        """Return the oldest batches, waiting for the first one; none after `timeout_s`.

        Up to `most`, and no more than `most_bytes` of payload; but one of any size.
        """
        taken: list[Arrival] = []
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout_s)
            left = most_bytes
            while self._waiting and len(taken) < most:
                size = len(next(iter(self._waiting.values())).payload)
                if taken and size > left:
                    break
                _, arrival = self._waiting.popitem(last=False)
                taken.append(arrival)
                left -= size
                self._bytes -= size
        return taken
