"""SQLite's write-ahead log, read as bytes: whether it is sound, and which pages it holds.

SQLite takes a log up to its first bad frame and says nothing about what lies behind. Format:
https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.spool_schema import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER_BYTES = 32
FRAME_BYTES = 24 + PAGE_BYTES
MAX_CHECKED_BYTES = 16 << 20
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
"""By the byte order of its checksums."""


@dataclass(frozen=True)
class Frame:
    """One page in the log."""

    page: int
    ends_transaction: bool
    offset: int
    """Where the page's bytes begin in the file."""


def path_of(path: Path) -> Path:
    """Return the log of a database."""
    return path.with_name(path.name + "-wal")


BROKEN = 2
"""So many lost transactions are damage: a power cut tears one at most, the last, which was never reported as sealed."""


def lost_transactions(path: Path) -> int:
    """Count the transactions that lie behind the first bad frame, in the log of a database that was not closed."""
    log = path_of(path)
    if not log.exists() or not HEADER_BYTES + FRAME_BYTES <= log.stat().st_size <= MAX_CHECKED_BYTES:
        return 0
    data = log.read_bytes()
    magic, _, page_bytes = struct.unpack_from(">III", data)
    order = _MAGIC.get(magic)
    if order is None or page_bytes != PAGE_BYTES:
        return BROKEN
    sums = _checksum(order, data[:24], (0, 0))
    if sums != struct.unpack_from(">II", data, 24):
        return BROKEN
    sound = 0
    for offset in range(HEADER_BYTES, len(data) - FRAME_BYTES + 1, FRAME_BYTES):
        sums = _checksum(order, data[offset : offset + 8] + data[offset + 24 : offset + FRAME_BYTES], sums)
        if sums != struct.unpack_from(">II", data, offset + 16) or data[offset + 8 : offset + 16] != data[16:24]:
            break
        sound += 1
    behind = list(frames(path))[sound:]
    return sum(frame.ends_transaction for frame in behind)


def frames(path: Path) -> Iterator[Frame]:
    """Return the frames of the log's present round, sound or not, in the order in which they were written."""
    log = path_of(path)
    try:
        file = log.open("rb")
    except OSError:
        return
    with file:
        header = file.read(HEADER_BYTES)
        first = file.read(24)
        if len(first) < 24:
            return
        is_header = struct.unpack_from(">I", header)[0] in _MAGIC
        salts = header[16:24] if is_header else first[8:16]
        for offset in range(HEADER_BYTES, log.stat().st_size - FRAME_BYTES + 1, FRAME_BYTES):
            file.seek(offset)
            head = file.read(24)
            if head[8:16] == salts:
                page, size = struct.unpack_from(">II", head)
                yield Frame(page, size != 0, offset + 24)


def _checksum(order: str, data: bytes, start: tuple[int, int]) -> tuple[int, int]:
    one, two = start
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for even, odd in zip(words, words, strict=True):
        one = (one + even + two) & 0xFFFFFFFF
        two = (two + odd + one) & 0xFFFFFFFF
    return one, two
