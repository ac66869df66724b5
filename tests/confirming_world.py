"""A model of all that confirming stands on, with the real uplink, sender and spool in it: no sockets, its own clock.

What is assumed, and no more: a broker forgets what it holds for a gateway when that connects anew (clean sessions);
who restores a database stops the collectors first, and then has the gateways resend.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from gateway.sender import Sender
from gateway.spool import Spool
from gateway.spool_schema import CONFIRMED, REJECTED, WAITING
from gateway.uplink import Lane, Uplink
from wire import batch as wire_batch
from wire import confirm as wire_confirm
from wire.confirm import Confirm, Rejection
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from gateway.sealer import SpoolThread
    from gateway.spool import Settled

T = TypeVar("T")
FIRST_MS = 1_795_000_000_000
FOREIGN = "f" * 16
TIMEOUT_S = 10.0
RESTART_S = 4.0
ALL = 2**63 - 1


def drive(task: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits to its end."""
    try:
        task.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waits for something that the model does not have")


class Key(NamedTuple):
    """What names a batch."""

    stream: str
    number: int


@dataclass
class Store:
    """A database whose state of earlier can come back."""

    batches: dict[Key, bytes] = field(default_factory=dict)
    backup: dict[Key, bytes] = field(default_factory=dict)
    owed: set[Key] = field(default_factory=set)
    """What a restored backup lacks, until a `resend` has covered it."""
    writes: Counter[Key] = field(default_factory=Counter)

    def write(self, key: Key, pack: bytes) -> None:
        """Write a batch, perhaps again: the same one, as a name never means two."""
        assert self.batches.setdefault(key, pack) == pack, f"{key} means two things"
        self.writes[key] += 1

    def restore(self) -> None:
        """Go back to the backup."""
        self.owed |= self.batches.keys() - self.backup.keys()
        self.batches = dict(self.backup)


@dataclass
class Collector:
    """Takes batches, writes them, confirms them; may die in between."""

    inbox: list[bytes] = field(default_factory=list)
    unsaid: list[bytes] = field(default_factory=list)
    """Confirms of what is written, not yet published."""
    back_at_s: float = 0.0
    deaths: int = 0

    def die(self, now_s: float) -> None:
        """Lose everything, and be back after a moment."""
        self.inbox.clear()
        self.unsaid.clear()
        self.back_at_s = now_s + RESTART_S
        self.deaths += 1


class Thread:
    """Stands in for the spool's thread: runs a call at once, and lets the world go on before the answer is heard."""

    def __init__(self, spool: Spool, meanwhile: Callable[[], None]) -> None:
        self.spool = spool
        self._meanwhile = meanwhile

    async def run(self, call: Callable[[Spool], T]) -> T:
        """Run a call."""
        result = call(self.spool)
        self._meanwhile()
        return result


