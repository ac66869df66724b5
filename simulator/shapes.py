"""What the simulated world does: every quantity of every device as a smooth function of time.

No state and no chance: the same device, quantity and time give the same value for ever, so the truth behind
a reading can be computed again. Devices differ by a number drawn from their id.
"""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

DAY_S = 86_400
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


def value(device: str, quantity: str, at_ms: int) -> float:
    """Value of a quantity (`<quantity>` or `<quantity>/<phase>`) in its own unit at a Unix time in ms.

    Raises: KeyError for a quantity that no simulated device has.
    """
    name, _, phase = quantity.partition("/")
    t_s = at_ms / 1000
    if phase:
        return _OF_PHASE[name](device, phase, t_s)
    return _OF_DEVICE[name](device, t_s)


def _seed(device: str, what: str) -> float:
    """A number from 0 to 1 that belongs to a device and a word."""
    return zlib.crc32(f"{device}/{what}".encode()) / 2**32


def _load(device: str, phase: str) -> Load:
    seed = _seed(device, phase)
    mean_w = 800 + 5200 * _seed(device, "size") + 600 * seed
    return Load(
        mean_w,
        (
            Wave(0.55, DAY_S, NOON_S),
            Wave(0.12, 900 + 600 * seed, 900 * seed),
            Wave(0.05, 37 + 20 * seed, 37 * seed),
        ),
    )


def _voltage(device: str, phase: str, t_s: float) -> float:
    seed = _seed(device, f"voltage {phase}")
    slow, fast = Wave(2.5, 1800, 1800 * seed), Wave(0.4, 23 + 10 * seed, 23 * seed)
    return 230 + 2 * (seed - 0.5) + slow.at(t_s) + fast.at(t_s)


def _phase_power(device: str, phase: str, t_s: float) -> float:
    return _load(device, phase).power_w(t_s)


def _current(device: str, phase: str, t_s: float) -> float:
    volts = _voltage(device, phase, t_s)
    return _phase_power(device, phase, t_s) / (volts * _power_factor(device, t_s))


def _active(device: str, t_s: float) -> float:
    return sum(_phase_power(device, phase, t_s) for phase in PHASES)


def _reactive(device: str, t_s: float) -> float:
    seed = _seed(device, "reactive")
    return _active(device, t_s) * (0.2 + 0.15 * seed + Wave(0.05, 300 + 60 * seed, 60 * seed).at(t_s))


def _apparent(device: str, t_s: float) -> float:
    return math.hypot(_active(device, t_s), _reactive(device, t_s))


def _power_factor(device: str, t_s: float) -> float:
    return _active(device, t_s) / _apparent(device, t_s)


def _frequency(_device: str, t_s: float) -> float:
    return 50 + Wave(0.03, 613, 0).at(t_s) + Wave(0.008, 41, 0).at(t_s)


def _imported(device: str, t_s: float) -> float:
    flowed = sum(_load(device, phase).energy_kwh(t_s) for phase in PHASES)
    return 1000 + 5000 * _seed(device, "imported") + flowed


def _exported(device: str, t_s: float) -> float:
    flowed = sum(_load(device, phase).energy_kwh(t_s) for phase in PHASES)
    return 10 + 90 * _seed(device, "exported") + FED_IN * flowed


_OF_PHASE = {"voltage": _voltage, "current": _current, "active_power": _phase_power}
_OF_DEVICE = {
    "active_power": _active,
    "reactive_power": _reactive,
    "apparent_power": _apparent,
    "power_factor": _power_factor,
    "frequency": _frequency,
    "active_energy_import": _imported,
    "active_energy_export": _exported,
}
