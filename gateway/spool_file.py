"""The spool's file: who may open it, and whether it is sound."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from typing import TYPE_CHECKING

from base.errors import TransientError
from base.sqlite import CorruptError, transaction, translate, translated
from gateway import spool_log
from gateway.spool_schema import (
    APPLICATION_ID,
    CONFIRMED,
    JUMP,
    REJECTED,
    STRANGE_PLACE,
    UNPLACED,
    WAITING,
    prepare,
)

if TYPE_CHECKING:
    from pathlib import Path

LOCK_WAIT_S = 2.0
LOCK_POLL_S = 0.05
CHECKED_WHOLE_BYTES = 16 << 20
"""A larger file is not read through at every start: damage among its packs shows when they are read."""
PROBE_BYTES = 4096
VACUUM_PAGES = 512
"""Given back to the file system in one step."""
_SMALL_TABLES = ("place", "gap", "device", "total", "boot", "start")
_STATES = {UNPLACED: "waiting", CONFIRMED: "confirmed", WAITING: "waiting", REJECTED: "rejected"}


class LockedError(TransientError):
    """Another agent has the spool open."""


def hold(path: Path, kind: int) -> int:
    """Take the lock that makes the agent the only one on its spool; those who only look share it among themselves.

    An agent waits a moment for those who look.

    Raises: LockedError; DeniedError, DiskError or FullError where there is no place for a lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise translate(path, error) from error
    deadline_s = time.monotonic() + (LOCK_WAIT_S if kind == fcntl.LOCK_EX else 0.0)
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() >= deadline_s:
                os.close(lock)
                raise LockedError(f"{path}: another agent has it open") from error
            time.sleep(LOCK_POLL_S)
        else:
            return lock


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, make it where there is none, and look whether it is sound.

    Raises: CorruptError; TransientError where the disk does not let it be opened.
    """
    with translated(path):
        lost = spool_log.lost_transactions(path)
        if lost >= spool_log.BROKEN:
            raise CorruptError(f"{path}: its write-ahead log is damaged")
        if path.exists() and path.stat().st_size == 0:
            raise CorruptError(f"{path}: an empty file")
        db = sqlite3.connect(path, isolation_level=None)
        try:
            prepare(db, path)
            _check(db, path)
            if lost:
                with transaction(db):
                    db.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'batch'", (JUMP,))
        except BaseException:
            db.close()
            raise
        return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > CHECKED_WHOLE_BYTES:
        checks = [f"quick_check('{table}')" for table in _SMALL_TABLES]
    else:
        checks = ["quick_check"]
        lost = "SELECT (SELECT count(*) FROM batch) <> (SELECT count(*) FROM place)"
        if db.execute(lost).fetchone()[0]:
            raise CorruptError(f"{path}: batches whose place is lost, or places without a batch")
    if db.execute(f"SELECT EXISTS (SELECT 1 FROM place WHERE {STRANGE_PLACE})").fetchone()[0]:  # noqa: S608 - a constant
        raise CorruptError(f"{path}: a place that no batch was ever given")
    for check in checks:
        found = db.execute(f"PRAGMA {check}").fetchone()[0]
        if found != "ok":
            raise CorruptError(f"{path}: {found}")


def forget(path: Path) -> None:
    """Have the kernel forget what it holds of the file and its log, so that the next read shows what is on the disk.

    After a write that failed, Linux shows what was to be written as if it were there, and what is written over it may
    not reach the disk either, though fsync says so. See https://lwn.net/Articles/752063/.
    """
    for file in (path, spool_log.path_of(path)):
        with contextlib.suppress(OSError):
            opened = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            try:
                with contextlib.suppress(OSError):
                    os.fsync(opened)
                os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(opened)


def can_write(path: Path) -> bool:
    """Whether the disk takes another file: one that takes none has failed as a whole, and may come back as it was."""
    probe = path.with_name(f"{path.name}.probe")
    try:
        opened = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.write(opened, bytes(PROBE_BYTES))
            os.fsync(opened)
        finally:
            os.close(opened)
            probe.unlink()
    except OSError:
        return False
    return True


def shrink(db: sqlite3.Connection) -> None:
    """Return free pages and the log to the file system."""
    while db.execute("PRAGMA freelist_count").fetchone()[0]:
        before = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if db.execute("PRAGMA page_count").fetchone()[0] >= before:
            break
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def count(db: sqlite3.Connection) -> dict[str, int]:
    """Count what was sealed, confirmed, rejected, evicted, and what waits: kept batches, and totals of the others."""
    totals = {
        name: value
        for name, value in db.execute("SELECT name, value FROM total").fetchall()
        if name.partition("_")[2] in ("batches", "readings")
    }
    kept = db.execute("SELECT state, count(*), sum(readings) FROM place GROUP BY state").fetchall()
    for state, batches, readings in kept:
        kind = _STATES.get(state, "waiting")  # of another one the disk tells; the next opening mends it
        for name, value in ((f"{kind}_batches", batches), (f"{kind}_readings", readings)):
            totals[name] = totals.get(name, 0) + value
    for what in ("batches", "readings"):
        totals[f"sealed_{what}"] = sum(value for name, value in totals.items() if name.endswith(what))
    return totals


def count_at_rest(path: Path) -> dict[str, int]:
    """Count what is in a spool whose agent has ended; changes nothing.

    Raises: TransientError where it cannot be read; CorruptError where it is broken, or none of ours.
    """
    with translated(path), contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise CorruptError(f"{path}: no spool of this release")
        return count(db)
