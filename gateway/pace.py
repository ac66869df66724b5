"""How fast a backlog may go: a token bucket in readings, which starts at a moment of its own after each connection.

A thousand gateways that lost the same broker come back together; each begins its backlog at some moment of the first
minute, and the minute belongs to fresh data.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SPREAD_S = 60.0


class Pace:
    """Readings a second, with at most one second's worth saved up. A batch may overdraw it; the next one waits longer.

    A rate of 0 sets no bound, and no moment to wait for.
    """

    def __init__(self, readings_per_s: float, chance: Callable[[], float]) -> None:
        self._rate = readings_per_s
        self._chance = chance
        self._tokens = 0.0
        self._at_s = -math.inf

    def begin(self, now_s: float) -> None:
        """Begin anew after a connection: nothing is saved up, and nothing goes before a moment chosen by chance."""
        self._tokens = 0.0
        self._at_s = now_s + SPREAD_S * self._chance()

    def allowance(self, now_s: float) -> float:
        """How many readings may go now; a batch may go where that is at least 1."""
        if not self._rate:
            return math.inf
        if now_s > self._at_s:
            self._tokens = min(max(1.0, self._rate), self._tokens + (now_s - self._at_s) * self._rate)
            self._at_s = now_s
        return self._tokens

    def take(self, readings: int) -> None:
        """Note that so many readings went."""
        if self._rate:
            self._tokens -= readings

    def ready_s(self) -> float:
        """When a batch may go; a millisecond late rather than a rounding error too early."""
        return self._at_s + max(0.0, 1.0 - self._tokens) / self._rate + 0.001 if self._rate else -math.inf
