"""How a device wrote a value down: what that says of its resolution, its modulus, and of values that are none."""

from __future__ import annotations

import math
import re
import struct
from typing import NamedTuple

_NAME = re.compile(r"(u?int|bcd|float)([0-9]+)\Z")
_FLOAT32 = struct.Struct(">f")
_WORDS = struct.Struct(">HH")
LONGEST_MODULUS_BITS = 48
"""A wider counter does not go over its top in a device's life."""


class Encoding(NamedTuple):
    """A value = raw * scale + offset, where raw is written as `kind`."""

    kind: str
    """`int16`, `uint32`, `float32`, ...; `bcd8`: eight decimal digits; empty where nobody knows."""
    scale: float = 1.0
    offset: float = 0.0

    def of(self, raw: float) -> float:
        """Return the value that a raw number means."""
        return raw * self.scale + self.offset

    @property
    def resolution(self) -> float:
        """The smallest step between two values; 0 where it depends on the value, or is not known."""
        name, _ = self._parts()
        return abs(self.scale) if name in ("int", "uint", "bcd") else 0.0

    @property
    def modulus(self) -> float | None:
        """Where a counter written so must start over; None where it never gets there, or nobody knows."""
        name, size = self._parts()
        if name == "uint" and size <= LONGEST_MODULUS_BITS:
            return math.ldexp(abs(self.scale), size)
        return 10.0**size * abs(self.scale) if name == "bcd" else None

    def no_values(self) -> dict[float, str]:
        """Return what devices write where they have no value, by the value that it would be, with the bit pattern."""
        name, size = self._parts()
        raws: tuple[int, ...] = ()
        if name == "int":
            raws = ((1 << size - 1) - 1, -(1 << size - 1))
        elif name == "uint":
            raws = ((1 << size) - 1,)
        return {shortest(self.of(raw)): f"0x{raw & (1 << size) - 1:X}" for raw in raws}

    def word_swapped(self, value: float) -> float | None:
        """Return what a value would be with its two words the other way round; None where that says nothing."""
        if self.kind != "float32" or not self.scale:
            return None
        try:
            high, low = _WORDS.unpack(_FLOAT32.pack((value - self.offset) / self.scale))
        except OverflowError:
            return None
        other: float = _FLOAT32.unpack(_WORDS.pack(low, high))[0]
        return self.of(other) if math.isfinite(other) else None

    def unsigned(self, value: float) -> float | None:
        """Return what a negative value would be if its top bit were no sign; None where it is written without one."""
        name, size = self._parts()
        return value + math.ldexp(abs(self.scale), size) if name == "int" and value < self.offset else None

    def _parts(self) -> tuple[str, int]:
        found = _NAME.match(self.kind)
        return (found[1], int(found[2])) if found else ("", 0)


UNKNOWN = Encoding("")


def shortest(value: float) -> float:
    """Drop the digits that binary arithmetic added, as the drivers do, so that equal values are equal."""
    return float(f"{value:.15g}")
