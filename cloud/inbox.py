"""Batches between the MQTT loop, which never waits, and the writer, which does."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Arrival:
    """One batch as it came from the broker."""

    gateway: str
    payload: bytes

    @property
    def key(self) -> tuple[str, bytes]:
        """What makes it the same batch as another: its gateway and its header line."""
        return self.gateway, self.payload[: self.payload.find(b"\n")]


class Inbox:
    """A bounded queue. What does not fit is dropped: it is unconfirmed, and its gateway sends it again."""

    def __init__(self, most: int) -> None:
        self._queue: queue.Queue[Arrival] = queue.Queue(most)
        self._keys: set[tuple[str, bytes]] = set()
        self._lock = threading.Lock()
        self.dropped = 0

    def put(self, arrival: Arrival) -> None:
        """Take a batch, unless the queue is full or the same one waits in it already. Never blocks."""
        with self._lock:
            if arrival.key in self._keys:
                return
            try:
                self._queue.put_nowait(arrival)
            except queue.Full:
                self.dropped += 1
                return
            self._keys.add(arrival.key)

    def take(self, most: int, timeout_s: float) -> list[Arrival]:
        """Return up to `most` batches, waiting for the first one; none after `timeout_s`."""
        try:
            taken = [self._queue.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        while len(taken) < most:
            try:
                taken.append(self._queue.get_nowait())
            except queue.Empty:
                break
        with self._lock:
            self._keys.difference_update(arrival.key for arrival in taken)
        return taken
