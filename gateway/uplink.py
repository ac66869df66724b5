"""The uplink's rules: what may be sent, what is sent again, what the collector's word settles.

No sockets and no threads here: `sender` does what these rules say. The clock is handed in.

At most `window` batches are in flight. One is sent again after a reconnect, or after a time-out that grows
with every try and is jittered; any confirm resets it. A confirm settles only what is in flight now, so that a
forged, late or foreign one lets go of nothing that was not sent.
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


class Uplink:
    """What is in flight, and what is settled but not yet marked in the spool."""

    def __init__(self, *, window: int, timeout_s: float, chance: Callable[[], float] = random.random) -> None:
        self._window = window
        self._timeout_s = timeout_s
        self._chance = chance
        self._flights: dict[int, _Flight] = {}
        self._confirmed: dict[int, int] = {}  # number -> readings
        self._rejected: dict[int, str] = {}
        self._unanswered = 0
        self.sent_up_to = 0
        """Highest number ever sent by this process; what lies above it in the spool was not."""

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
        self._flights[batch.number] = _Flight(batch, now_s + self._timeout())
        self.sent_up_to = max(self.sent_up_to, batch.number)

    def reconnected(self) -> None:
        """Everything in flight is to be sent again: the broker is a relay and may have forgotten it."""
        for flight in self._flights.values():
            flight.due_s = 0.0

    def overdue(self, now_s: float) -> list[SealedBatch]:
        """Return the batches in flight that are to be sent again now, oldest first."""
        due = [flight.batch for flight in self._flights.values() if flight.due_s <= now_s]
        if any(flight.due_s > 0 for flight in self._flights.values() if flight.due_s <= now_s):
            self._unanswered += 1
        return sorted(due, key=lambda batch: batch.number)

    def next_due_s(self) -> float | None:
        """Return when the next batch is to be sent again; None where nothing is in flight."""
        return min((flight.due_s for flight in self._flights.values()), default=None)

    def confirm(self, confirm: Confirm) -> int:
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
        if confirm.batches or confirm.rejected:
            self._unanswered = 0
        return before - len(self._flights)

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

    def _timeout(self) -> float:
        ceiling = min(MAX_TIMEOUT_S, self._timeout_s * 2.0 ** min(self._unanswered, 16))
        return ceiling * (0.5 + 0.5 * self._chance())
