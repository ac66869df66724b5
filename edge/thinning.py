"""Thinning: a device that speaks by itself says more than anybody needs; of an interval one sample is kept.

How the values of an interval become one is the quantity's business (`aggregate` in `quantities.yaml`), unless the
profile says otherwise:

    thinning:
      active_power: {by: max}
      wind_gust: {of: wind_speed, by: max}

The second line keeps the greatest of another reading, beside that reading's own mean.

What is judged afterwards is the sample. So one value that cannot be (a character that changed on the way) stays out of
what is made of the possible ones: it would be hidden in their mean. Where there was no other, it is the sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import msgspec

from edge.interface import Measured
from edge.plausibility.encoding import shortest
from wire.profile import Profile
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from base.strict_yaml import Document

By: TypeAlias = Literal["mean", "last", "max", "min", "sum", "vector", "energetic", "volume_weighted"]
HIGHEST_LEVEL = 1000.0
"""In dB; no sound is so loud, and its energy is still a number."""


class Thinned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one reading is thinned, in a profile."""

    by: By
    of: str | None = None
    """Another reading of the profile whose values these are; its own unless given."""


class Rule(NamedTuple):
    """How one reading is made of the values of an interval."""

    name: str
    of: str
    by: By


def check(document: Document, readings: Sequence[str], own: Mapping[str, Thinned]) -> None:
    """Check that what a profile says of thinning is of its own readings.

    Raises: ConfigError at the line that is wrong.
    """
    for name, thinned in own.items():
        for key, reading in (((), name), (("of",), thinned.of)):
            if reading is not None and reading not in readings:
                raise document.error(("thinning", name, *key), repr(reading), "one of those under 'readings'")


def rules_of(readings: Iterable[str], own: Mapping[str, Thinned]) -> tuple[Rule, ...]:
    """Return how a profile's readings are thinned; `own`: where that is not as usual."""
    return tuple(_rule(name, own.get(name)) for name in readings)


def _rule(name: str, own: Thinned | None) -> Rule:
    if own is None:
        return Rule(name, name, quantities()[name.partition("/")[0]].aggregate)
    return Rule(name, own.of or name, own.by)


class ThinnedProfile(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of a device that says more than one sample in an interval."""

    thinning: dict[str, Thinned] = {}  # noqa: RUF012 - msgspec copies it
    """How the values of an interval become one, where that is not as usual for the quantity."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """How its readings are thinned."""
        return rules_of(self.readings, self.thinning)

    def check_sources(self, document: Document, known: Container[str], expected: str) -> None:
        """Check that every reading is made of values that the device says. `expected`: where these are declared.

        Raises: ConfigError at the line that is wrong.
        """
        check(document, self.readings, self.thinning)
        for index, rule in enumerate(self.rules):
            if rule.of not in known:
                raise document.error(("readings", index), f"{rule.of!r} without a value", expected)


@dataclass
class _Sums:
    """What is needed of the values of one reading, however many there were."""

    unit: str
    last: float
    highest: float
    lowest: float
    count: int = 0
    total: float = 0.0
    weight: float = 0.0
    weighted: float = 0.0
    north: float = 0.0
    east: float = 0.0
    energy: float = 0.0
    flags: int = 0

    def add(self, reading: Reading, weight: float) -> None:
        """Take a value; `weight` is, of a direction, the speed that was said with it, and in a pipe the flow."""
        value = reading.value
        self.last = value
        self.highest, self.lowest = max(self.highest, value), min(self.lowest, value)
        self.count += 1
        self.total += value
        self.weight += weight
        self.weighted += weight * value
        self.north += weight * math.cos(math.radians(value))
        self.east += weight * math.sin(math.radians(value))
        self.energy += 10.0 ** (min(value, HIGHEST_LEVEL) / 10.0)
        self.flags |= reading.flags

    def made(self, by: By) -> float:
        """Make one value of all; of such as no arithmetic can be done with, the last one."""
        value = self._made(by)
        return value if math.isfinite(value) else self.last

    def _made(self, by: By) -> float:  # noqa: PLR0911 - one return a rule
        match by:
            case "mean":
                return self.total / self.count
            case "max":
                return self.highest
            case "min":
                return self.lowest
            case "sum":
                return self.total
            case "vector":
                return self._direction()
            case "energetic":
                return 10.0 * math.log10(self.energy / self.count) if self.energy else self.highest
            case "volume_weighted":
                return self.weighted / self.weight if self.weight else self.total / self.count
        return self.last

    def _direction(self) -> float:
        """Mean of directions in degrees; of a calm the last one."""
        if math.hypot(self.north, self.east) < 1e-9 * self.count:
            return self.last
        return round(math.degrees(math.atan2(self.east, self.north)), 9) % 360.0


class Thinner:
    """What one device said since the last sample. Times are monotonic, in seconds."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._sums: dict[str, _Sums] = {}
        self._impossible: dict[str, _Sums] = {}
        self._without: set[str] = set()
        self._last_s = 0.0

    def add(self, readings: Sequence[Reading], at_s: float, without_value: Iterable[str] = ()) -> None:
        """Take what the device said."""
        self._last_s = at_s
        self._without.update(without_value)
        values = {reading.name: reading.value for reading in readings}
        for reading in readings:
            self._without.discard(reading.name)
            kept = self._sums if _can_be(reading.name, reading.value) else self._impossible
            sums = kept.get(reading.name)
            if sums is None:
                start = reading.value
                sums = kept[reading.name] = _Sums(reading.unit, start, start, start)
            sums.add(reading, _weight(reading.name, values))

    def take(self) -> Measured | None:
        """Return the interval's sample, at the time of the last word; None where there was no word.

        What comes after it belongs to the next interval.
        """
        found = {**self._impossible, **self._sums}
        readings = tuple(_reading(rule, sums) for rule in self._rules if (sums := found.get(rule.of)) is not None)
        without = self._without - found.keys()
        self._sums, self._impossible, self._without = {}, {}, set()
        if not (readings or without):
            return None
        return Measured(readings, self._last_s, tuple(sorted(without)))


def _reading(rule: Rule, sums: _Sums) -> Reading:
    quantity, _, channel = rule.name.partition("/")
    value = sums.last if sums.count == 1 else sums.made(rule.by)
    return Reading(quantity, shortest(value), sums.unit, channel, sums.flags)


def _can_be(name: str, value: float) -> bool:
    low, high = _possible(name.partition("/")[0])
    return low <= value <= high


@cache
def _possible(quantity: str) -> tuple[float, float]:
    """Return the range of a quantity, with the little beyond it that is set to its end."""
    low, high = quantities()[quantity].range
    clip = quantities()[quantity].clip or (low, high)
    return min(low, clip[0]), max(high, clip[1])


def _weight(name: str, values: Mapping[str, float]) -> float:
    quantity, _, channel = name.partition("/")
    other = "wind_speed" if quantity == "wind_dir" else "flow_rate"
    weight = values.get(f"{other}/{channel}" if channel else other, 1.0)
    return abs(weight) if _can_be(other, weight) else 0.0
