"""CRC-16 that takes each byte from its lowest bit up, as meters and their receivers do."""

from __future__ import annotations

from functools import cache

CCITT, IBM = 0x8408, 0xA001
"""Polynomials, reflected: 0x1021 and 0x8005."""


def arc(data: bytes) -> int:
    """Compute CRC-16/ARC."""
    return _run(IBM, data, 0)


def x25(data: bytes) -> int:
    """Compute CRC-16/X-25."""
    return _run(CCITT, data, 0xFFFF) ^ 0xFFFF


def kermit(data: bytes) -> int:
    """Compute CRC-16/Kermit."""
    return _run(CCITT, data, 0)


def _run(polynomial: int, data: bytes, crc: int) -> int:
    table = _table(polynomial)
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


@cache
def _table(polynomial: int) -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ polynomial if crc & 1 else crc >> 1
        rows.append(crc)
    return tuple(rows)
