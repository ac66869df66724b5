"""The data types of EN 13757-3, annex A: integers, BCD, floating point, text, dates and times.

Each function returns None for what the norm gives no value: a device says so by digits that are none, by the lowest
number that an integer can hold, by "not a number", or by a date that no calendar has.
"""

from __future__ import annotations

import math
import struct
from datetime import date, datetime, time

LAST_YEAR_OF_2000 = 80
"""Years 0 to 80 without a century are those of 2000 to 2080."""


def signed(data: bytes) -> int | None:
    """Read a signed integer (type B), lowest byte first; its lowest number means "no value"."""
    if not data:
        return None
    value = int.from_bytes(data, "little", signed=True)
    return None if value == -(1 << (8 * len(data) - 1)) and len(data) > 1 else value


def unsigned(data: bytes) -> int | None:
    """Read an unsigned integer (type C, or bits of type D), lowest byte first."""
    return int.from_bytes(data, "little") if data else None


def bcd(data: bytes) -> int | None:
    """Read a decimal number (type A), two digits a byte, lowest byte first; Fh as the first digit is the minus."""
    digits = data[::-1].hex()
    is_negative = digits.startswith("f")
    if is_negative:
        digits = digits[1:]
    if not (digits.isascii() and digits.isdecimal()):
        return None
    return -int(digits) if is_negative else int(digits)


def real(data: bytes) -> float | None:
    """Read a floating point number of four bytes (type H) or eight, lowest byte first."""
    if len(data) not in (4, 8):
        return None
    (value,) = struct.unpack("<f" if len(data) == 4 else "<d", data)
    if not math.isfinite(value):
        return None
    return _shortest(value, data) if len(data) == 4 else value


def _shortest(value: float, data: bytes) -> float:
    """Return the shortest decimal that is the same four bytes: 230.2, and not 230.1999969482422."""
    for digits in range(6, 9):
        shorter = float(f"{value:.{digits}g}")
        if struct.pack("<f", shorter) == data:
            return shorter
    return value


def text(data: bytes) -> str:
    """Read characters of ISO 8859-1, the last one first; control characters and blanks around are left out."""
    return "".join(character for character in data[::-1].decode("latin-1") if character.isprintable()).strip()


def moment(data: bytes) -> str | None:
    """Read a date (2 bytes, type G), a time (3, J), or both (4, F; 6, I): as ISO 8601, in the meter's own time."""
    reader = {2: _date, 3: _time, 4: _to_the_minute, 6: _to_the_second}.get(len(data))
    try:
        return reader(data) if reader else None
    except ValueError:
        return None


def is_marked_invalid(data: bytes) -> bool:
    """Whether a date with time carries the mark that the meter does not trust its own clock."""
    return bool((len(data) == 4 and data[0] & 0x80) or (len(data) == 6 and data[1] & 0x80))


def _year(low: int, high: int, century: int = 0) -> int:
    year = low >> 5 | (high >> 4) << 3
    if year > 99:
        raise ValueError(year)
    return year + (2000 if century == 0 and year <= LAST_YEAR_OF_2000 else 1900 + 100 * century)


def _day(low: int, high: int, century: int = 0) -> date:
    return date(_year(low, high, century), high & 0x0F, low & 0x1F)


def _date(data: bytes) -> str:
    return _day(data[0], data[1]).isoformat()


def _time(data: bytes) -> str:
    return time(data[2] & 0x1F, data[1] & 0x3F, data[0] & 0x3F).isoformat()


def _to_the_minute(data: bytes) -> str | None:
    if is_marked_invalid(data):
        return None
    at = time(data[1] & 0x1F, data[0] & 0x3F)
    return datetime.combine(_day(data[2], data[3], data[1] >> 5 & 0b11), at).isoformat()


def _to_the_second(data: bytes) -> str | None:
    if is_marked_invalid(data):
        return None
    at = time(data[2] & 0x1F, data[1] & 0x3F, data[0] & 0x3F)
    return datetime.combine(_day(data[3], data[4]), at).isoformat()
