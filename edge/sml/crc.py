"""The two checksums of SML: CRC-16/X-25, as the norm has it, and CRC-16/Kermit, as Holley's meters compute it."""

from __future__ import annotations

from edge import crc16


def both(data: bytes) -> tuple[int, int]:
    """Compute both, the norm's first."""
    return crc16.x25(data), crc16.kermit(data)
