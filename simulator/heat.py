"""Heat meters: what they measure, and how they write it down in M-Bus records (EN 13757-3), digit by digit."""

from __future__ import annotations

import math
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from simulator import shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.faults import Wrong

SCALE = 10
"""A heat meter of a building carries so much more than a meter of its electricity."""
KWH_OF_M3_AND_K = 1.163
"""What a cubic metre of water holds for each kelvin."""
NO_DIGITS = 0xD
"""What stands in each half byte where a meter has no value."""


class Row(NamedTuple):
    """One record of the telegram: its two first bytes, how many decimal digits, and what one of them is worth."""

    head: bytes
    digits: int
    per_unit: float
    """Counts in one unit of the quantity: 100 of a volume in steps of 10 l."""


ROWS: Mapping[str, Row] = {
    "heat_energy": Row(b"\x0c\x06", 8, 1),
    "heat_volume": Row(b"\x0c\x14", 8, 100),
    "heat_power": Row(b"\x0b\x2d", 6, 0.01),
    "flow_rate": Row(b"\x0b\x3b", 6, 3_600_000),
    "temp_water_flow": Row(b"\x0a\x5a", 4, 10),
    "temp_water_return": Row(b"\x0a\x5e", 4, 10),
    "temp_difference": Row(b"\x0b\x61", 6, 100),
}
"""kWh, 10 l, 100 W, l/h, 0.1 degrees twice, and hundredths of a kelvin."""
_RANGES = {"heat_energy": 99_999_999, "temp_water_flow": 9990, "temp_water_return": 9990}


@dataclass(frozen=True)
class HeatModel:
    """A heat meter whose telegram has the rows above."""

    profile: str = "generic/mbus-heat"
    addresses: Mapping[str, Row] = field(default_factory=lambda: ROWS)
    """Quantity as on the wire -> its record."""

    @property
    def names(self) -> tuple[str, ...]:
        """Quantities as on the wire."""
        return tuple(self.addresses)

    def exact(self, device: str, quantity: str, at_ms: int, sector: str = "heat") -> float:
        """What is measured at a Unix time in ms, in the quantity's unit, before any digit is dropped."""
        drop_k = 22 + 16 * _seed(device, "drop")
        power_w = SCALE * shapes.value(device, "active_power", at_ms, sector)
        energy_kwh = SCALE * shapes.value(device, "active_energy_import", at_ms, sector)
        flow_c = 74 + 8 * _seed(device, "flow") + 3 * math.sin(at_ms / 1000 / 700 + 6 * _seed(device, "phase"))
        return {
            "heat_energy": energy_kwh,
            "heat_volume": energy_kwh / (KWH_OF_M3_AND_K * drop_k),
            "heat_power": power_w,
            "flow_rate": power_w / 1000 / (KWH_OF_M3_AND_K * drop_k) / 3600,
            "temp_water_flow": flow_c,
            "temp_water_return": flow_c - drop_k,
            "temp_difference": drop_k,
        }[quantity]

    def carried(self, device: str, quantity: str, at_ms: int, sector: str = "heat") -> int:
        """The whole number that the telegram carries; counters are rounded down."""
        value = self.exact(device, quantity, at_ms, sector) * self.addresses[quantity].per_unit
        return math.floor(value) if quantity in ("heat_energy", "heat_volume") else round(value)

    def truth(self, device: str, quantity: str, at_ms: int, sector: str = "heat") -> float:
        """What a correct decoder must make of the telegram, in the quantity's unit."""
        return self._meant(quantity, self.carried(device, quantity, at_ms, sector))

    def distorted(self, device: str, quantity: str, at_ms: int, wrong: Wrong, sector: str = "heat") -> float | None:
        """As `truth`, for a meter whose values are wrong; None where it says that it has none."""
        carried = self._wrong(device, quantity, at_ms, wrong, sector)
        return None if carried is None else self._meant(quantity, carried)

    def count(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "heat") -> int:
        """How many readings a telegram makes."""
        if wrong is None:
            return len(self.addresses)
        return sum(self.distorted(device, name, at_ms, wrong, sector) is not None for name in self.addresses)

    def records(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "heat") -> list[bytes]:
        """All records, as they stand at a Unix time in ms, the meter's clock last."""
        parts = []
        for quantity, row in self.addresses.items():
            if wrong is None:
                carried: int | None = self.carried(device, quantity, at_ms, sector)
            else:
                carried = self._wrong(device, quantity, at_ms, wrong, sector)
            parts.append(row.head + decimal(carried, row.digits))
        return [*parts, b"\x04\x6d" + clock(at_ms)]

    def _wrong(self, device: str, quantity: str, at_ms: int, wrong: Wrong, sector: str) -> int | None:
        right = self.carried(device, quantity, at_ms, sector)
        most = int("9" * (self.addresses[quantity].digits - 1))
        match wrong.how:
            case "sentinel":
                return None
            case "stuck":
                return self.carried(device, quantity, wrong.since_ms, sector)
            case "range":
                return _RANGES.get(quantity, most)
            case "jump":
                return min(most, right * 3 + 1000)
            case "negative":
                return -min(most, right)
        return int(str(right)[::-1])  # `swapped`: nothing of two words is here, so the digits are

    def _meant(self, quantity: str, carried: int) -> float:
        if quantity == "flow_rate":
            return float(f"{carried / 1000 / 3600:.15g}")
        per_unit = self.addresses[quantity].per_unit
        return carried / per_unit if per_unit >= 1 else carried * round(1 / per_unit)


def decimal(number: int | None, digits: int) -> bytes:
    """Write a number as decimal digits, two in a byte, the lowest first; a minus takes the first digit's place."""
    if number is None:
        return bytes([NO_DIGITS << 4 | NO_DIGITS]) * (digits // 2)
    text = str(abs(number)).rjust(digits, "0")
    if number < 0:
        text = "f" + text[1:]
    return bytes.fromhex(text)[::-1]


def clock(at_ms: int) -> bytes:
    """Write a date with time (type F): minute, hour and century, day and year's low bits, month and the high ones."""
    now = time.gmtime(at_ms / 1000)
    year = now.tm_year - 2000
    century = 1 << 5
    return bytes((now.tm_min, now.tm_hour | century, now.tm_mday | (year & 7) << 5, now.tm_mon | (year >> 3) << 4))


def _seed(device: str, what: str) -> float:
    return zlib.crc32(f"{device}/{what}".encode()) / 2**32


HEAT_METER = HeatModel()
