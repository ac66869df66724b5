"""A copy of a broken spool without its bad sectors: SQLite reads nothing of a file whose first page is one."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING

from gateway import spool_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECTOR_BYTES = 4096
"""What a disk gives up at once."""
CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def readable(path: Path, alive: Callable[[], None]) -> Iterator[Path]:
    """Return where the file and its log can be read to their end: where they are, or a copy with zeros for bad sectors.

    Where there is no room for a copy they are tried where they are. The copy is gone when the context ends.
    """
    copy = copy_of(path)
    files = (path, spool_log.path_of(path)), (copy, spool_log.path_of(copy))
    if all(_can_be_read(file, alive) for file in files[0]):
        yield path
        return
    try:
        try:
            for file, target in zip(*files, strict=True):
                _copy(file, target, alive)
        except OSError:
            copy = path
        yield copy
    finally:
        for target in files[1]:
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)


def copy_of(path: Path) -> Path:
    """Where a copy lies while it is needed."""
    return path.with_name(f"{path.name}.readable")


def _can_be_read(path: Path, alive: Callable[[], None]) -> bool:
    try:
        with path.open("rb", buffering=0) as file:
            while file.read(CHUNK_BYTES):
                alive()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _copy(path: Path, target: Path, alive: Callable[[], None]) -> None:
    """Copy what there is of a file.

    Raises: OSError where the copy cannot be written.
    """
    if not path.exists():
        return
    with path.open("rb", buffering=0) as file, target.open("wb") as copy:
        size = os.fstat(file.fileno()).st_size
        for at in range(0, size, SECTOR_BYTES):
            copy.write(_sector(file, at, min(SECTOR_BYTES, size - at)))
            if at % CHUNK_BYTES == 0:
                alive()


def _sector(file: IO[bytes], at: int, size: int) -> bytes:
    try:
        return os.pread(file.fileno(), size, at).ljust(size, b"\0")
    except OSError:
        return bytes(size)
