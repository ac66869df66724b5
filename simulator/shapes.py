"""What the simulated world does: every quantity of every device as a smooth function of time.

No state and no chance: the same device, quantity and time give the same value for ever, so the truth behind
a reading can be computed again. Devices differ by a number drawn from their id.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DAY_S = 86_400
WEEK_S = 7 * DAY_S
YEAR_S = 365.2425 * DAY_S
WEDNESDAY_S = 6.5 * DAY_S
"""Unix time began on a Thursday: noon of a Wednesday, the middle of the working week."""
JANUARY_S = 14 * DAY_S
JULY_S = JANUARY_S + YEAR_S / 2
NOON_S = 11 * 3600
"""The load is highest at 11:00 UTC, noon in Germany."""
BEGIN_S = 1_767_225_600
"""2026-01-01T00:00:00Z: the counters of all meters stood at their first value."""
PHASES = ("L1", "L2", "L3")
ENERGIES = frozenset({"active_energy_import", "active_energy_export"})
FED_IN = 0.03
"""What flows back (a roof in the sun while the phases are unevenly loaded), as a share of what flows in."""


class Wave(NamedTuple):
    """One sine on top of a load, by its share of the mean load."""

    share: float
    period_s: float
    crest_s: float

    def at(self, t_s: float) -> float:
        """Height at a Unix time in s."""
        return self.share * math.cos(self._angle(t_s))

    def area(self, t_s: float) -> float:
        """Integral from `BEGIN_S` to a Unix time, in s."""
        scale = self.share * self.period_s / math.tau
        return scale * (math.sin(self._angle(t_s)) - math.sin(self._angle(BEGIN_S)))

    def _angle(self, t_s: float) -> float:
        return math.tau * math.fmod(t_s - self.crest_s, self.period_s) / self.period_s


def _rhythm(noon_s: float, daily: float, by_week: float, weekly: float) -> tuple[Wave, ...]:
    """A day whose height follows the week: crest at `noon_s`, on Sundays flatter by `by_week`; and the week itself.

    The product of day and week is the sum of two waves, one a little faster than the day and one a little slower.
    """
    sides = []
    for sign in (1, -1):
        frequency = 1 / DAY_S + sign / WEEK_S
        crest_s = (noon_s / DAY_S + sign * WEDNESDAY_S / WEEK_S) / frequency
        sides.append(Wave(daily * by_week / 2, 1 / frequency, crest_s))
    return (Wave(daily, DAY_S, noon_s), *sides, Wave(weekly, WEEK_S, WEDNESDAY_S))


PATTERNS: Mapping[str, tuple[Wave, ...]] = {
    "": (Wave(0.55, DAY_S, NOON_S),),
    "buildings": (*_rhythm(NOON_S, 0.45, 0.3, 0.12), Wave(0.08, YEAR_S, JANUARY_S)),
    "industry": (*_rhythm(NOON_S, 0.25, 0.4, 0.25), Wave(0.03, YEAR_S, JANUARY_S)),
    "heat": (*_rhythm(8 * 3600, 0.18, 0.0, 0.03), Wave(0.5, YEAR_S, JANUARY_S)),
    "traffic": (
        *_rhythm(13 * 3600, 0.25, 0.2, 0.12),
        Wave(0.2, DAY_S / 2, 6.5 * 3600),
        Wave(0.03, YEAR_S, JULY_S),
    ),
    "climate": (*_rhythm(13 * 3600, 0.4, 0.0, 0.0), Wave(0.2, YEAR_S, JULY_S)),
}
"""Sector -> the day, the week and the year of its loads. No sum of shares reaches 0.8; the rest is for quick waves."""


class Load(NamedTuple):
    """The load of one phase: a mean with waves that never eat it up, so that energy always rises."""

    mean_w: float
    waves: tuple[Wave, ...]

    def power_w(self, t_s: float) -> float:
        """Power at a Unix time in s."""
        return self.mean_w * (1 + sum(wave.at(t_s) for wave in self.waves))

    def energy_kwh(self, t_s: float) -> float:
        """What has flowed since `BEGIN_S`: the integral of the power."""
        return self.mean_w * (t_s - BEGIN_S + sum(wave.area(t_s) for wave in self.waves)) / 3.6e6


class _Who(NamedTuple):
    """A device, as far as its shapes depend on it."""

    device: str
    sector: str

    def seed(self, what: str) -> float:
        """A number from 0 to 1 that belongs to the device and a word."""
        return _seed(self.device, what)


def value(device: str, quantity: str, at_ms: int, sector: str = "") -> float:
    """Value of a quantity (`<quantity>` or `<quantity>/<phase>`) in its own unit at a Unix time in ms.

    Raises: KeyError for a quantity that no simulated device has, and for a sector that there is not.
    """
    name, _, phase = quantity.partition("/")
    who, t_s = _Who(device, sector), at_ms / 1000
    if phase:
        return _OF_PHASE[name](who, phase, t_s)
    return _OF_DEVICE[name](who, t_s)


@lru_cache(1 << 14)
def _seed(device: str, what: str) -> float:
    return zlib.crc32(f"{device}/{what}".encode()) / 2**32


@lru_cache(1 << 14)
def _load(who: _Who, phase: str) -> Load:
    seed = who.seed(phase)
    mean_w = 800 + 5200 * who.seed("size") + 600 * seed
    quick = (Wave(0.12, 900 + 600 * seed, 900 * seed), Wave(0.05, 37 + 20 * seed, 37 * seed))
    return Load(mean_w, (*PATTERNS[who.sector], *quick))


@lru_cache(1 << 10)
def _voltage(who: _Who, phase: str, t_s: float) -> float:
    seed = who.seed(f"voltage {phase}")
    slow, fast = Wave(2.5, 1800, 1800 * seed), Wave(0.4, 23 + 10 * seed, 23 * seed)
    return 230 + 2 * (seed - 0.5) + slow.at(t_s) + fast.at(t_s)


@lru_cache(1 << 10)
def _phase_power(who: _Who, phase: str, t_s: float) -> float:
    return _load(who, phase).power_w(t_s)


def _current(who: _Who, phase: str, t_s: float) -> float:
    volts = _voltage(who, phase, t_s)
    return _phase_power(who, phase, t_s) / (volts * _power_factor(who, t_s))


def _active(who: _Who, t_s: float) -> float:
    return sum(_phase_power(who, phase, t_s) for phase in PHASES)


@lru_cache(1 << 10)
def _reactive(who: _Who, t_s: float) -> float:
    seed = who.seed("reactive")
    return _active(who, t_s) * (0.2 + 0.15 * seed + Wave(0.05, 300 + 60 * seed, 60 * seed).at(t_s))


def _apparent(who: _Who, t_s: float) -> float:
    return math.hypot(_active(who, t_s), _reactive(who, t_s))


@lru_cache(1 << 10)
def _power_factor(who: _Who, t_s: float) -> float:
    return _active(who, t_s) / _apparent(who, t_s)


@lru_cache(1 << 10)
def _frequency_of_grid(t_s: float) -> float:
    return 50 + Wave(0.03, 613, 0).at(t_s) + Wave(0.008, 41, 0).at(t_s)


def _frequency(_who: _Who, t_s: float) -> float:
    return _frequency_of_grid(t_s)


@lru_cache(1 << 10)
def _flowed(who: _Who, t_s: float) -> float:
    return sum(_load(who, phase).energy_kwh(t_s) for phase in PHASES)


def _imported(who: _Who, t_s: float) -> float:
    return 1000 + 5000 * who.seed("imported") + _flowed(who, t_s)


def _exported(who: _Who, t_s: float) -> float:
    return 10 + 90 * who.seed("exported") + FED_IN * _flowed(who, t_s)


_OF_PHASE: Mapping[str, Callable[[_Who, str, float], float]] = {
    "voltage": _voltage,
    "current": _current,
    "active_power": _phase_power,
}
_OF_DEVICE: Mapping[str, Callable[[_Who, float], float]] = {
    "active_power": _active,
    "reactive_power": _reactive,
    "apparent_power": _apparent,
    "power_factor": _power_factor,
    "frequency": _frequency,
    "active_energy_import": _imported,
    "active_energy_export": _exported,
}