class World:
    """One gateway, its broker, its collectors and their store."""

    def __init__(self, spool: Path, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.window = self.chance.choice([1, 2, 3, 4, 8])
        self.pace = self.chance.choice([0.0, 0.0, 5.0, 50.0])
        self.now_s = 0.0
        self.store = Store()
        self.collectors = [Collector() for _ in range(self.chance.choice([1, 1, 3]))]
        self.to_collectors: list[bytes] = []
        self.to_gateway: list[bytes] = []
        self.sealed: dict[Key, float] = {}
        self.evicted: set[Key] = set()
        self.poisonous: set[Key] = set()
        self.unstorable: set[Key] = set()
        self.stored_at_s: dict[Key, float] = {}
        self.is_refusing = False
        self.renewals = 0
        self._path = spool
        self._is_inside = False
        self.meanwhile: Callable[[], None] = lambda: None
        self._start()

    # The gateway.

    def _start(self) -> None:
        self.spool = Spool(self._path, keep_confirmed_ms=10**15)
        self.spool._db.execute("PRAGMA synchronous = OFF")  # processes die here, machines do not
        self.handed_over: set[Key] = set()
        self.uplink = Uplink(
            window=self.window,
            timeout_s=TIMEOUT_S,
            backlog_readings_per_s=self.pace,
            chance=self.chance.random,
        )
        self.sender = Sender(
            cast("SpoolThread", Thread(self.spool, self._while_reading)),
            self.uplink,
            self._publish,
            renew=self.reconnect,
            monotonic=lambda: self.now_s,
        )

    def close(self) -> None:
        """End it all."""
        self.spool.close()

    def kill_agent(self) -> None:
        """Kill -9: what is only in memory is gone."""
        self.spool.close()
        self.to_gateway.clear()
        self._start()

    def seal(self, *, poisonous: bool = False, unstorable: bool = False) -> Key:
        """Seal a batch, and mark what is settled, as the sealer does."""
        at_ms = FIRST_MS + round(self.now_s * 1000)
        sample = Sample("main", at_ms, tuple(Reading("voltage", 230.0, "V", f"L{n}") for n in range(3)))
        settled = self.uplink.settled()
        (number,) = self.spool.seal([[sample]], settled, at_ms)
        self.uplink.marked(settled)
        self.sender.wake()
        key = Key(self.spool.stream, number)
        self.sealed[key] = self.now_s
        if poisonous:
            self.poisonous.add(key)
        if unstorable:
            self.unstorable.add(key)
        return key

    def mark(self) -> None:
        """Mark what is settled."""
        settled = self.uplink.settled()
        self.spool.mark(settled, FIRST_MS)
        self.uplink.marked(settled)

    def evict(self) -> None:
        """Let go of the oldest waiting batch, as a quota does."""
        waiting = [key for key, state in self.states().items() if state == WAITING]
        if waiting:
            oldest = min(waiting, key=lambda key: key.number)
            for table in ("place", "batch"):
                self.spool._db.execute(f"DELETE FROM {table} WHERE number = ?", (oldest.number,))  # noqa: S608 - one of two words
            self.evicted.add(oldest)

    def resend(self) -> None:
        """Put every confirmed batch back, as the command does."""
        self.mark()  # the agent seals first
        drive(self.sender.resend(lambda spool: spool.resend(0, 2**60)))
        self.handed_over.clear()
        self.store.owed.clear()

    def reconnect(self) -> None:
        """Make the connection anew; the broker forgets what it holds for the gateway, perhaps more."""
        self.renewals += 1
        self.sender.disconnected()
        self.to_gateway.clear()
        if self.chance.random() < 0.5:
            self.to_collectors.clear()
        self.sender.connected()

    def step(self) -> float:
        """Let the sender send."""
        return drive(self.sender.step())

    def _while_reading(self) -> None:
        if not self._is_inside:
            self._is_inside = True
            self.meanwhile()
            self._is_inside = False

    def _publish(self, payload: bytes) -> bool:
        if self.is_refusing:
            return False
        header, _ = wire_batch.open_header(payload)
        self.handed_over.add(Key(header.stream, header.number))
        self.to_collectors.append(payload)
        return True

    # The cloud.

    def restore(self) -> None:
        """Restore the database to its backup, with the collectors stopped."""
        for collector in self.collectors:
            collector.die(self.now_s)
        self.store.restore()

    def collect(self, collector: Collector, most: int) -> None:
        """Let a collector take, write, and have its confirm ready."""
        if self.now_s < collector.back_at_s:
            return
        taken, collector.inbox = collector.inbox[:most], collector.inbox[most:]
        opened = [wire_batch.open_header(payload) for payload in taken]
        keys = [Key(header.stream, header.number) for header, _ in opened]
        if self.poisonous & set(keys):
            collector.die(self.now_s)
            return
        words: dict[str, tuple[list[int], list[int]]] = {}
        for key, (_, pack) in zip(keys, opened, strict=True):
            confirmed, rejected = words.setdefault(key.stream, ([], []))
            if key in self.unstorable:
                rejected.append(key.number)
                continue
            self.store.write(key, pack)
            self.stored_at_s.setdefault(key, self.now_s)
            confirmed.append(key.number)
        for stream, (confirmed, rejected) in words.items():
            rejections = [Rejection(number, "no") for number in rejected]
            confirm = Confirm(stream, FIRST_MS, wire_confirm.ranges(confirmed), rejections)
            collector.unsaid.append(wire_confirm.encode(confirm))

    def say(self, collector: Collector) -> None:
        """Publish a collector's confirms."""
        self.to_gateway += collector.unsaid
        collector.unsaid = []

    def forge(self) -> None:
        """Somebody confirms or rejects everything of a foreign stream, or all that is not handed over by now."""
        streams = {FOREIGN: [(1, ALL)]}
        for stream in {key.stream for key in self.sealed}:
            streams[stream] = _gaps(sorted(key.number for key in self.handed_over if key.stream == stream))
        stream, ranges = self.chance.choice(sorted(streams.items()))
        rejections = [Rejection(self.chance.choice(last), "forged") for last in ranges]
        by_word = self.chance.random() < 0.5
        forged = Confirm(stream, FIRST_MS, ranges if by_word else [], [] if by_word else rejections)
        self.sender.confirmed(wire_confirm.encode(forged))

    # What must hold.

    def states(self) -> dict[Key, int]:
        """The state of every batch that the spool keeps."""
        return {
            Key(s, n): state
            for s, n, state in self.spool._db.execute(
                "SELECT stream, number, state FROM place JOIN batch USING (number)"
            )
        }

    def check(self) -> None:
        """What must hold at every moment."""
        marked = self.states()
        settled = self.uplink.settled()
        owned = {key.number: key for key in self.sealed}
        let_go = {key for key, state in marked.items() if state == CONFIRMED} | _keys(settled, owned)
        unstored = let_go - self.store.batches.keys() - self.store.owed
        assert not unstored, f"let go and not stored: {unstored}"
        rejected = {key for key, state in marked.items() if state == REJECTED}
        rejected |= {owned[number] for number in settled.rejected}
        assert rejected <= self.unstorable, f"set aside without reason: {rejected - self.unstorable}"
        assert self.uplink.in_flight <= self.window
        probes = [flight for flight in self.uplink._flights.values() if flight.lane is Lane.PROBE]
        assert len(probes) <= 1
        assert self.sealed.keys() - marked.keys() <= self.evicted, "a batch has vanished"

    def missing(self) -> set[Key]:
        """What should be stored and marked, and is not."""
        done = {key for key, state in self.states().items() if state != WAITING}
        return self.sealed.keys() - done - self.evicted - self.poisonous


def _keys(settled: Settled, owned: dict[int, Key]) -> set[Key]:
    return {owned[number] for number in settled.confirmed}


def _gaps(numbers: list[int]) -> list[tuple[int, int]]:
    """Every number that is not among these, as ranges."""
    ends = [0, *numbers]
    begins = [*numbers, ALL + 1]
    return [(last + 1, following - 1) for last, following in zip(ends, begins, strict=True) if last + 1 < following]
