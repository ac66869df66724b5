"""The data link layer of wireless M-Bus (EN 13757-4): who sends, and checksums where the receiver left them in.

Frame format A has a checksum behind the first 10 bytes and behind every 16 that follow; format B behind all, and at 126
bytes. Most receivers check and remove them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

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
Form: TypeAlias = Literal["A", "B", "plain", "any"]
"""How a receiver hands telegrams on: with the checksums of a frame format, without any, or nobody knows (`any`)."""


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


def parse(data: bytes, form: Form = "any") -> LinkFrame:
    """Read a telegram; where its form says that there are checksums, they must be there, and right.

    Raises: DamagedError where its length is not the one that it says, or a checksum is wrong.
    """
    if len(data) <= LEAST_LENGTH or data[0] < LEAST_LENGTH:
        raise DamagedError(f"{len(data)} bytes, where a telegram by radio has {LEAST_LENGTH + 2} at least")
    plain = _without_checksums(data, form)
    if len(plain) <= LEAST_LENGTH:
        raise DamagedError("nothing between its checksums")
    return LinkFrame(plain[1], _sender(plain), plain[2:10], plain[10], plain[11:])


def sender_of(damaged: bytes) -> Address | None:
    """Return who sent what came damaged; None where its first block has no checksum, or a wrong one.

    Only format A tells; format B has no checksum so early.
    """
    if len(damaged) < HEAD_BYTES + CRC_BYTES or not _is_head_right(damaged):
        return None
    return _sender(damaged)


def _sender(data: bytes) -> Address:
    return Address(data[7:3:-1].hex().upper(), letters(data[2:4]), data[8], data[9])


def _without_checksums(data: bytes, form: Form) -> bytes:
    length = data[0]
    with_a = length + 1 + CRC_BYTES * _blocks(length)
    if len(data) == with_a and form in ("A", "any"):
        return _without_a(data)
    if len(data) != length + 1 or form == "A":
        raise DamagedError(f"{len(data)} bytes, where the telegram says {length + 1}, or {with_a} with checksums")
    if form == "plain":
        return data
    if form == "any" and _is_head_right(data):
        raise DamagedError("the checksums of format A, and as many bytes fewer")
    return _without_b(data, is_there=form == "B")


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


def _without_b(data: bytes, *, is_there: bool) -> bytes:
    """Remove the checksums of format B, where there are any: its length counts them, so it cannot tell."""
    if len(data) > FIRST_PART_OF_B + CRC_BYTES:
        first, second = data[:FIRST_PART_OF_B], data[FIRST_PART_OF_B + CRC_BYTES : -CRC_BYTES]
        if _is_right(first, data[FIRST_PART_OF_B : FIRST_PART_OF_B + CRC_BYTES]):
            _check(second, data[-CRC_BYTES:], FIRST_PART_OF_B)
            return first + second
    elif _is_right(data[:-CRC_BYTES], data[-CRC_BYTES:]):
        return data[:-CRC_BYTES]
    if is_there:
        raise DamagedError("a wrong checksum")
    return data


def _is_head_right(data: bytes) -> bool:
    return _is_right(data[:HEAD_BYTES], data[HEAD_BYTES : HEAD_BYTES + CRC_BYTES])


def _is_right(block: bytes, checksum: bytes) -> bool:
    return crc(block) == int.from_bytes(checksum, "big")


def _check(block: bytes, checksum: bytes, at: int) -> None:
    if not _is_right(block, checksum):
        raise DamagedError(f"a wrong checksum of the block at byte {at}")
