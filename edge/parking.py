"""Parking: a device that does not answer is asked ever more rarely, so that it costs its bus-mates nothing.

After two failures in a row a device is parked. From then on it is only probed: after delays that double and are
jittered, and never so often that the probes of all parked devices of the bus take more than a small share of the
bus's time. One answer brings it back.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURES_TO_PARK = 2
FIRST_DELAY_S = 10.0
LONGEST_DELAY_S = 300.0
SHARE = 0.02
"""Of the bus's time, for the probes of all parked devices together."""


@dataclass
class _State:
    failures: int = 0
    probe_at_s: float = 0.0


class Parking:
    """Which devices of one bus are parked. The clock is monotonic, in seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._states: dict[str, _State] = {}

    def is_due(self, device: str) -> bool:
        """Whether a device may be asked now: it is not parked, or its next probe is due."""
        state = self._states.get(device)
        return state is None or state.failures < FAILURES_TO_PARK or self._clock() >= state.probe_at_s

    def is_parked(self, device: str) -> bool:
        """Whether a device is parked."""
        state = self._states.get(device)
        return state is not None and state.failures >= FAILURES_TO_PARK

    def probe_in_s(self, device: str) -> float | None:
        """Return the seconds until a parked device is asked again; None where it is not parked."""
        if not self.is_parked(device):
            return None
        return max(0.0, self._states[device].probe_at_s - self._clock())

    def failed(self, device: str, cost_s: float) -> None:
        """Note that a device did not answer, and how long the bus waited for it."""
        state = self._states.setdefault(device, _State())
        state.failures += 1
        if state.failures < FAILURES_TO_PARK:
            return
        parked = sum(1 for name in self._states if self.is_parked(name))
        backoff_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(state.failures - FAILURES_TO_PARK, 16))
        delay_s = max(backoff_s, parked * cost_s / SHARE)
        state.probe_at_s = self._clock() + delay_s * (1 + 0.25 * self._chance())

    def answered(self, device: str) -> None:
        """Note that a device answered, be it with an error: it is there."""
        self._states.pop(device, None)
