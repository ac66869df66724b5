"""The lower half of every SQLite file of ours: errors typed by what the caller can do, and explicit transactions."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from base.errors import MessnetzError, PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DENIED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FULL_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED_ERRNO = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}


class FullError(TransientError):
    """There is no room on the disk."""


class BusyError(TransientError):
    """Somebody else holds the file."""


class DeniedError(TransientError):
    """The file cannot be opened or written: no access, a read-only file system, no such directory."""


class DiskError(TransientError):
    """The disk failed to read or to write."""


class CorruptError(PermanentError):
    """The file is no SQLite file, or no sound one."""


_KINDS = {
    sqlite3.SQLITE_FULL: FullError,
    sqlite3.SQLITE_BUSY: BusyError,
    sqlite3.SQLITE_LOCKED: BusyError,
    sqlite3.SQLITE_IOERR: DiskError,
}


def translate(path: Path, error: sqlite3.DatabaseError | OSError | UnicodeDecodeError) -> MessnetzError:
    """Say what an error of SQLite or of the system means to the caller.

    Python raises UnicodeDecodeError in its stead where SQLite quotes in its message what is damaged on the disk.
    """
    if isinstance(error, UnicodeDecodeError):
        return CorruptError(f"{path} is no sound SQLite file: text that is none ({error.reason})")
    if isinstance(error, OSError):
        return _of_system(path, error)
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    kind: type[MessnetzError] = TransientError if isinstance(error, sqlite3.OperationalError) else PermanentError
    text = f"{path}: {error}"
    if code in _CORRUPT:
        kind, text = CorruptError, f"{path} is no sound SQLite file: {error}"
    elif code in _DENIED:
        kind, text = DeniedError, f"{path} cannot be used: {error}"
    elif code in _KINDS:
        kind = _KINDS[code]
    return kind(text)


def _of_system(path: Path, error: OSError) -> MessnetzError:
    if error.errno in _FULL_ERRNO:
        return FullError(f"{path}: {error.strerror}")
    if error.errno in _DENIED_ERRNO:
        return DeniedError(f"{path}: {error.strerror}")
    return DiskError(f"{path}: {error.strerror}")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system raise inside into errors of ours."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError, UnicodeDecodeError) as error:
        raise translate(path, error) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write: what is done inside is on disk when this ends, or else nothing of it is."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the first error says it
                connection.execute("ROLLBACK")
        raise
