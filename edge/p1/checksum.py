"""The checksum of P1 since DSMR 4: CRC-16 with the polynomial 0xA001, from `/` to `!`, as four digits behind that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.d0.framing import Telegram

_DIGITS = re.compile(r"^[0-9A-Fa-f]{4}$")


def is_right(telegram: Telegram) -> bool:
    """Whether a telegram came as it was sent."""
    return bool(_DIGITS.match(telegram.tail)) and int(telegram.tail, 16) == crc16(telegram.raw)


def crc16(data: bytes) -> int:
    """Compute CRC-16/ARC."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        rows.append(crc)
    return tuple(rows)


_TABLE = _table()
