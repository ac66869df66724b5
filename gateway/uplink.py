"""The uplink's rules: what may be sent, what is sent again, what the collector's word settles.

No sockets and no threads here: `sender` does what these rules say. The clock is handed in.

**In flight.** At most `window` batches are sent and waited for. A batch is sent again after a reconnect, or after a
time-out that is jittered and grows with every try; any confirm that settles something begins it anew for all. What has
timed out for the third time waits for the one probe slot (`probes`), so that a batch that kills whoever reads it, or
that nobody answers, holds nobody up.

**Fresh** is what was sealed at most a minute (`FRESH_MS`) before the newest batch known, and has not been sent on this
connection. A board wants the present first: fresh batches go newest first, at once, unpaced. One slot of the window
is theirs alone; where that is taken, too, a batch that has timed out gives its slot up to them. All else is backlog:
oldest first, at the pace of `pace`, which also bounds what a backlog may take from fresh data. Nothing starves: fresh
data is what the gateway measures, and a link that carries less than that cannot be helped by any order.

**Silence.** Where a batch times out for the third time and nothing has been settled since it was sent, nobody may be
there at all. Then only fresh batches are sent, once each, and probes; of the backlog no more than finds the probe slot
unused while all that wait for it pause. Else an outage of the collector would move the whole backlog into the probe
queue, window by window. The first word that settles something ends the silence.

**A small window.** With two slots, probes and backlog share one in turns. With one slot, all share it: fresh first,
and a fresh batch waits at most for the first time-out of what holds it.

**The collector's word** settles only what was handed over by this process, under that stream and number: what is in
flight, what waits for its probe, what was put back by a reconnect. What was put back by `resend` was handed over to a
database that has since been restored; `forget` makes that so that only a new hand-over counts.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from gateway.pace import Pace
from gateway.probes import Probes
from gateway.spool import Settled
from wire.bounds import MAX_REASON_CHARS
from wire.confirm import members

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.spool import SealedBatch
    from wire.confirm import Confirm

MAX_TIMEOUT_S = 300.0
FRESH_MS = 60_000
TRIES = 3
"""Time-outs in a row after which a batch waits for the probe slot."""
MOST_REMEMBERED = 4_096
"""Batches put back by reconnects of which it is still known that they were sent; the first to be put back go first."""


class Lane(Enum):
    """Why a batch is sent."""

    FRESH = "fresh"
    BACKLOG = "backlog"
    PROBE = "probe"


@dataclass
class Sent:
    """A batch that this process has handed over, and that is not settled."""

    number: int
    stream: str
    readings: int
    sealed_at_ms: int
    lane: Lane = Lane.BACKLOG
    connection: int = 0
    """The connection on which it was handed over last."""
    sent_at_s: float = 0.0
    due_s: float = 0.0
    """When its time-out, or its pause before the next probe, ends."""
    unanswered: int = 0
    """Time-outs in a row."""
    growth: int = 0
    """How often its time-out has doubled."""
    is_due: bool = False
    """In flight and to be sent again."""


@dataclass(frozen=True)
class Counters:
    """What the uplink has done since the agent started."""

    sent_batches: int = 0
    resent_batches: int = 0
    confirmed_batches: int = 0
    rejected_batches: int = 0


class Uplink:
    """What is in flight, and what is settled but not yet marked in the spool."""

    def __init__(
        self,
        *,
        window: int,
        timeout_s: float,
        backlog_readings_per_s: float = 0.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._window = window
        self._timeout_s = timeout_s
        self._chance = chance
        self._connection = 0
        self._flights: dict[int, Sent] = {}
        self._put_back: dict[int, Sent] = {}
        self._confirmed: dict[int, int] = {}  # number -> readings
        self._rejected: dict[int, str] = {}
        self._settled_at_s = -math.inf
        self.is_silent = False
        """Whether nobody may be there at all."""
        self.returned = 0
        """Counts what went back to the spool, to be found there again."""
        self._was_probed = False  # who had the slot that probes and backlog share
        self.probes = Probes(timeout_s, MAX_TIMEOUT_S, chance)
        self.pace = Pace(backlog_readings_per_s, chance)
        self.counters = Counters()
        self.last_confirm_s: float | None = None
        """When a confirm last settled something, on the clock that is handed in."""

    # What may be sent.

    @property
    def in_flight(self) -> int:
        """How many batches are sent and waited for."""
        return len(self._flights)

    @property
    def probe_queue(self) -> int:
        """How many batches went unanswered three times; one of them may be in flight."""
        return len(self.probes) + self._is_probing

    def fresh_room(self) -> int:
        """How many fresh batches may go now."""
        return max(self._window - len(self._flights), 1 if self._gives_way() else 0)

    def backlog_room(self, now_s: float) -> int:
        """How many batches of the backlog may go now, as far as the window is concerned."""
        if self.backlog_lane is Lane.PROBE:
            return int(not self._is_probing and self.probes.next(now_s) is None and self._room_beside_fresh() > 0)
        is_kept = len(self.probes) > 0  # a slot for the next probe
        if self._window <= 2:
            is_kept = not self._was_probed and self.probes.next(now_s) is not None
        return max(0, self._room_beside_fresh() - is_kept)

    @property
    def backlog_lane(self) -> Lane:
        """What the backlog is sent as: in a silence it borrows the probe slot."""
        return Lane.PROBE if self.is_silent else Lane.BACKLOG

    def probe_to_send(self, now_s: float) -> int | None:
        """Return the number of the batch to be probed now; None where none is."""
        return None if self._is_probing or self._room_beside_fresh() <= 0 else self.probes.next(now_s)

    @property
    def is_backlogs_turn(self) -> bool:
        """Whether the slot that probes and backlog share in a small window is the backlog's."""
        return self._was_probed

    def overdue(self) -> list[int]:
        """Return the numbers in flight that are to be sent again now, oldest first."""
        return sorted(number for number, flight in self._flights.items() if flight.is_due)

    def is_overdue(self, number: int) -> bool:
        """Whether a number is in flight and to be sent again."""
        return number in self._flights and self._flights[number].is_due

    def dealt_with(self) -> set[int]:
        """Return the numbers that are not to be taken from the spool: in flight, waiting for a probe, or settled."""
        return self._flights.keys() | self.probes.numbers() | self._confirmed.keys() | self._rejected.keys()

    def is_known(self, number: int) -> bool:
        """Whether a number is not to be taken from the spool."""
        return number in self._flights or number in self.probes or self.is_settled(number)

    def had_their_chance(self) -> set[int]:
        """Return the numbers that were sent on this connection and put back: no longer fresh."""
        return {number for number, sent in self._put_back.items() if sent.connection == self._connection}

    @property
    def _is_probing(self) -> bool:
        return any(flight.lane is Lane.PROBE for flight in self._flights.values())

    def _room_beside_fresh(self) -> int:
        others = sum(flight.lane is not Lane.FRESH for flight in self._flights.values())
        return min(max(1, self._window - 1) - others, self._window - len(self._flights))

    def _gives_way(self) -> Sent | None:
        """Return what gives its slot up to a fresh batch: the newest that has timed out, a probe last."""
        tired = [flight for flight in self._flights.values() if flight.unanswered]
        return max(tired, key=lambda flight: (flight.lane is not Lane.PROBE, flight.number), default=None)

    # What happens to it.

    def reconnected(self, now_s: float) -> None:
        """Put everything in flight back: the broker is a relay and may have forgotten it."""
        self._connection += 1
        for flight in list(self._flights.values()):
            self._put_away(flight, now_s)
        self.pace.begin(now_s)

    def expire(self, now_s: float) -> None:
        """Note what has timed out: it is to be sent again, or waits for the probe slot."""
        for flight in list(self._flights.values()):
            if flight.is_due or flight.due_s > now_s:
                continue
            flight.unanswered += 1
            if flight.lane is Lane.PROBE or (flight.unanswered >= TRIES and not self.probes.is_full):
                self.is_silent = self.is_silent or self._settled_at_s <= flight.sent_at_s
                del self._flights[flight.number]
                self.probes.put(flight, now_s, pauses=flight.unanswered - TRIES)
            elif flight.lane is Lane.FRESH and self.is_silent:
                self._put_away(flight, now_s)
            else:
                flight.lane, flight.is_due, flight.growth = Lane.BACKLOG, True, flight.growth + 1

    def sent(self, batch: SealedBatch, now_s: float, lane: Lane = Lane.BACKLOG) -> None:
        """Note that a batch was handed to the broker, for the first time or again."""
        number = batch.number
        before = self._flights.pop(number, None) or self.probes.pop(number) or self._put_back.pop(number, None)
        if lane is Lane.FRESH and len(self._flights) >= self._window and (tired := self._gives_way()):
            self._displace(tired, now_s)
        sent = before or Sent(number, batch.stream, batch.readings, batch.sealed_at_ms)
        sent.lane, sent.connection, sent.is_due, sent.sent_at_s = lane, self._connection, False, now_s
        sent.due_s = now_s + self._timeout(0 if lane is Lane.PROBE else sent.growth)
        self._flights[number] = sent
        if lane is not Lane.FRESH:
            self._was_probed = lane is Lane.PROBE
            self.pace.take(batch.readings)
        self._count(sent_batches=before is None, resent_batches=before is not None)

    def drop(self, number: int) -> None:
        """Forget a batch that the spool does not give any more."""
        self.returned += 1
        self._flights.pop(number, None)
        self.probes.pop(number)
        self._put_back.pop(number, None)

    def forget(self) -> None:
        """Forget all that was sent, and every word that is not yet marked: it spoke of a database that is no more."""
        self.returned += 1
        self.is_silent = False
        self._flights.clear()
        self.probes.clear()
        self._put_back.clear()
        self._confirmed.clear()
        self._rejected.clear()

    def next_due_s(self) -> float:
        """Return when the next time-out ends, or the next probe may go; infinite where nothing waits."""
        ends = [flight.due_s for flight in self._flights.values() if not flight.is_due]
        if not self._is_probing and self._room_beside_fresh() > 0:
            ends += [probe.due_s for probe in self.probes]
        return min(ends, default=math.inf)

    def _displace(self, flight: Sent, now_s: float) -> None:
        if flight.lane is Lane.PROBE:  # it has had its turn
            del self._flights[flight.number]
            flight.unanswered += 1
            self.probes.put(flight, now_s, pauses=flight.unanswered - TRIES)
        else:
            self._put_away(flight, now_s)

    def _put_away(self, flight: Sent, now_s: float) -> None:
        del self._flights[flight.number]
        flight.is_due, flight.growth = False, 0
        if flight.lane is Lane.PROBE:
            self.probes.put_first(flight, now_s)
            return
        self.returned += 1
        self._put_back[flight.number] = flight
        if len(self._put_back) > MOST_REMEMBERED:
            del self._put_back[next(iter(self._put_back))]

    def _timeout(self, growth: int) -> float:
        ceiling = min(MAX_TIMEOUT_S, self._timeout_s * 2.0 ** min(growth, 16))
        return ceiling * (0.5 + 0.5 * self._chance())

    # The collector's word.

    def confirm(self, confirm: Confirm, now_s: float) -> Settled:
        """Take the collector's word; returns what it settled.

        What one message both confirms and rejects is rejected: that lets go of nothing.
        """
        is_confirmed = members(confirm.batches)
        reasons = {rejection.number: rejection.reason[:MAX_REASON_CHARS] for rejection in confirm.rejected}
        confirmed: dict[int, int] = {}
        rejected: dict[int, str] = {}
        for sent in [*self._flights.values(), *self.probes, *self._put_back.values()]:
            if sent.stream != confirm.stream:
                continue
            if sent.number in reasons:
                rejected[sent.number] = reasons[sent.number]
            elif is_confirmed(sent.number):
                confirmed[sent.number] = sent.readings
        self._settle(confirmed, rejected, now_s)
        return Settled(frozenset(confirmed), rejected)

    def _settle(self, confirmed: dict[int, int], rejected: dict[int, str], now_s: float) -> None:
        numbers = confirmed.keys() | rejected.keys()
        if not numbers:
            return
        if any(self._is_probe(number) for number in numbers):
            self.probes.lift_pauses(now_s)
        for number in numbers:
            self._flights.pop(number, None)
            self.probes.pop(number)
            self._put_back.pop(number, None)
        self._confirmed |= confirmed
        self._rejected |= rejected
        self._settled_at_s = self.last_confirm_s = now_s
        if self.is_silent:
            self.is_silent = False
            self.returned += 1
            for sent in self._put_back.values():  # what went in vain as fresh may still be so
                sent.connection = -1
        self._count(confirmed_batches=len(confirmed), rejected_batches=len(rejected))
        for flight in self._flights.values():  # the way is open: what waits out a long time-out need not
            if flight.lane is not Lane.PROBE:
                flight.growth = 0
                flight.due_s = min(flight.due_s, now_s + self._timeout(0))

    def _is_probe(self, number: int) -> bool:
        return number in self.probes or (number in self._flights and self._flights[number].lane is Lane.PROBE)

    def is_settled(self, number: int) -> bool:
        """Whether the collector has given its word on a number, and it is not yet marked."""
        return number in self._confirmed or number in self._rejected

    def settled(self) -> Settled:
        """Return what is settled and not yet marked in the spool."""
        return Settled(frozenset(self._confirmed), dict(self._rejected))

    @property
    def unmarked_batches(self) -> int:
        """How many batches are settled and not yet marked in the spool."""
        return len(self._confirmed) + len(self._rejected)

    @property
    def unmarked_readings(self) -> int:
        """How many readings are confirmed and not yet marked in the spool."""
        return sum(self._confirmed.values())

    def marked(self, settled: Settled) -> None:
        """Forget what the spool has marked."""
        for number in settled.confirmed:
            self._confirmed.pop(number, None)
        for number in settled.rejected:
            self._rejected.pop(number, None)

    def _count(self, **more: int) -> None:
        now = self.counters
        self.counters = Counters(**{name: getattr(now, name) + more.get(name, 0) for name in Counters.__annotations__})
