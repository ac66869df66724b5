"""From the units of M-Bus records to those of the town's quantities."""

from __future__ import annotations

CAL_J = 4.1868
"""The international calorie, which heat meters mean."""

_FACTORS: dict[tuple[str, str], tuple[float, float]] = {
    ("Wh", "kWh"): (1, 1000),
    ("J", "kWh"): (1, 3_600_000),
    ("cal", "kWh"): (CAL_J, 3_600_000),
    ("varh", "kvarh"): (1, 1000),
    ("VAh", "kVAh"): (1, 1000),
    ("J/h", "W"): (1, 3600),
    ("m3/h", "m3/s"): (1, 3600),
    ("m3/min", "m3/s"): (1, 60),
    ("ft3", "m3"): (0.028316846592, 1),
    ("bar", "hPa"): (1000, 1),
    ("s", "h"): (1, 3600),
    ("%RH", "%RH"): (1, 1),
    ("", "count"): (1, 1),
    ("", "/"): (1, 1),
}
"""Multiplied by the first and divided by the second number: exact where decimals are."""
_SHIFTS = {("degF", "Cel"): (-32.0, 5, 9), ("degF", "K"): (0.0, 5, 9)}


def can_convert(unit: str, to: str) -> bool:
    """Whether a unit can become another."""
    return unit == to or (unit, to) in _FACTORS or (unit, to) in _SHIFTS


def convert(value: float, unit: str, to: str) -> float | None:
    """Convert a value; None where a unit cannot become the other."""
    if unit == to:
        return value
    if (shift := _SHIFTS.get((unit, to))) is not None:
        return (value + shift[0]) * shift[1] / shift[2]
    if (factor := _FACTORS.get((unit, to))) is not None:
        return value * factor[0] / factor[1]
    return None
