"""What the gateway says of a device beside its values: whether it answers, and how often the bus failed it."""

from __future__ import annotations

from edge.interface import Traffic
from wire.readings import Reading
from wire.vocabulary import quantities

FAILURES_TO_UNREACHABLE = 2
"""In a row: one lost answer is what lines do."""
REPEAT_S = 900.0
"""A state that does not change is said again, so that who joins late knows it."""
REPORT_S = 300.0
"""Between two reports of a device's requests and errors."""


class Reach:
    """Whether one device answers. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self.answers: bool | None = None
        """None as long as nobody knows."""
        self._failures = 0
        self._said: bool | None = None
        self._again_at_s = 0.0

    def answered(self, now_s: float) -> tuple[Reading, ...]:
        """Note an answer; returns what is to be said."""
        self.answers, self._failures = True, 0
        return self.still(now_s)

    def failed(self, now_s: float) -> tuple[Reading, ...]:
        """Note that it did not answer; returns what is to be said."""
        self._failures += 1
        if self._failures >= FAILURES_TO_UNREACHABLE:
            self.answers = False
        return self.still(now_s)

    def still(self, now_s: float) -> tuple[Reading, ...]:
        """Return the state where it changed or was last said long ago."""
        if self.answers is None or (self.answers == self._said and now_s < self._again_at_s):
            return ()
        self._said, self._again_at_s = self.answers, now_s + REPEAT_S
        return (reading("reachable", float(self.answers)),)


class BusReport:
    """How often one device was asked, and in vain, since that was last said."""

    def __init__(self) -> None:
        self._said = Traffic()
        self._due_s: float | None = None

    def due(self, now: Traffic, now_s: float) -> tuple[Reading, ...]:
        """Return the report where it is due: requests, errors and the rate of these since the last one."""
        if now.requests < self._said.requests:
            self._said = Traffic()  # the bus was opened anew and counts from 0
        if self._due_s is None:
            self._due_s = now_s + REPORT_S
        if now_s < self._due_s:
            return ()
        self._due_s = now_s + REPORT_S
        requests, errors = now.requests - self._said.requests, now.errors - self._said.errors
        self._said = now
        if requests <= 0:
            return ()
        return (
            reading("bus_requests", float(requests)),
            reading("bus_errors", float(errors)),
            reading("bus_error_rate", 100.0 * errors / requests),
        )


def reading(quantity: str, value: float) -> Reading:
    """Make a reading without a channel, in the quantity's unit."""
    return Reading(quantity, value, quantities()[quantity].unit)
