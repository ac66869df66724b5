"""A broken spool: what can be read goes into a new one, the rest is a gap, and the broken file is moved aside.

The new file is built beside the broken one and takes its place when it is complete. Whatever ends the agent
meanwhile, the next start finds either the broken file, and begins again, or the complete new one.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import sqlite3
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from base.errors import MessnetzError
from base.files import sync
from base.sqlite import CorruptError, FullError, transaction, translate, translated
from gateway import bad_sectors, eviction, gap_table, salvage, spool_log
from gateway.eviction import Gone
from gateway.spool_schema import (
    BATCH_COLUMNS,
    CONFIRMED,
    JUMP,
    PAGE_BYTES,
    STRANGE_PLACE,
    UNPLACED,
    WAITING,
    lenient,
    prepare,
)
from wire.confirm import ranges
from wire.gaps import REASONS, UNTIL
from wire.ids import is_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.spool_records import SealedBatch
    from wire.readings import Sample

logger = logging.getLogger(__name__)

MAX_ASIDE_FILES = 3
MAX_ASIDE_BYTES = 64 << 20
MAX_HOLES = 1000
_ROWS = 64
"""Rows in one transaction."""
_NO_ROOM = {
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_WRITE),
    *(sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP),
}
_UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What a damaged file raises; the second where SQLite's message quotes what is damaged."""
_TABLES = {"place": 6, "gap": 8, "device": 1, "total": 2, "boot": 6, "start": 2}
"""And their columns."""


@dataclass(frozen=True)
class Known:
    """What the agent knows without its spool."""

    devices: frozenset[str]
    number: int
    """Highest number sealed by this process; 0 where it has sealed nothing."""
    now_ms: int
    oldest_ms: int
    """No batch that still counts was sealed before."""


def resume(path: Path) -> None:
    """Finish a rescue that was ended between its last steps.

    Raises: OSError.
    """
    new = _new(path)
    if not new.exists():
        return
    if path.exists():
        _remove(new)
    else:
        _move_log_aside(path)
        new.rename(path)
        sync(path.parent)


def rescue(path: Path, known: Known, alive: Callable[[], None] = lambda: None) -> None:
    """Build a new spool from what can be read of a broken one, and move that aside.

    A large file takes minutes; `alive` hears now and then that it goes on.

    Raises: MessnetzError where the disk does not let it; then nothing has changed.
    """
    new = _new(path)
    with translated(path):
        _remove(new)
        try:
            with bad_sectors.readable(path, alive) as source:
                saved = _build(source, new, known, alive)
        except BaseException:
            _remove(new)
            raise
        aside = _aside(path, known.now_ms)
        path.rename(aside)
        _move_log_aside(path, aside)
        new.rename(path)
        sync(path.parent)
        logger.error("%s was damaged: %d batches are saved, the rest is recorded as gaps; see %s", path, saved, aside)
        prune(path)


def is_under_way(path: Path) -> bool:
    """Whether a rescue runs, or was ended before its end."""
    return _new(path).exists() or bad_sectors.copy_of(path).exists()


def prune(path: Path, most_bytes: int = MAX_ASIDE_BYTES) -> None:
    """Delete broken files moved aside, the oldest first, until they are few and small."""
    asides = sorted(
        (p for p in path.parent.glob(f"{path.name}.damaged-*") if not p.name.endswith("-wal")), reverse=True
    )
    taken = 0
    for index, aside in enumerate(asides):
        with contextlib.suppress(OSError):
            log = spool_log.path_of(aside)
            taken += aside.stat().st_size + (log.stat().st_size if log.exists() else 0)
            if index >= MAX_ASIDE_FILES or taken > most_bytes:
                _remove(aside)
                logger.warning("%s is deleted to make room", aside)


def _aside(path: Path, now_ms: int) -> Path:
    name = f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now_ms / 1000))}"
    names = (path.with_name(name if number == 0 else f"{name}-{number}") for number in itertools.count())
    return next(aside for aside in names if not aside.exists())


def _new(path: Path) -> Path:
    return path.with_name(path.name + ".rescue")


