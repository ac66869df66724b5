"""A SQLite file: one connection for each process, one way to write, and errors typed by what the caller can do.

In WAL mode other processes read while this one writes. SQLite before 3.51.3 can corrupt a WAL when two
connections write or checkpoint at the same instant; whoever does either therefore holds `<file>.lock` meanwhile.
"""

from __future__ import annotations

import fcntl
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from base import sqlite
from base.errors import MessnetzError, PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOCK_TIMEOUT_S = 10.0
LOCK_POLL_S = 0.01


class SqliteFile:
    """One file. Threads may share it; they take turns.

    Methods raise TransientError (locked, full, I/O error) or PermanentError (no access, no such file of ours,
    corrupt).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._lock_file: IO[bytes] | None = None

    def open(self, schema: str, version: int) -> None:
        """Open the file; make it and its directory where there is none. Does nothing when it is open."""
        with self._turn, self._translated():
            if self._connection is not None:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # isolation_level=None: else the module begins transactions behind our back
            self._connection = sqlite3.connect(
                self._path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._connection.execute("PRAGMA synchronous = FULL")
                self._settle(schema, version)
            except BaseException:
                self.close()
                raise

    def select(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Run one SELECT and return all rows: a cursor left open would keep the WAL growing."""
        with self._turn, self._translated():
            return self._open_connection().execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write: what is done inside is on disk when this ends, or else nothing of it is."""
        with self._turn, self._translated(), self._exclusive(), self._begun() as connection:
            yield connection

    def close(self) -> None:
        """Close the file. The last to close it writes the WAL back, so it waits for a writer."""
        with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                try:
                    with self._translated(), self._exclusive():
                        connection.close()
                except MessnetzError:  # a reader without the right to write: it has nothing to write back
                    connection.close()
            if self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError(f"{self._path} is not open: prepare the store first")
        return self._connection

    def _settle(self, schema: str, version: int) -> None:
        """Make the tables in a new file; leave one with tables of ours as it is."""
        if self._version() == 0:
            with self._exclusive():
                if self._version() == 0:  # still: another process may have been quicker
                    self._make(schema, version)
        if self._version() > version:
            raise PermanentError(f"{self._path} was written by a newer release of Messnetz")

    def _make(self, schema: str, version: int) -> None:
        if self.select("SELECT 1 FROM sqlite_master"):
            raise PermanentError(f"{self._path} is a database, but none of ours")
        self._open_connection().execute("PRAGMA journal_mode = WAL")
        with self._begun() as connection:
            for statement in schema.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")

    def _version(self) -> int:
        return int(self.select("PRAGMA user_version")[0][0])

    @contextmanager
    def _begun(self) -> Iterator[sqlite3.Connection]:
        connection = self._open_connection()
        with sqlite.transaction(connection):
            yield connection

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the lock file."""
        if self._lock_file is None:
            self._lock_file = self._path.with_name(self._path.name + ".lock").open("ab")
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise TransientError(f"{self._path} is locked by another process") from error
                time.sleep(LOCK_POLL_S)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with sqlite.translated(self._path):
                yield
        except sqlite.DeniedError as error:
            raise PermanentError(str(error)) from error.__cause__
