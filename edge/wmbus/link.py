"""The data link layer of wireless M-Bus (EN 13757-4): who sends, and checksums where the receiver left them in.

Frame format A has a checksum behind the first 10 bytes and behind every 16 that follow; format B behind all, and at 126
bytes. Most receivers check and remove them.
"""

from __future__ import annotations

from typing import NamedTuple

from edge.mbus.errors import DamagedError
from edge.mbus.telegram import Address, letters

HEAD_BYTES = 10
"""Length, control field, maker (2), number (4), version, medium."""
BLOCK_BYTES = 16
CRC_BYTES = 2
FIRST_PART_OF_B = 126
"""Of a long format B telegram, what the first checksum covers."""
LEAST_LENGTH = 10
POLYNOMIAL = 0x3D65


class LinkFrame(NamedTuple):
    """A telegram without its checksums."""

    control: int
    sender: Address
    """Who sends: the meter, or a radio module on it."""
    sender_bytes: bytes
    """Maker and number as they were sent (8 bytes): what keys depend on."""
    information: int
    content: bytes


def crc(data: bytes) -> int:
    """Return the checksum of EN 13757-4 (polynomial 3D65h, nothing reflected, inverted at the end)."""
    remainder = 0
    for byte in data:
        remainder ^= byte << 8
        for _ in range(8):
            remainder = (remainder << 1 ^ POLYNOMIAL) if remainder & 0x8000 else remainder << 1
        remainder &= 0xFFFF
    return remainder ^ 0xFFFF


def parse(data: bytes) -> LinkFrame:
    """Read a telegram, with or without checksums.

    Raises: DamagedError where its length is not the one that it says, or a checksum is wrong.
    """
    if len(data) <= LEAST_LENGTH or data[0] < LEAST_LENGTH:
        raise DamagedError(f"{len(data)} bytes, where a telegram by radio has {LEAST_LENGTH + 2} at least")
    plain = _without_checksums(data)
    maker, rest = plain[2:4], plain[4:10]
    sender = Address(rest[3::-1].hex().upper(), letters(maker), rest[4], rest[5])
    return LinkFrame(plain[1], sender, maker + rest, plain[10], plain[11:])


def _without_checksums(data: bytes) -> bytes:
    length = data[0]
    if len(data) == length + 1:
        return _without_b(data)
    if len(data) == length + 1 + CRC_BYTES * _blocks(length):
        return _without_a(data)
    with_a = length + 1 + CRC_BYTES * _blocks(length)
    raise DamagedError(f"{len(data)} bytes, where the telegram says {length + 1}, or {with_a} with checksums")


def _blocks(length: int) -> int:
    """How many blocks a format A telegram of this length has."""
    return 1 + -(-(length + 1 - HEAD_BYTES) // BLOCK_BYTES)


def _without_a(data: bytes) -> bytes:
    plain, at, size = b"", 0, HEAD_BYTES
    while at < len(data):
        block = data[at : min(at + size, len(data) - CRC_BYTES)]
        at += len(block) + CRC_BYTES
        _check(block, data[at - CRC_BYTES : at], len(plain))
        plain += block
        size = BLOCK_BYTES
    return plain


def _without_b(data: bytes) -> bytes:
    """Remove the checksums of format B where there are any: its length counts them, so it cannot tell."""
    if len(data) > FIRST_PART_OF_B + CRC_BYTES:
        first, second = data[:FIRST_PART_OF_B], data[FIRST_PART_OF_B + CRC_BYTES : -CRC_BYTES]
        if _is_right(first, data[FIRST_PART_OF_B : FIRST_PART_OF_B + CRC_BYTES]):
            _check(second, data[-CRC_BYTES:], FIRST_PART_OF_B)
            return first + second
        return data
    return data[:-CRC_BYTES] if _is_right(data[:-CRC_BYTES], data[-CRC_BYTES:]) else data


def _is_right(block: bytes, checksum: bytes) -> bool:
    return crc(block) == int.from_bytes(checksum, "big")


def _check(block: bytes, checksum: bytes, at: int) -> None:
    if not _is_right(block, checksum):
        raise DamagedError(f"a wrong checksum of the block at byte {at}")
