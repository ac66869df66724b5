"""What one reading of a device may be: its quantity's row, narrowed by its profile and by how it is written down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from edge.plausibility.encoding import UNKNOWN, Encoding
from edge.plausibility.hints import Hint
from wire.counters import Rules as CounterRules
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wire.profile import Limits, Profile
    from wire.vocabulary import Quantity

TINY = 1e-12
"""No quantity of the vocabulary is measured so finely in its unit; what is smaller and not 0 may be garbled."""
SUBNORMAL = 1.2e-38
"""Below it a float32 is no normal number: no device computes one, but two swapped words often make one."""
COARSE = 0.05
"""Of its step: a reading that is written no finer may stay what it is for hours."""
SIZABLE = 1e-5
"""Of the range: with its words the other way round, a garbled value is at least so large."""
GONE = -127.0
POWER_ON = 85.0


@dataclass(frozen=True, eq=False)
class Rules:
    """What a reading may be. Shared by all devices of one kind with the same parameters."""

    name: str
    quantity: Quantity
    encoding: Encoding
    low: float
    high: float
    step_per_s: float
    """Largest plausible change; infinite where nobody knows one."""
    stuck_s: float
    """Without change for so long it counts as stuck; infinite where it never does."""
    rest: frozenset[float]
    traps: Mapping[float, Hint]
    """Values within the range that mean that there is none."""
    counter: CounterRules

    def clipped(self, value: float) -> float | None:
        """Return the end of the range for a value a little beyond it; None where it is not to be set to that."""
        clip = self.quantity.clip
        if clip is None or not clip[0] <= value <= clip[1]:
            return None
        return min(max(value, self.low), self.high)

    def why_none(self, value: float) -> Hint | None:
        """Say why a value is none: beyond the range, a trap, or hardly more than 0; None where it may be one."""
        if not self.low <= value <= self.high:
            return self._why_beyond(value)
        if -TINY < value < TINY:
            return self._why_tiny(value) if value else None
        return self.traps.get(value)

    def _why_tiny(self, value: float) -> Hint | None:
        """Say why a value that is hardly more than 0 is none.

        Firmware may compute a rest of 1e-17 W where nothing flows: that is garbled only if it makes a sizable value
        with its words the other way round.
        """
        other = self.encoding.word_swapped(value)
        if other is not None and self._is_sizable(other):
            return Hint("word_order", {"other": other})
        return Hint("tiny") if abs(value) < SUBNORMAL * max(1.0, abs(self.encoding.scale)) else None

    def _why_beyond(self, value: float) -> Hint:
        """Say what a value beyond the range may be."""
        pattern = self.encoding.no_values().get(value)
        if pattern is not None:
            return Hint("no_value", {"pattern": pattern})
        if value == GONE and self.quantity.unit == "Cel":
            return Hint("gone")
        if value == POWER_ON and self.quantity.unit == "Cel":
            return Hint("power_on")
        for kind, other in (
            ("word_order", self.encoding.word_swapped(value)),
            ("unsigned", self.encoding.unsigned(value)),
        ):
            if other is not None and self._is_sizable(other):
                return Hint(kind, {"other": other})
        return Hint("range", {"low": self.low, "high": self.high})

    def _is_sizable(self, value: float) -> bool:
        return SIZABLE * self.high < abs(value) and self.low <= value <= self.high


def of_profile(
    profile: Profile, parameters: Mapping[str, float], encodings: Mapping[str, Encoding]
) -> tuple[Rules, ...]:
    """Return the rules for every reading of a profile; `parameters` are all declared ones."""
    limits = tuple(sorted((name, _in_place(given, parameters)) for name, given in profile.limits.items()))
    return _of_readings(tuple(profile.readings), limits, tuple(sorted(encodings.items())))


@lru_cache(256)
def _of_readings(
    readings: tuple[str, ...], limits: tuple[tuple[str, Limits], ...], encodings: tuple[tuple[str, Encoding], ...]
) -> tuple[Rules, ...]:
    by_name, written = dict(limits), dict(encodings)
    return tuple(_rules(name, by_name.get(name), written.get(name, UNKNOWN)) for name in readings)


def _in_place(limits: Limits, parameters: Mapping[str, float]) -> Limits:
    return limits.scaled(
        (parameters[limits.multiply_by] if limits.multiply_by else 1.0)
        / (parameters[limits.divide_by] if limits.divide_by else 1.0)
    )


def _rules(name: str, limits: Limits | None, encoding: Encoding) -> Rules:
    quantity = quantities()[name.partition("/")[0]]
    low, high = (limits and limits.range) or quantity.range
    step = (limits and limits.step) or quantity.step or math.inf
    stuck_h = (limits and limits.stuck_h) or quantity.stuck_h or math.inf
    resolution = (limits and limits.resolution) or encoding.resolution
    modulus = (limits and limits.modulus) or (encoding.modulus if quantity.kind == "counter" else None)
    is_coarse = resolution > COARSE * step
    return Rules(
        name=name,
        quantity=quantity,
        encoding=encoding,
        low=low,
        high=high,
        step_per_s=step / 60,
        stuck_s=math.inf if is_coarse else stuck_h * 3600,
        rest=frozenset(quantity.rest),
        traps=_traps(quantity, encoding, low, high),
        counter=CounterRules(step / 60, resolution, modulus),
    )


def _traps(quantity: Quantity, encoding: Encoding, low: float, high: float) -> dict[float, Hint]:
    """Return the values within the range that mean no value; a counter's count, and so does a state's."""
    if quantity.kind in ("counter", "state"):
        return {}
    return {
        value: Hint("no_value", {"pattern": pattern})
        for value, pattern in encoding.no_values().items()
        if low <= value <= high
    }
