"""Models of devices that say whole numbers: which quantity stands for how much, and what a word looks like.

Written down apart from the profiles that read them.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from simulator import shapes, sml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.faults import Wrong

Shape: TypeAlias = "Callable[[str, int, str], float]"


class Row(NamedTuple):
    """One number of a word."""

    shape: Shape
    """What is measured: device, Unix time in ms, sector -> value in the quantity's unit."""
    per_unit: float = 1.0
    """Counts in one unit: 1000 where a kWh is written in Wh."""
    highest: int = 99_999_999


@dataclass(frozen=True)
class WordModel:
    """A device whose word holds whole numbers."""

    profile: str
    rows: Mapping[str, Row]
    """Quantity as on the wire -> its number."""
    write: Callable[[str, Mapping[str, int | None]], bytes]
    """Device, and the number of each quantity (None: it has none) -> the word."""

    @property
    def names(self) -> tuple[str, ...]:
        """Quantities as on the wire."""
        return tuple(self.rows)

    def exact(self, device: str, quantity: str, at_ms: int, sector: str = "") -> float:
        """What is measured at a Unix time in ms, in the quantity's unit."""
        return self.rows[quantity].shape(device, at_ms, sector)

    def carried(self, device: str, quantity: str, at_ms: int, sector: str = "") -> int:
        """The number that a word of a Unix time in ms carries."""
        row = self.rows[quantity]
        return min(row.highest, round(self.exact(device, quantity, at_ms, sector) * row.per_unit))

    def truth(self, device: str, quantity: str, at_ms: int, sector: str = "") -> float:
        """What a correct decoder must make of it."""
        return self._meant(quantity, self.carried(device, quantity, at_ms, sector))

    def distorted(self, device: str, quantity: str, at_ms: int, wrong: Wrong, sector: str = "") -> float | None:
        """As `truth`, for a device whose values are wrong; None where it says that it has none."""
        carried = self._wrong(device, quantity, at_ms, wrong, sector)
        return None if carried is None else self._meant(quantity, carried)

    def count(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "") -> int:
        """How many readings a word makes."""
        if wrong is None:
            return len(self.rows)
        return sum(self.distorted(device, name, at_ms, wrong, sector) is not None for name in self.rows)

    def word(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "") -> bytes:
        """What the device says at a Unix time in ms."""
        numbers = {name: self._number(device, name, at_ms, wrong, sector) for name in self.rows}
        return self.write(device, numbers)

    def _number(self, device: str, quantity: str, at_ms: int, wrong: Wrong | None, sector: str) -> int | None:
        if wrong is None:
            return self.carried(device, quantity, at_ms, sector)
        return self._wrong(device, quantity, at_ms, wrong, sector)

    def _wrong(self, device: str, quantity: str, at_ms: int, wrong: Wrong, sector: str) -> int | None:
        right, highest = self.carried(device, quantity, at_ms, sector), self.rows[quantity].highest
        match wrong.how:
            case "sentinel":
                return None
            case "stuck":
                return self.carried(device, quantity, wrong.since_ms, sector)
            case "range":
                return highest
            case "jump":
                return min(highest, right * 3 + 1000)
        return int(str(abs(right))[::-1])

    def _meant(self, quantity: str, carried: int) -> float:
        return float(f"{carried / self.rows[quantity].per_unit:.15g}")


def known(name: str) -> Shape:
    """Return the shape of a quantity that every simulated meter has."""
    return lambda device, at_ms, sector: shapes.value(device, name, at_ms, sector)


def wave(middle: float, height: float, period_s: float = 3600.0) -> Shape:
    """Return a sine about a middle, at a phase of the device's own."""

    def shape(device: str, at_ms: int, _sector: str) -> float:
        turn = at_ms / 1000 / period_s + zlib.crc32(device.encode()) / 2**32
        return middle + height * math.sin(math.tau * math.fmod(turn, 1.0))

    return shape


class _Obis(NamedTuple):
    code: str
    unit: int
    scaler: int


_OBIS = {
    "active_energy_import": _Obis("1-0:1.8.0", sml.WATT_HOUR, -1),
    "active_energy_export": _Obis("1-0:2.8.0", sml.WATT_HOUR, -1),
    "active_power": _Obis("1-0:16.7.0", sml.WATT, -1),
    "voltage/L1": _Obis("1-0:32.7.0", sml.VOLT, -1),
    "voltage/L2": _Obis("1-0:52.7.0", sml.VOLT, -1),
    "voltage/L3": _Obis("1-0:72.7.0", sml.VOLT, -1),
    "frequency": _Obis("1-0:14.7.0", sml.HERTZ, -2),
}
_PER_UNIT = {"active_energy_import": 10_000.0, "active_energy_export": 10_000.0, "frequency": 100.0}


def _telegram(device: str, numbers: Mapping[str, int | None]) -> bytes:
    rows = ((_OBIS[name], number) for name, number in numbers.items() if number is not None)
    values = [sml.Value(obis.code, number, obis.unit, obis.scaler) for obis, number in rows]
    return sml.meter_telegram("EMH", zlib.crc32(device.encode()) % 40_000_000, values)


SML_METER = WordModel(
    "sml/meter",
    {name: Row(known(name), _PER_UNIT.get(name, 10.0), highest=2**62) for name in _OBIS},
    _telegram,
)


def _elsys(_device: str, numbers: Mapping[str, int | None]) -> bytes:
    """A row of numbers, each behind the octet that says what it is."""
    kinds = {"temp_air": (1, 2), "humidity": (2, 1), "illuminance": (4, 2), "motion": (5, 1), "co2_indoor": (6, 2)}
    word = b""
    for name, (kind, size) in {**kinds, "battery_voltage": (7, 2)}.items():
        number = numbers.get(name)
        if number is not None:
            word += bytes([kind]) + number.to_bytes(size, "big")
    return word


ROOM_SENSOR = WordModel(
    "elsys/ers-co2",
    {
        "temp_air": Row(wave(21.5, 1.5), 10, 600),
        "humidity": Row(wave(45, 8), 1, 255),
        "illuminance": Row(wave(400, 350), 1, 65_535),
        "motion": Row(lambda _device, at_ms, _sector: float(at_ms // 60_000 % 3 == 0), 1, 1),
        "co2_indoor": Row(wave(800, 250), 1, 10_000),
        "battery_voltage": Row(wave(3.6, 0.02, 86_400), 1000, 4000),
    },
    _elsys,
)