def _remove(path: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _move_log_aside(path: Path, aside: Path | None = None) -> None:
    log = spool_log.path_of(path)
    if log.exists():
        log.rename(spool_log.path_of(aside or path.with_name(path.name + ".damaged-0")))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)


def _build(path: Path, new: Path, known: Known, alive: Callable[[], None]) -> int:
    """Build the new file, whole and on disk when this returns; how many batches it holds.

    Without a log: what a log holds and a full disk does not take into the file would be lost with the log.
    """
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
        prepare(db, new)
        db.execute("PRAGMA wal_checkpoint").fetchall()
        _mend_first_page(path, new)
        for setting in ("journal_mode = MEMORY", "synchronous = OFF"):
            db.execute(f"PRAGMA {setting}").fetchall()
        complete, highest = _copy_tables(path, db)
        _mend_places(db)
        is_placed = complete["place"] and spool_log.lost_transactions(path) < spool_log.BROKEN
        if not is_placed:
            _put_back(db)
        db.execute("CREATE INDEX place_number ON place (number)")
        with contextlib.suppress(FullError):  # what is not saved is a gap, and lies in the file moved aside
            _save(path, new, db, alive, is_placed=is_placed, is_opened=not (is_placed and complete["device"]))
        while not _finish(new, db, known, highest, is_placed=is_placed):
            _drop_some(db)
        saved: int = db.execute("SELECT count(*) FROM batch").fetchone()[0]
    sync(new)
    return saved


def _finish(new: Path, db: sqlite3.Connection, known: Known, highest: int, *, is_placed: bool) -> bool:
    """Declare what is lost, and prepare the new file for its life; False where there is no room even for that.

    Raises: FullError where there is nothing in it that could make room.
    """
    try:
        with translated(new), transaction(db):
            _replace_strange_gaps(db, known)
            db.executemany("INSERT OR IGNORE INTO device VALUES (?)", [(name,) for name in known.devices])
            highest = max(highest, known.number, db.execute("SELECT max(number) FROM place").fetchone()[0] or 0)
            _declare(db, known, is_placed=is_placed)
            _count_on(db, highest, known.now_ms)
            db.execute("DROP INDEX place_number")
    except FullError:
        if not db.execute("SELECT EXISTS (SELECT 1 FROM batch)").fetchone()[0]:
            raise
        return False
    return True


def _drop_some(db: sqlite3.Connection) -> None:
    """Give up some batches that were saved already, confirmed ones first, then the oldest."""
    with transaction(db):
        db.execute(
            "DELETE FROM batch WHERE number IN"
            " (SELECT number FROM batch JOIN place USING (number) ORDER BY state, number LIMIT ?)",
            (_ROWS,),
        )


def _mend_first_page(path: Path, new: Path) -> None:
    """Give a file whose first page is no longer one that of a new spool: the tables' roots lie where they always do."""
    try:
        with _reader(path) as old:
            old.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except _UNREADABLE as error:
        if not isinstance(translate(path, error), CorruptError):
            return
        with new.open("rb") as template:
            page = bytearray(template.read(PAGE_BYTES))
        page[28:32] = (path.stat().st_size // PAGE_BYTES).to_bytes(4, "big")
        with path.open("r+b") as broken:
            broken.write(page)


def _reader(path: Path) -> contextlib.closing[sqlite3.Connection]:
    """Open the broken file so that closing it does not write its log back."""
    return contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None))


def _copy_tables(path: Path, db: sqlite3.Connection) -> tuple[dict[str, bool], int]:
    """Copy the small tables, as far as they can be read.

    Returns which of them could be read whole, and the highest number that the file tells of.
    """
    with _reader(path) as old:
        old.text_factory = lenient
        complete = {table: _copy(table, columns, old, db) for table, columns in _TABLES.items()}
        try:
            highest = old.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()[0] or 0
        except _UNREADABLE as error:
            _raise_unless_damage(error)
            highest = 0
    return complete, highest


def _copy(table: str, columns: int, old: sqlite3.Connection, db: sqlite3.Connection) -> bool:
    """Copy one table, as far as it can be read; returns whether that was all of it."""
    insert = f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * columns)})"  # noqa: S608 - of six names
    try:
        is_sound = bool(old.execute(f"PRAGMA quick_check('{table}')").fetchone()[0] == "ok")
        rows = old.execute(f"SELECT * FROM {table}")  # noqa: S608 - of six names
        while chunk := rows.fetchmany(_ROWS):
            with transaction(db):
                db.executemany(insert, [row + (None,) * (columns - len(row)) for row in chunk])  # of an older schema
    except _UNREADABLE as error:
        _raise_unless_damage(error)
        return False
    return is_sound


def _raise_unless_damage(error: Exception) -> None:
    """Raise what says that the disk has no room: that is no damage, and the rescue waits."""
    if getattr(error, "sqlite_errorcode", None) in _NO_ROOM:
        raise error


def _save(
    path: Path, new: Path, db: sqlite3.Connection, alive: Callable[[], None], *, is_placed: bool, is_opened: bool
) -> None:
    """Save every sound batch; where the places are known, only what has one: the others were let go of before.

    They come in the order of pages. Where there is no room for all, the confirmed ones make room for the others.

    Raises: FullError where there is no room for all.
    """

    def save(*, confirmed: bool = True) -> None:
        rows = salvage.batches(path)
        while chunk := list(islice(rows, _ROWS)):
            with transaction(db):
                for batch in chunk:
                    if confirmed or not _is_confirmed(db, batch.number):
                        _save_one(db, batch, is_placed=is_placed, is_opened=is_opened)
            alive()

    with translated(new):
        try:
            save()
        except sqlite3.OperationalError as error:
            if not is_placed or not isinstance(translate(new, error), FullError):
                raise
            _drop_confirmed(db)
            save(confirmed=False)
            save()


def _is_confirmed(db: sqlite3.Connection, number: int) -> bool:
    found = db.execute("SELECT 1 FROM place WHERE number = ? AND state = ?", (number, CONFIRMED)).fetchone()
    return found is not None


def _drop_confirmed(db: sqlite3.Connection) -> None:
    """Give up what was saved of confirmed batches."""
    some = "SELECT number FROM batch JOIN place USING (number) WHERE state = ? LIMIT ?"
    is_left = True
    while is_left:
        with transaction(db):
            is_left = db.execute(f"DELETE FROM batch WHERE number IN ({some})", (CONFIRMED, _ROWS)).rowcount > 0  # noqa: S608 - a constant


def _save_one(db: sqlite3.Connection, batch: SealedBatch, *, is_placed: bool, is_opened: bool) -> None:
    has_place = db.execute("SELECT 1 FROM place WHERE number = ?", (batch.number,)).fetchone()
    if is_placed and not has_place:
        return
    db.execute(f"INSERT OR IGNORE INTO batch ({BATCH_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", batch)  # noqa: S608 - a constant
    if not is_opened:
        return
    samples: list[Sample] = []
    with contextlib.suppress(MessnetzError):
        samples = batch.samples()
    db.executemany("INSERT OR IGNORE INTO device VALUES (?)", {(sample.device,) for sample in samples})
    if not has_place:
        is_gap = any(reading.quantity == UNTIL for sample in samples for reading in sample.readings)
        state = WAITING if batch.is_placed else UNPLACED
        db.execute("INSERT INTO place VALUES (?, 0, ?, ?, ?, NULL)", (state, batch.number, batch.readings, is_gap))


def _declare(db: sqlite3.Connection, known: Known, *, is_placed: bool) -> None:
    """Record what is lost as gaps; gaps whose batch is lost are to be sealed again."""
    devices = [name for (name,) in db.execute("SELECT name FROM device") if is_id(name)]
    stored = "SELECT 1 FROM batch WHERE number = "
    db.execute(f"UPDATE gap SET batch = NULL WHERE batch IS NOT NULL AND NOT EXISTS ({stored} gap.batch)")  # noqa: S608 - a constant
    lost_places = f"FROM place WHERE NOT EXISTS ({stored} place.number)"
    lost = db.execute(f"SELECT number {lost_places} AND state <> {CONFIRMED} AND is_gap = 0 ORDER BY number")
    holes = ranges(number for (number,) in lost)
    if not is_placed:
        holes += _holes(db)
    last = db.execute("SELECT max(number) FROM place").fetchone()[0] or 0
    if not is_placed or known.number > last:
        holes.append((last + 1, max(last + 1, known.number)))
    for first, final in holes:
        since_ms, until_ms = eviction.stretch(db, first, final, known.oldest_ms, known.now_ms)
        gap_table.add(db, gap_table.of_all(devices, since_ms, until_ms, "damaged"))
    for name, condition in (("confirmed", "="), ("evicted", "<>")):
        of_state = f"{lost_places} AND state {condition} {CONFIRMED}"
        batches, readings = db.execute(f"SELECT count(*), ifnull(sum(readings), 0) {of_state}").fetchone()
        eviction.count(db, name, Gone(batches, readings))
    db.execute(f"DELETE {lost_places}")


def _put_back(db: sqlite3.Connection) -> None:
    """Let everything wait that was confirmed: what the log lost may have said that the database lacks it again.

    What is sent twice is stored once.
    """
    with transaction(db):
        db.execute(
            "UPDATE place SET state = ?, settled_at_ms = 0, reason = NULL WHERE state = ?",
            (WAITING, CONFIRMED),
        )


def _mend_places(db: sqlite3.Connection) -> None:
    """Let wait again what the disk has settled, and nobody else."""
    with transaction(db):
        db.execute(
            "UPDATE OR IGNORE place SET state = iif(state = ?, state, ?), settled_at_ms = 0, reason = NULL"  # noqa: S608 - a constant
            f" WHERE {STRANGE_PLACE}",
            (UNPLACED, WAITING),
        )
        db.execute(f"DELETE FROM place WHERE {STRANGE_PLACE}")  # noqa: S608 - likewise


def _replace_strange_gaps(db: sqlite3.Connection, known: Known) -> None:
    """Record a gap of a device that nobody knows for all that are known: the disk has damaged its name.

    Sealed as it is, it would have its whole batch rejected, and every other gap in it.
    """
    names = known.devices | {name for (name,) in db.execute("SELECT name FROM device")}
    stored = "EXISTS (SELECT 1 FROM batch WHERE number = gap.batch)"
    rows = db.execute(f"SELECT id, device, reason, since_ms, until_ms FROM gap WHERE NOT {stored}").fetchall()  # noqa: S608 - a constant
    for row, device, reason, since_ms, until_ms in rows:
        if device in names and is_id(device) and reason in REASONS:
            continue
        db.execute("DELETE FROM gap WHERE id = ?", (row,))
        stretch = max(since_ms, known.oldest_ms), min(until_ms, known.now_ms)
        gap_table.add(db, gap_table.of_all(known.devices, *stretch, "damaged"))


def _holes(db: sqlite3.Connection) -> list[tuple[int, int]]:
    """Return the stretches of numbers that are not there; as one where they are very many."""
    found = db.execute(
        "SELECT number + 1, next - 1 FROM"
        " (SELECT number, lead(number) OVER (ORDER BY number) AS next FROM batch) WHERE next > number + 1 LIMIT ?",
        (MAX_HOLES + 1,),
    ).fetchall()
    lowest, highest = db.execute("SELECT min(number), max(number) FROM batch").fetchone()
    if len(found) > MAX_HOLES:
        found = [(found[0][0], highest)]
    return ([(1, lowest - 1)] if lowest and lowest > 1 else []) + found


def _count_on(db: sqlite3.Connection, highest: int, now_ms: int) -> None:
    """Let new numbers begin above any that may have been used: there are fewer seals than seconds since 1970."""
    begin = highest + JUMP if highest else max(JUMP, now_ms // 1000)
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'batch'")
    db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('batch', ?)", (begin,))
