"""The fixed data structure of older meters: two counters in 16 bytes (The M-Bus: A Documentation, 4.8, section 6.2)."""

from __future__ import annotations

from edge.mbus import values
from edge.mbus.records import Record

BYTES = 16
BINARY, STORED = 0x01, 0x02
"""Bits of the status: the counters are signed integers and not decimal numbers; they are those of a key date."""
AS_FIRST_BUT_STORED, WITHOUT_UNIT = 0x3E, 0x3F

LAST_LOW_BYTE_FIRST = 0x08
"""Media above this one have the highest byte of their counters first (mode 2), which later norms forbid."""


def _units() -> dict[int, tuple[str, str, int]]:
    """Quantity, unit and power of ten of each code."""
    table: dict[int, tuple[str, str, int]] = {}
    series = (
        (0x02, 9, "energy", "Wh", 0),
        (0x0B, 9, "energy", "J", 3),
        (0x14, 9, "power", "W", 0),
        (0x1D, 9, "power", "J/h", 3),
        (0x26, 9, "volume", "m3", -6),
        (0x2F, 9, "volume_flow", "m3/h", -6),
    )
    for first, count, quantity, unit, power in series:
        for step in range(count):
            table[first + step] = quantity, unit, power + step
    table[0x38] = "temperature", "Cel", -3
    table[0x39] = "heat_cost_allocation", "units", 0
    table[WITHOUT_UNIT] = "dimensionless", "", 0
    return table


_UNITS = _units()


def medium_of(data: bytes) -> int:
    """Return the medium's code: up to 8 the same as in the variable data structure."""
    return data[6] >> 6 | data[7] >> 6 << 2


def parse(data: bytes) -> tuple[Record, ...]:
    """Read the two counters of a fixed data structure of 16 bytes."""
    status = data[5]
    first, second = data[6] & 0x3F, data[7] & 0x3F
    is_second_stored = second == AS_FIRST_BUT_STORED
    codes = (first, first if is_second_stored else second)
    found: list[Record] = []
    for index, code in enumerate(codes):
        raw = data[8 + 4 * index : 12 + 4 * index]
        stored = bool(status & STORED) or (index == 1 and is_second_stored)
        found.append(_counter(code, raw, is_binary=bool(status & BINARY), stored=stored)._replace(subunit=index))
    return tuple(found)


def _counter(code: int, raw: bytes, *, is_binary: bool, stored: bool) -> Record:
    quantity, unit, power = _UNITS.get(code, (f"unknown {code:02X}", "", 0))
    number = values.signed(raw) if is_binary else values.bcd(raw)
    if number is None:
        return Record(quantity, None, unit, storage=int(stored), note=f"no number: {raw.hex(' ')}", data=raw)
    value = number * 10**power if power >= 0 else number / 10**-power
    return Record(quantity, value, unit, storage=int(stored), data=raw)
