"""The models of meters: which register carries which quantity, written down apart from the profiles.

Source of both maps: volkszaehler/mbmd, meters/rs485/sdm.go and janitza.go, which cite the makers' documents
(SDM630Register.pdf, janitza-bhb-b2x-en.pdf). All values are IEEE 754 single precision, big endian, the
register with the higher half first.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from simulator import shapes
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from simulator.faults import Wrong

REGISTERS_PER_VALUE = 2
NOT_A_NUMBER = (0xFFFF, 0xFFFF)
"""What many meters send for a value that they do not have."""
FILLER = 0xFFFF
"""Stands between the quantities that a map carries: who decodes it by mistake gets no number."""
MOST_DIGITS = 9
"""So many significant digits tell any two numbers of single precision apart (C's FLT_DECIMAL_DIG)."""


@dataclass(frozen=True)
class Registers:
    """One model of meter on Modbus."""

    profile: str
    function_code: int
    addresses: dict[str, int]
    """Quantity as on the wire -> address of its first register."""
    energy_in_wh: bool = False
    """Energy registers carry Wh, which a correct decoder turns into kWh."""

    @property
    def names(self) -> tuple[str, ...]:
        """Quantities as on the wire."""
        return tuple(self.addresses)

    @property
    def first(self) -> int:
        """Address of the first register of the map."""
        return min(self.addresses.values())

    @property
    def size(self) -> int:
        """Number of registers from the first to the last."""
        return max(self.addresses.values()) + REGISTERS_PER_VALUE - self.first

    def exact(self, device: str, quantity: str, at_ms: int, sector: str = "") -> float:
        """What is measured at a Unix time in ms, in the quantity's unit."""
        return shapes.value(device, quantity, at_ms, sector)

    def carried(self, device: str, quantity: str, at_ms: int, sector: str = "") -> float:
        """What the registers carry at a Unix time in ms, in the meter's own unit; Wh are counted whole."""
        value = shapes.value(device, quantity, at_ms, sector)
        return to_float32(round(value * 1000) if self._is_wh(quantity) else value)

    def truth(self, device: str, quantity: str, at_ms: int, sector: str = "") -> float:
        """What a correct decoder must make of the registers, to the digit, in the quantity's unit.

        It is not what a float32 happens to become as a float64: 230.1, not 230.10000610351562.
        """
        return self._meant(quantity, self.carried(device, quantity, at_ms, sector))

    def distorted(self, device: str, quantity: str, at_ms: int, wrong: Wrong, sector: str = "") -> float | None:
        """As `truth`, for a meter whose values are wrong; None where its registers hold no number."""
        halves = self._wrong_words(device, quantity, at_ms, wrong, sector)
        (carried,) = struct.unpack(">f", struct.pack(">HH", *halves))
        return self._meant(quantity, carried) if math.isfinite(carried) else None

    def registers(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "") -> list[int]:
        """The whole map from `first` on, as it stands at a Unix time in ms."""
        registers = [FILLER] * self.size
        for quantity, address in self.addresses.items():
            if wrong is None:
                halves = _words(self.carried(device, quantity, at_ms, sector))
            else:
                halves = self._wrong_words(device, quantity, at_ms, wrong, sector)
            registers[address - self.first : address - self.first + REGISTERS_PER_VALUE] = halves
        return registers

    def count(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "") -> int:
        """How many readings the registers make; fewer than quantities where some hold no number."""
        if wrong is None:
            return len(self.addresses)
        return sum(self.distorted(device, name, at_ms, wrong, sector) is not None for name in self.addresses)

    def _wrong_words(self, device: str, quantity: str, at_ms: int, wrong: Wrong, sector: str) -> tuple[int, int]:
        right = self.carried(device, quantity, at_ms, sector)
        if wrong.how == "sentinel":
            return NOT_A_NUMBER
        if wrong.how == "swapped":
            high, low = _words(right)
            return low, high
        if wrong.how == "stuck":
            return _words(self.carried(device, quantity, wrong.since_ms, sector))
        scale = 1000 if self._is_wh(quantity) else 1
        highest = quantities()[quantity.partition("/")[0]].range[1]
        changed = {"range": highest * scale * 10 + 7, "jump": right * 3 + 1000, "negative": -right}[wrong.how]
        return _words(to_float32(changed))

    def _meant(self, quantity: str, carried: float) -> float:
        meant = math.copysign(float(meaning(abs(carried))), carried)
        return meant / 1000 if self._is_wh(quantity) else meant

    def _is_wh(self, quantity: str) -> bool:
        return self.energy_in_wh and quantity in shapes.ENERGIES


def _words(carried: float) -> tuple[int, int]:
    high, low = struct.unpack(">HH", struct.pack(">f", carried))
    return high, low


def to_float32(value: float) -> float:
    """Round to the nearest number that single precision can carry."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0])


def meaning(carried: float) -> Decimal:
    """What a meter means by a number that single precision carries.

    A whole number itself; else the decimal with the fewest digits among those that single precision rounds to the
    number; of two, the nearest. Found between the middles to the number's neighbours, so otherwise than a decoder
    would find it; a middle itself is rounded to the even one of the two (IEEE 754). For numbers above zero.
    """
    exact = Decimal(carried)
    if exact == exact.to_integral_value():
        return exact
    (bits,) = struct.unpack(">I", struct.pack(">f", carried))
    below, above = (Decimal(*struct.unpack(">f", struct.pack(">I", bits + step))) for step in (-1, 1))
    low, high = (below + exact) / 2, (exact + above) / 2
    for digits in range(1, MOST_DIGITS):
        candidate = Decimal(f"{exact:.{digits}g}")
        if low < candidate < high or (bits % 2 == 0 and candidate in {low, high}):
            return candidate
    return Decimal(f"{exact:.{MOST_DIGITS}g}")


SDM630 = Registers(
    profile="eastron/sdm630",
    function_code=4,
    addresses={
        "voltage/L1": 0x0000,
        "voltage/L2": 0x0002,
        "voltage/L3": 0x0004,
        "current/L1": 0x0006,
        "current/L2": 0x0008,
        "current/L3": 0x000A,
        "active_power/L1": 0x000C,
        "active_power/L2": 0x000E,
        "active_power/L3": 0x0010,
        "active_power": 0x0034,
        "apparent_power": 0x0038,
        "reactive_power": 0x003C,
        "power_factor": 0x003E,
        "frequency": 0x0046,
        "active_energy_import": 0x0048,
        "active_energy_export": 0x004A,
    },
)

B23 = Registers(
    profile="janitza/b23",
    function_code=3,
    addresses={
        "voltage/L1": 0x4A38,
        "voltage/L2": 0x4A3A,
        "voltage/L3": 0x4A3C,
        "current/L1": 0x4A44,
        "current/L2": 0x4A46,
        "current/L3": 0x4A48,
        "active_power/L1": 0x4A4C,
        "active_power/L2": 0x4A4E,
        "active_power/L3": 0x4A50,
        "active_power": 0x4A52,
        "frequency": 0x4A6A,
        "active_energy_import": 0x4A7C,
        "active_energy_export": 0x4A84,
    },
    energy_in_wh=True,
)
