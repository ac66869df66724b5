"""The spool: sealed batches on disk, until the collector has confirmed them, and a while longer.

One SQLite file, one process, one connection, one thread. Explicit transactions only; `synchronous=FULL`, so
that a sealed batch survives a power cut. A batch is known by its stream and number; numbers are never used
twice (AUTOINCREMENT), streams are one per start of the agent.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import sqlite3
import time
import zlib
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from base.errors import PermanentError, TransientError
from gateway import clock
from wire import batch as wire_batch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from wire.readings import Sample

logger = logging.getLogger(__name__)

MIGRATIONS = (
    """
CREATE TABLE batch (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  stream TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,       -- 0 waiting, 1 confirmed, 2 rejected
  sealed_at_ms INTEGER NOT NULL,
  settled_at_ms INTEGER,                  -- when it was confirmed or rejected
  readings INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,              -- oldest and newest reading
  last_ms INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  reason TEXT,                            -- why it was rejected
  pack BLOB NOT NULL
) STRICT;
CREATE INDEX batch_waiting ON batch (number) WHERE state = 0;
CREATE INDEX batch_settled ON batch (settled_at_ms) WHERE state = 1;
CREATE TABLE total (
  name TEXT PRIMARY KEY,                  -- since the spool was made; they outlive the batches
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
""",
)
"""One script for each schema version, in order; a released one never changes."""
WAITING, CONFIRMED, REJECTED = 0, 1, 2
LOCK_WAIT_S = 2.0
LOCK_POLL_S = 0.05
_STATES = {CONFIRMED: "confirmed", REJECTED: "rejected"}


@dataclass(frozen=True)
class SealedBatch:
    """One batch as it lies in the spool."""

    number: int
    stream: str
    sealed_at_ms: int
    readings: int
    crc: int
    """CRC-32 of the pack, computed when it was sealed."""
    pack: bytes

    @property
    def is_sound(self) -> bool:
        """Whether the disk gave back what was written: a flipped bit must not become a measurement."""
        return zlib.crc32(self.pack) == self.crc

    def payload(self) -> bytes:
        """Build the message that carries it."""
        return wire_batch.header_line(self.stream, self.number, self.sealed_at_ms, self.crc) + self.pack


@dataclass(frozen=True)
class Settled:
    """Numbers on which the collector has given its word since the last seal."""

    confirmed: frozenset[int] = frozenset()
    rejected: Mapping[int, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.confirmed or self.rejected)


@dataclass(frozen=True)
class Totals:
    """Readings and batches since the spool was made."""

    sealed_batches: int = 0
    sealed_readings: int = 0
    confirmed_batches: int = 0
    confirmed_readings: int = 0
    rejected_batches: int = 0
    rejected_readings: int = 0


class Spool:
    """The open spool of this process. Every method belongs to the thread that opened it.

    Raises (all methods): TransientError where the disk is full, busy or failing; nothing is lost then, the
    transaction has not happened.
    """

    def __init__(self, path: Path, *, keep_confirmed_ms: int) -> None:
        self.path = path
        self.stream = secrets.token_hex(8)
        self._keep_confirmed_ms = keep_confirmed_ms
        self._lock = _hold(path, fcntl.LOCK_EX)
        try:
            with _translated(path):
                self._db = _connect(path)
                self._migrate()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the file and let go of it."""
        self._db.close()
        os.close(self._lock)

    def seal(self, batches: Sequence[Sequence[Sample]], settled: Settled, now_ms: int) -> list[int]:
        """Commit batches to disk, and mark what was settled, in one transaction. Returns the new numbers."""
        rows = [_row(samples) for samples in batches]
        with self._transaction():
            numbers = [self._insert(row, now_ms) for row in rows]
            self._count("sealed", len(rows), sum(row.readings for row in rows))
            self._mark(settled, now_ms)
            self._expire(now_ms)
        return numbers

    def mark(self, settled: Settled, now_ms: int) -> None:
        """Mark what was settled, where there is nothing to seal."""
        with self._transaction():
            self._mark(settled, now_ms)
            self._expire(now_ms)

    def next_to_send(self, limit: int, without: Collection[int] = (), *, newest: bool = False) -> list[SealedBatch]:
        """Return waiting batches, oldest (or newest) first, at most `limit`, those numbered in `without` left out.

        One that the disk has damaged is set aside as rejected: it is kept, and never sent.
        """
        with _translated(self.path):
            order = "DESC" if newest else "ASC"
            numbers = self._db.execute(f"SELECT number FROM batch WHERE state = 0 ORDER BY number {order}")  # noqa: S608 - one of two words
            chosen = list(islice((number for (number,) in numbers if number not in without), limit))
            numbers.close()
            batches = [batch for number in chosen if (batch := self.get(number)) is not None]
        damaged = {batch.number: "damaged on disk" for batch in batches if not batch.is_sound}
        if damaged:
            logger.error("%s: batches %s are damaged on disk and set aside", self.path, sorted(damaged))
            self.mark(Settled(rejected=damaged), clock.now_ms())
        return [batch for batch in batches if batch.is_sound]

    def get(self, number: int) -> SealedBatch | None:
        """Return one batch, whatever its state; None where it is no longer kept."""
        with _translated(self.path):
            row = self._db.execute(
                "SELECT number, stream, sealed_at_ms, readings, crc, pack FROM batch WHERE number = ?", (number,)
            ).fetchone()
        return SealedBatch(*row) if row else None

    def totals(self) -> Totals:
        """Count what was ever sealed, confirmed and rejected."""
        with _translated(self.path):
            return Totals(**dict(self._db.execute("SELECT name, value FROM total").fetchall()))

    def oldest_waiting_ms(self) -> int | None:
        """Return when the oldest batch was sealed that is neither confirmed nor rejected; None where none waits."""
        with _translated(self.path):
            row = self._db.execute("SELECT sealed_at_ms FROM batch WHERE state = 0 ORDER BY number LIMIT 1").fetchone()
        return row[0] if row else None

    def resend(self, from_ms: int, to_ms: int) -> int:
        """Put settled batches that hold readings of a time (Unix ms, both ends in it) back; returns how many."""
        with self._transaction():
            rows = self._db.execute(
                "SELECT number, state, readings FROM batch WHERE state != 0 AND first_ms <= ? AND last_ms >= ?",
                (to_ms, from_ms),
            ).fetchall()
            for number, state, readings in rows:
                self._db.execute(
                    "UPDATE batch SET state = 0, reason = NULL, settled_at_ms = NULL WHERE number = ?", (number,)
                )
                self._count(_STATES[state], -1, -readings)  # it is counted again when it is settled again
        return len(rows)

    def _insert(self, row: _Row, now_ms: int) -> int:
        cursor = self._db.execute(
            "INSERT INTO batch (stream, sealed_at_ms, readings, first_ms, last_ms, crc, pack)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self.stream, now_ms, row.readings, row.first_ms, row.last_ms, zlib.crc32(row.pack), row.pack),
        )
        return int(cursor.lastrowid or 0)

    def _mark(self, settled: Settled, now_ms: int) -> None:
        for number in settled.confirmed:
            self._settle(number, CONFIRMED, None, now_ms)
        for number, reason in settled.rejected.items():
            self._settle(number, REJECTED, reason, now_ms)

    def _settle(self, number: int, state: int, reason: str | None, now_ms: int) -> None:
        row = self._db.execute(
            "UPDATE batch SET state = ?, reason = ?, settled_at_ms = ? WHERE number = ? AND state = 0"
            " RETURNING readings",
            (state, reason, now_ms, number),
        ).fetchone()
        if row:
            self._count(_STATES[state], 1, row[0])

    def _count(self, what: str, batches: int, readings: int) -> None:
        for name, value in ((f"{what}_batches", batches), (f"{what}_readings", readings)):
            self._db.execute(
                "INSERT INTO total VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                (name, value),
            )

    def _expire(self, now_ms: int) -> None:
        self._db.execute("DELETE FROM batch WHERE state = 1 AND settled_at_ms < ?", (now_ms - self._keep_confirmed_ms,))

    def _migrate(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise PermanentError(f"{self.path}: a spool of a newer release (schema {version})")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            with self._transaction():
                for statement in script.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {number}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


@dataclass(frozen=True)
class _Row:
    readings: int
    first_ms: int
    last_ms: int
    pack: bytes


def _row(samples: Sequence[Sample]) -> _Row:
    times = [sample.measured_at_ms for sample in samples]
    return _Row(sum(len(s.readings) for s in samples), min(times), max(times), wire_batch.compress(samples))


def read_totals(path: Path) -> Totals:
    """Read the totals of a spool whose agent has ended; changes nothing.

    Raises: TransientError where an agent has it open; PermanentError where there is none.
    """
    if not path.exists():
        raise PermanentError(f"{path}: no spool; has the agent ever run?")
    lock = _hold(path, fcntl.LOCK_SH)
    try:
        with _translated(path), contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return Totals(**dict(db.execute("SELECT name, value FROM total").fetchall()))
    finally:
        os.close(lock)


def _hold(path: Path, kind: int) -> int:
    """Take the lock that makes the agent the only one on its spool; those who only look share it among themselves.

    An agent waits a moment for those who look.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise TransientError(f"{path}: cannot be opened ({error.strerror})") from error
    deadline_s = time.monotonic() + (LOCK_WAIT_S if kind == fcntl.LOCK_EX else 0.0)
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() >= deadline_s:
                os.close(lock)
                raise TransientError(f"{path}: another agent has it open") from error
            time.sleep(LOCK_POLL_S)
        else:
            return lock


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA page_size = 1024")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:  # full, busy, read-only, I/O error
        raise TransientError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise PermanentError(f"{path}: {error}") from error
