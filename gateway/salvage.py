"""Sealed batches found in a database file page by page, without asking SQLite, each proved by its checksum.

So they come back from a file with a broken header, with holes in its tree, or cut short. Format:
https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import contextlib
import struct
from typing import IO, TYPE_CHECKING

from gateway import spool_log
from gateway.spool_records import SealedBatch
from gateway.spool_schema import PAGE_BYTES
from wire.bounds import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TABLE_LEAF = 13
_MOST_LOCAL = PAGE_BYTES - 35
_LEAST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_COLUMNS = 9
_INT_BYTES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}


class _Pages:
    """The pages of a file, in the version of its log and in its own."""

    def __init__(self, path: Path, stack: contextlib.ExitStack) -> None:
        self._file = stack.enter_context(path.open("rb"))
        self._count = path.stat().st_size // PAGE_BYTES + 1
        self._log: IO[bytes] | None = None
        self._offsets: dict[int, int] = {}
        frames = list(spool_log.frames(path))
        if frames:
            self._log = stack.enter_context(spool_log.path_of(path).open("rb"))
        last = max((index for index, frame in enumerate(frames) if frame.ends_transaction), default=-1)
        self._offsets = {frame.page: frame.offset for frame in frames[: last + 1]}

    def numbers(self) -> Iterator[int]:
        """Return the numbers of all pages."""
        yield from range(1, self._count + 1)
        yield from (number for number in self._offsets if number > self._count)

    def versions(self, number: int) -> Iterator[bytes]:
        """Return what there is of a page, the newest first."""
        if self._log is not None and number in self._offsets:
            yield _read(self._log, self._offsets[number])
        if 0 < number <= self._count:
            yield _read(self._file, (number - 1) * PAGE_BYTES)

    def chain(self, number: int, size: int, *, newest: bool) -> bytes:
        """Follow overflow pages until so many bytes have come together."""
        found = bytearray()
        seen: set[int] = set()
        while len(found) < size and number and number not in seen:
            seen.add(number)
            versions = list(self.versions(number))
            if not versions:
                break
            page = versions[0 if newest else -1]
            number = int.from_bytes(page[:4], "big")
            found += page[4:]
        return bytes(found[:size])


def batches(path: Path) -> Iterator[SealedBatch]:
    """Return every sound batch that the file and its log hold; one may come twice.

    Raises: OSError where the file cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        pages = _Pages(path, stack)
        for number in pages.numbers():
            for page in pages.versions(number):
                yield from _rows(pages, page, 100 if number == 1 else 0)


def _read(file: IO[bytes], offset: int) -> bytes:
    try:
        file.seek(offset)
        return file.read(PAGE_BYTES).ljust(PAGE_BYTES, b"\0")
    except OSError:  # a bad sector
        return bytes(PAGE_BYTES)


def _rows(pages: _Pages, page: bytes, start: int) -> Iterator[SealedBatch]:
    if page[start] != _TABLE_LEAF:
        return
    cells = min(int.from_bytes(page[start + 3 : start + 5], "big"), PAGE_BYTES // 4)
    for index in range(cells):
        at = int.from_bytes(page[start + 8 + 2 * index : start + 10 + 2 * index], "big")
        if 0 < at < PAGE_BYTES:
            for newest in (True, False):
                row = _row(pages, page, at, newest=newest)
                if row is not None:
                    yield row
                    break


def _row(pages: _Pages, page: bytes, at: int, *, newest: bool) -> SealedBatch | None:
    try:
        size, at = _varint(page, at)
        number, at = _varint(page, at)
        if not _COLUMNS < size < 2 * MAX_PAYLOAD_BYTES or not 0 < number < 2**62:
            return None
        return _decoded(number, _payload(pages, page, at, size, newest=newest))
    except (IndexError, ValueError, KeyError, struct.error):
        return None


def _payload(pages: _Pages, page: bytes, at: int, size: int, *, newest: bool) -> bytes:
    if size <= _MOST_LOCAL:
        return page[at : at + size]
    local = _LEAST_LOCAL + (size - _LEAST_LOCAL) % (PAGE_BYTES - 4)
    if local > _MOST_LOCAL:
        local = _LEAST_LOCAL
    rest = int.from_bytes(page[at + local : at + local + 4], "big")
    return page[at : at + local] + pages.chain(rest, size - local, newest=newest)


def _decoded(number: int, record: bytes) -> SealedBatch | None:
    end, at = _varint(record, 0)
    kinds: list[int] = []
    while at < end and len(kinds) <= _COLUMNS:
        kind, at = _varint(record, at)
        kinds.append(kind)
    if len(kinds) != _COLUMNS or kinds[0] != 0 or kinds[-1] < 12 or kinds[-1] % 2:
        return None
    stream = record[at : at + (kinds[1] - 13) // 2].decode("ascii")
    at += len(stream)
    numbers = []
    for kind in kinds[2:-1]:
        numbers.append(kind - 8 if kind in (8, 9) else int.from_bytes(record[at : at + _INT_BYTES[kind]], "big"))
        at += _INT_BYTES[kind]
    batch = SealedBatch._make((number, stream, *numbers, record[at : at + (kinds[-1] - 12) // 2]))
    return batch if batch.is_sound else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    return value << 8 | data[at + 8], at + 9
