"""Batches between the MQTT loop, which never waits, and the writer, which does.

Bounded, with fair shares: where it is full, a gateway with less than its share takes the place of the newest batch
of the one that has the most. What is dropped is unconfirmed, and its gateway sends it again. Gateways that the registry
does not know have one share together: whoever may publish may invent them, and each would thin out the others'.

After an outage a gateway's window is full of backlog. So the one batch that was sealed last is dropped last, and every
second turn of its gateway is for it: fresh data waits for no backlog, and no backlog waits for ever.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

from cloud.complaints import Complaints
from wire.bounds import MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

logger = logging.getLogger(__name__)

POINTS_A_TURN = 1_000
"""A batch of the default size makes some 200; the greatest 10,000."""
POINTS_A_CPU_SECOND = 200_000
"""What to open a batch may take; one that is no batch may take as much as one of many points, and makes none."""
MOST_DEBTORS = 1_000
STRANGERS = ""
"""Stands for all gateways that are not known; no gateway's name."""
Key: TypeAlias = tuple[str, bytes]
_SEALED = re.compile(rb'"sealed_at_ms":([0-9]{1,15})[,}]')


@dataclass(frozen=True)
class Arrival:
    """One batch as it came from the broker."""

    gateway: str
    payload: bytes

    @property
    def sealed_at_ms(self) -> int:
        """When its header says that it was sealed; 0 where it does not say."""
        found = _SEALED.search(self.payload, 0, MAX_HEADER_BYTES)
        return int(found[1]) if found else 0

    @property
    def key(self) -> Key | None:
        """What makes it the same batch as another: its gateway and its header line; None where it has none."""
        end = self.payload.find(b"\n", 0, MAX_HEADER_BYTES)
        return None if end < 0 else (self.gateway, self.payload[:end])


@dataclass
class _Box:
    """What waits of one gateway, in order of arrival."""

    waiting: OrderedDict[Key, Arrival] = field(default_factory=OrderedDict)
    bytes: int = 0
    fresh: Key | None = None
    """The one that was sealed last, while it waits."""
    sealed_at_ms: int = 0
    """When the last one was sealed that came."""
    is_fresh_due: bool = True

    @property
    def batches(self) -> int:
        return len(self.waiting)

    def add(self, key: Key, arrival: Arrival) -> None:
        self.waiting[key] = arrival
        self.bytes += len(arrival.payload)
        if self.is_fresh(arrival):
            self.fresh, self.sealed_at_ms = key, arrival.sealed_at_ms

    def is_fresh(self, arrival: Arrival) -> bool:
        """Whether none that came was sealed so late."""
        return arrival.sealed_at_ms > self.sealed_at_ms

    def next(self) -> Key:
        """Whose turn it is: the fresh one's, or the oldest's."""
        return self.fresh if self.fresh is not None and self.is_fresh_due else next(iter(self.waiting))

    def take(self) -> tuple[Key, Arrival]:
        key = self.next()
        self.is_fresh_due = key != self.fresh
        return self._pop(key)

    def drop(self) -> Arrival:
        """Let go of the newest to arrive; of the fresh one last."""
        newest = reversed(self.waiting)
        key = next(newest)
        if key == self.fresh:
            key = next(newest, key)
        return self._pop(key)[1]

    def _pop(self, key: Key) -> tuple[Key, Arrival]:
        arrival = self.waiting.pop(key)
        self.bytes -= len(arrival.payload)
        if key == self.fresh:
            self.fresh = None
        return key, arrival


