"""The uplink's rules: what may be sent, what is sent again, what the collector's word settles.

No sockets and no threads here: `sender` does what these rules say. The clock is handed in.

At most `window` batches are in flight. One is sent again after a reconnect, or after a time-out that is jittered and
grows with every try of that batch; any confirm resets it for all. A confirm settles only what is in flight now, so
that a forged, late or foreign one lets go of nothing that was not sent.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.spool import SealedBatch, Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from wire.confirm import Confirm

MAX_TIMEOUT_S = 300.0


@dataclass
class _Flight:
    batch: SealedBatch
    due_s: float
    tries: int = 0


class Uplink:
    """What is in flight, and what is settled but not yet marked in the spool."""

    def __init__(self, *, window: int, timeout_s: float, chance: Callable[[], float] = random.random) -> None:
        self._window = window
        self._timeout_s = timeout_s
        self._chance = chance
        self._flights: dict[int, _Flight] = {}
        self._confirmed: dict[int, int] = {}  # number -> readings
        self._rejected: dict[int, str] = {}

    @property
    def free(self) -> int:
        """How many more batches may be sent now."""
        return self._window - len(self._flights)

    @property
    def in_flight(self) -> int:
        """How many batches are sent and not confirmed."""
        return len(self._flights)

    def sent(self, batch: SealedBatch, now_s: float) -> None:
        """Note that a batch was handed to the broker, for the first time or again."""
        before = self._flights.get(batch.number)
        tries = 0 if before is None else before.tries + 1
        self._flights[batch.number] = _Flight(batch, now_s + self._timeout(tries), tries)

    def reconnected(self) -> None:
        """Everything in flight is to be sent again: the broker is a relay and may have forgotten it."""
        for flight in self._flights.values():
            flight.due_s, flight.tries = 0.0, -1  # what is sent now is a first try on this connection

    def overdue(self, now_s: float) -> list[SealedBatch]:
        """Return the batches in flight that are to be sent again now, oldest first."""
        due = [flight.batch for flight in self._flights.values() if flight.due_s <= now_s]
        return sorted(due, key=lambda batch: batch.number)

    def next_due_s(self) -> float | None:
        """Return when the next batch is to be sent again; None where nothing is in flight."""
        return min((flight.due_s for flight in self._flights.values()), default=None)

    def confirm(self, confirm: Confirm, now_s: float) -> int:
        """Take the collector's word; returns how many batches it settled."""
        before = len(self._flights)
        for number, flight in list(self._flights.items()):
            if flight.batch.stream != confirm.stream:
                continue
            if any(first <= number <= last for first, last in confirm.batches):
                self._confirmed[number] = flight.batch.readings
                del self._flights[number]
        for rejection in confirm.rejected:
            rejected = self._flights.get(rejection.number)
            if rejected is not None and rejected.batch.stream == confirm.stream:
                self._rejected[rejection.number] = rejection.reason
                del self._flights[rejection.number]
        settled = before - len(self._flights)
        if settled:  # the way is open: what waits out a long time-out need not
            for flight in self._flights.values():
                flight.tries = 0
                flight.due_s = min(flight.due_s, now_s + self._timeout(0))
        return settled

    def dealt_with(self) -> set[int]:
        """Return the numbers that are not to be taken from the spool: in flight, or settled and not yet marked."""
        return self._flights.keys() | self._confirmed.keys() | self._rejected.keys()

    def settled(self) -> Settled:
        """Return what is settled and not yet marked in the spool."""
        return Settled(frozenset(self._confirmed), dict(self._rejected))

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

    def _timeout(self, tries: int) -> float:
        ceiling = min(MAX_TIMEOUT_S, self._timeout_s * 2.0 ** min(tries, 16))
        return ceiling * (0.5 + 0.5 * self._chance())
