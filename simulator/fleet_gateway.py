"""One light gateway of a fleet: what it has sealed, sent and seen confirmed. No sockets here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator import source as sources
from simulator.fleet_report import GatewayReport
from wire import confirm as wire_confirm
from wire.errors import BadMessageError

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from simulator.fleet import FleetPlan

MOST_TIMEOUT_S = 300.0


@dataclass
class Flight:
    """One batch that is sent, or about to be, and not confirmed."""

    number: int
    payload: bytes
    readings: int
    sealed_at_s: float | None
    """On the monotonic clock; None for what was sealed before the fleet began."""
    due_s: float = 0.0
    tries: int = 0


class FleetGateway:
    """The state of one gateway. Numbers count from 1: first the backlog, then what is fresh."""

    def __init__(self, name: str, plan: FleetPlan, chance: random.Random) -> None:
        self.name = name
        self.is_queued = False
        self.stream = f"{chance.getrandbits(64):016x}"
        self._plan, self._chance = plan, chance
        self._backlog_sent = 0
        self._fresh: dict[int, tuple[tuple[int, int], float]] = {}  # sealed and not yet sent
        self._fresh_spans: list[tuple[int, int]] = []
        self._flights: dict[int, Flight] = {}
        self._next_seal_s = time.monotonic() + chance.random() * (plan.fresh_every_s or 0.0)
        self._last_sealed_ms = _now_ms()
        self._backlog_left = len(plan.backlog)
        self._drained_at_s: float | None = None
        self._latencies_s: list[float] = []
        self._sealed_readings = self._confirmed_readings = 0
        self._confirmed = self._rejected = self._unasked = self._sent = self._resent = 0

    @property
    def is_drained(self) -> bool:
        """Whether all that is sealed is settled."""
        return not (self._flights or self._fresh) and self._backlog_sent == len(self._plan.backlog)

    @property
    def has_fresh(self) -> bool:
        """Whether a fresh batch was confirmed."""
        return bool(self._latencies_s)

    def seal_if_due(self, now_s: float) -> None:
        """Seal a fresh batch where its moment has come."""
        if self._plan.fresh_every_s is None or now_s < self._next_seal_s:
            return
        self._next_seal_s = max(self._next_seal_s + self._plan.fresh_every_s, now_s)
        span = self._last_sealed_ms, _now_ms()
        if not sources.ticks(self._plan.source, *span):
            return
        self._last_sealed_ms = span[1]
        self._fresh_spans.append(span)
        self._fresh[len(self._plan.backlog) + len(self._fresh_spans)] = span, now_s

    def has_to_send(self, now_s: float) -> bool:
        """Whether `next_to_send` would give something."""
        if any(flight.due_s <= now_s for flight in self._flights.values()):
            return True
        free = self._plan.window - len(self._flights)
        return (free > 0 and bool(self._fresh)) or (free > 1 and self._backlog_sent < len(self._plan.backlog))

    def next_to_send(self, now_s: float) -> Flight | None:
        """Return what may be sent now: what is overdue, then the newest fresh batch, then the oldest of the backlog."""
        overdue = [flight for flight in self._flights.values() if flight.due_s <= now_s]
        if overdue:
            return min(overdue, key=lambda flight: flight.number)
        free = self._plan.window - len(self._flights)
        if free > 0 and self._fresh:
            number = max(self._fresh)
            span, sealed_at_s = self._fresh.pop(number)
            return self._made(number, span, sealed_at_s)
        is_alone = self._plan.window == 1
        if (free > 1 or (free > 0 and is_alone)) and self._backlog_sent < len(self._plan.backlog):
            self._backlog_sent += 1
            return self._made(self._backlog_sent, self._plan.backlog[self._backlog_sent - 1], None)
        return None

    def _made(self, number: int, span: tuple[int, int], sealed_at_s: float | None) -> Flight:
        payload, readings = sources.payload(self._plan.source, self.name, self.stream, number, span)
        self._sealed_readings += readings
        flight = self._flights[number] = Flight(number, payload, readings, sealed_at_s, tries=-1)
        return flight

    def sent(self, flight: Flight, now_s: float, *, is_taken: bool) -> None:
        """Note that a batch was handed to the broker; one that was not is sent at once after the reconnect."""
        if not is_taken:
            flight.due_s = now_s + 1.0
            return
        flight.tries += 1
        self._sent += 1
        self._resent += flight.tries > 0
        flight.due_s = now_s + self._timeout_s(flight.tries)

    def reconnected(self) -> None:
        """Send everything in flight again: the broker may have forgotten it."""
        for flight in self._flights.values():
            flight.due_s = 0.0

    def confirmed(self, payload: bytes) -> bool:
        """Take a confirm; returns whether it settled something."""
        try:
            confirm = wire_confirm.decode(payload)
        except BadMessageError:
            self._unasked += 1
            return False
        if confirm.stream != self.stream:
            return False  # of an agent that bears the same name
        before = len(self._flights)
        for first, last in confirm.batches:
            for number in range(first, last + 1):
                self._settle(number, is_stored=True)
        for rejection in confirm.rejected:
            self._settle(rejection.number, is_stored=False)
        if len(self._flights) == before:
            return False
        due_s = time.monotonic() + self._timeout_s(0)
        for flight in self._flights.values():  # the way is open: what waits out a long time-out need not
            flight.tries, flight.due_s = 0, min(flight.due_s, due_s)
        return True

    def _settle(self, number: int, *, is_stored: bool) -> None:
        flight = self._flights.pop(number, None)
        if flight is None:
            self._unasked += not 1 <= number <= len(self._plan.backlog) + len(self._fresh_spans)
            return
        self._confirmed += is_stored
        self._rejected += not is_stored
        self._confirmed_readings += flight.readings if is_stored else 0
        if flight.sealed_at_s is not None:
            if is_stored:
                self._latencies_s.append(time.monotonic() - flight.sealed_at_s)
            return
        self._backlog_left -= 1
        if self._backlog_left == 0:
            self._drained_at_s = time.monotonic()

    def _timeout_s(self, tries: int) -> float:
        ceiling = min(MOST_TIMEOUT_S, self._plan.timeout_s * 2.0 ** min(max(tries, 0), 16))
        return ceiling * (0.5 + 0.5 * self._chance.random())

    def sealed_spans(self) -> Iterator[tuple[int, int]]:
        """Return the stretches of time of all that was sealed and begun to be sent."""
        yield from self._plan.backlog[: self._backlog_sent]
        waiting = {span for span, _ in self._fresh.values()}
        yield from (span for span in self._fresh_spans if span not in waiting)

    def report(self, began_s: float, sessions_lost: int) -> GatewayReport:
        """What this gateway has reached."""
        return GatewayReport(
            gateway=self.name,
            sealed_batches=len(self._plan.backlog) + len(self._fresh_spans),
            confirmed_batches=self._confirmed,
            rejected_batches=self._rejected,
            unasked_confirms=self._unasked,
            sent=self._sent,
            resent=self._resent,
            sent_readings=self._sealed_readings,
            confirmed_readings=self._confirmed_readings,
            sessions_lost=sessions_lost,
            drained_after_s=None if self._drained_at_s is None else self._drained_at_s - began_s,
            fresh_latencies_s=list(self._latencies_s),
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