class Inbox:
    """A queue, bounded in batches and in bytes, taken from in turns. Thread-safe."""

    def __init__(
        self,
        most: int,
        most_bytes: int,
        tell: Callable[[str, str], object] = lambda *_: None,
        is_known: Callable[[str], bool] = lambda _gateway: True,
    ) -> None:
        """`tell` hears what becomes of each batch that is put: received, duplicate or dropped, and its gateway.

        `is_known`: whether a gateway has a share of its own.
        """
        self._most, self._most_bytes = most, most_bytes
        self._boxes: OrderedDict[str, _Box] = OrderedDict()  # of gateways of which something waits; next turn first
        self._in_hand: set[Key] = set()
        self._debts: dict[str, int] = {}
        self._batches = self._bytes = 0
        self._changed = threading.Condition()
        self._complaints = Complaints(logger, is_known=is_known)
        self._tell = tell
        self._is_known = is_known

    @property
    def batches(self) -> int:
        """How many wait."""
        return self._batches

    @property
    def bytes(self) -> int:
        """How many bytes of payload wait."""
        return self._bytes

    def put(self, arrival: Arrival) -> None:
        """Take a batch, unless it can be none, there is no room, or the same one waits or is in hand. Never blocks."""
        self._tell("received", arrival.gateway)
        size, key = len(arrival.payload), arrival.key
        if size > MAX_PAYLOAD_BYTES:
            self._refuse(arrival, "too large", f"a payload of {size} bytes; at most {MAX_PAYLOAD_BYTES}")
        elif key is None:
            self._refuse(arrival, "no header", f"a payload of {size} bytes without a header line")
        else:
            for displaced in self._queue(key, arrival):
                self._tell("dropped", displaced.gateway)
                self._complaints.add_shared("queue full", "the collector does not keep up; gateways send again")

    def _queue(self, key: Key, arrival: Arrival) -> list[Arrival]:
        """Queue a batch; returns what found no room for it: others, or itself."""
        with self._changed:
            owner = self._owner(arrival.gateway)
            box = self._boxes.get(owner) or _Box()
            if key in self._in_hand or key in box.waiting:
                self._tell("duplicate", arrival.gateway)
                return []
            displaced: list[Arrival] = []
            while (victim := self._victim(box, len(arrival.payload))) is not None:
                if victim is box and not (box.batches > 1 and box.is_fresh(arrival)):
                    return [*displaced, arrival]
                displaced.append(self._drop(victim))
            self._boxes[owner] = box
            box.add(key, arrival)
            self._batches += 1
            self._bytes += len(arrival.payload)
            self._changed.notify()
            return displaced

    def _victim(self, box: _Box, size: int) -> _Box | None:
        """Return who must make room for a batch of `box`: the one with the most, or itself; None where there is room.

        A share is the bound divided by the gateways of which something waits. A gateway of which nothing waits is
        below it in any case; nobody's only batch is displaced.
        """
        parties = len(self._boxes) + (box.batches == 0)
        if self._batches >= self._most:
            if box.batches and box.batches + 1 > self._most / parties:
                return box
            most = max(self._boxes.values(), key=attrgetter("batches"), default=box)
            return most if most.batches > box.batches + 1 else box
        if self._bytes + size > self._most_bytes:
            if box.batches and box.bytes + size > self._most_bytes / parties:
                return box
            most = max(self._boxes.values(), key=attrgetter("bytes"), default=box)
            return most if most.batches > 1 and (not box.batches or most.bytes > box.bytes + size) else box
        return None

    def _drop(self, box: _Box) -> Arrival:
        arrival = box.drop()
        self._batches -= 1
        self._bytes -= len(arrival.payload)
        return arrival

    def _refuse(self, arrival: Arrival, kind: str, text: str) -> None:
        self._tell("dropped", arrival.gateway)
        self._complaints.add(arrival.gateway, kind, text)

    def take(self, most: int, most_bytes: int, timeout_s: float) -> list[Arrival]:
        """Return one batch of each gateway in turn; waits for the first, up to `timeout_s`.

        Up to `most`, and no more than `most_bytes` of payload; but one of any size. A gateway has at most its window
        in flight, so its fresh data wait behind no more than that of its own. What was taken is in hand until `done`.
        """
        taken: list[Arrival] = []
        with self._changed:
            self._changed.wait_for(lambda: self._boxes, timeout_s)
            left = most_bytes
            while self._boxes and len(taken) < most:
                owner, box = next(iter(self._boxes.items()))
                if self._passes(owner):
                    self._boxes.move_to_end(owner)
                    continue
                size = len(box.waiting[box.next()].payload)
                if taken and size > left:
                    break
                key, arrival = box.take()
                self._batches -= 1
                self._bytes -= size
                self._in_hand.add(key)
                taken.append(arrival)
                left -= size
                self._boxes.move_to_end(owner)
                if not box.waiting:
                    del self._boxes[owner]
        return taken

    def charge(self, gateway: str, points: int, cpu_s: float = 0.0) -> None:
        """Say what a batch has cost. Whoever sends costly ones has its turn less often, while others wait."""
        cost = max(points, round(cpu_s * POINTS_A_CPU_SECOND))
        if cost > POINTS_A_TURN:
            with self._changed:
                if len(self._debts) >= MOST_DEBTORS:
                    self._debts.clear()
                owner = self._owner(gateway)
                self._debts[owner] = self._debts.get(owner, 0) + cost

    def _owner(self, gateway: str) -> str:
        """Whose share a gateway's batches count towards."""
        return gateway if self._is_known(gateway) else STRANGERS

    def _passes(self, owner: str) -> bool:
        """Whether a gateway must let this turn pass, to pay for what it cost before."""
        debt = self._debts.pop(owner, 0) - POINTS_A_TURN
        if debt > 0:
            self._debts[owner] = debt
        return debt > 0 and len(self._boxes) > 1

    def done(self, arrivals: Iterable[Arrival]) -> None:
        """Let go of what was taken: whatever became of it, when it comes again it is a batch like any other."""
        with self._changed:
            self._in_hand.difference_update(key for arrival in arrivals if (key := arrival.key) is not None)
