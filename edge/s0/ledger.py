"""Where a count is kept across restarts: a small file with two places that are written in turn.

A place is one page of the disk. A power cut while one is written leaves the other; each write costs the card one page.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from base.errors import TransientError
from base.files import sync

if TYPE_CHECKING:
    from pathlib import Path

_RECORD = struct.Struct("<8sQQQ16sd")
_CHECK = struct.Struct("<I")
_MAGIC = b"S0count1"
PAGE = 4096
PLACES = 2


class Count(NamedTuple):
    """What is known of a meter's pulses."""

    total: int
    raw: int = 0
    """Where the kernel's counter stood."""
    boot: bytes = bytes(16)
    """The boot in which it stood there."""
    start: float = 0.0
    """The meter's display when counting began; another one begins anew."""


class Ledger:
    """The file of one meter. Not thread-safe: one call at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = 0
        """How often: the place with the higher number is the newer one."""
        self.is_damaged = False
        """There is a file, and in none of its places a count."""

    def load(self) -> Count | None:
        """Return what was kept last; None where nothing was.

        Raises: TransientError where the disk refuses.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TransientError(f"{self._path}: not readable ({error.strerror})") from error
        found = [each for place in range(PLACES) if (each := _decoded(data[place * PAGE :])) is not None]
        self.is_damaged = not found
        if not found:
            return None
        self._written, count = max(found)
        return count

    def save(self, count: Count) -> None:
        """Keep a count; it is on the disk when this returns.

        Raises: TransientError where the disk refuses.
        """
        number = self._written + 1
        record = _RECORD.pack(_MAGIC, number, count.total, count.raw, count.boot, count.start)
        try:
            is_new = not self._path.exists()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.pwrite(descriptor, record + _CHECK.pack(zlib.crc32(record)), number % PLACES * PAGE)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                sync(self._path.parent)
        except OSError as error:
            raise TransientError(f"{self._path}: the count cannot be kept ({error.strerror})") from error
        self._written = number


def _decoded(data: bytes) -> tuple[int, Count] | None:
    record = data[: _RECORD.size]
    check = data[_RECORD.size : _RECORD.size + _CHECK.size]
    if len(check) < _CHECK.size or _CHECK.unpack(check)[0] != zlib.crc32(record):
        return None
    magic, number, total, raw, boot, start = _RECORD.unpack(record)
    return (number, Count(total, raw, boot, start)) if magic == _MAGIC else None
