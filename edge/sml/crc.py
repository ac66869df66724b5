"""The two checksums of SML: CRC-16/X.25, as the norm has it, and CRC-16/Kermit, as Holley's meters compute it.

Both run over the same polynomial (0x1021, reflected: 0x8408) and differ in where they begin and end.
"""

from __future__ import annotations


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
        rows.append(crc)
    return tuple(rows)


_TABLE = _table()


def x25(data: bytes) -> int:
    """Compute CRC-16/X.25."""
    return _run(data, 0xFFFF) ^ 0xFFFF


def kermit(data: bytes) -> int:
    """Compute CRC-16/Kermit."""
    return _run(data, 0)


def both(data: bytes) -> tuple[int, int]:
    """Compute both, the norm's first."""
    return x25(data), kermit(data)


def _run(data: bytes, crc: int) -> int:
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc
