"""A log of who did what: one JSON object a line, in files that are bounded together."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from base.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class AuditLog:
    """Appends to one file, which is set aside as `<name>.1` when it is full; that is `<name>.2` then, and so on.

    Several processes may write to it. The directory is made where it is missing.
    """

    def __init__(self, file: Path, *, max_bytes: int, keep: int) -> None:
        """`max_bytes` of one file; `keep`: how many full ones are kept beside it."""
        self._file = file
        self._max_bytes = max_bytes
        self._keep = keep

    def add(self, entry: Mapping[str, object]) -> None:
        """Append an entry; it is handed to the disk when this returns.

        Raises: PermanentError where it cannot be written.
        """
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            with self._turn():
                self._rotate(len(line))
                self._append(line)
        except OSError as error:
            raise PermanentError(f"{self._file}: cannot be written ({error.strerror})") from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One process at a time: a lock on a file beside it, since the file itself is renamed."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file.with_name(self._file.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _rotate(self, more_bytes: int) -> None:
        if not self._file.exists() or self._file.stat().st_size + more_bytes <= self._max_bytes:
            return
        for number in range(self._keep, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._file.with_name(f"{self._file.name}.{number}") if number else self._file

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a power cut took the end of the last line
                line = b"\n" + line
            while line:
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
