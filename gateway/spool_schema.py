"""The tables of the spool.

`batch` is written once and never changed. Where a batch stands is one row of `place`, whose order puts the batches
confirmed last beside those that wait: so a seal that also marks what was confirmed changes three pages or four.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from base.sqlite import CorruptError, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

APPLICATION_ID = 0x4D53504C  # "MSPL"
PAGE_BYTES = 1024
JUMP = 1_000_000
"""Where batches may be lost, new numbers begin so far above the highest one known: none is used twice."""
UNPLACED, CONFIRMED, WAITING, REJECTED = 0, 1, 2, 3
STRANGE_PLACE = (
    "state NOT IN (0, 1, 2, 3) OR (state IN (1, 3)) <> (settled_at_ms > 0) OR (state = 3) <> (reason IS NOT NULL)"
)
"""What none of us has written: a batch that is confirmed, or rejected, since never. See `rescue`."""
BATCH_COLUMNS = "number, stream, sealed_at_ms, readings, first_ms, last_ms, head, crc, pack"

_FIRST = """
CREATE TABLE batch (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  stream TEXT NOT NULL,
  sealed_at_ms INTEGER NOT NULL,
  readings INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,              -- oldest and newest reading
  last_ms INTEGER NOT NULL,
  head INTEGER NOT NULL,                  -- checksum of all that stands before, but the number
  crc INTEGER NOT NULL,                   -- checksum of the pack, as it is sent
  pack BLOB NOT NULL
) STRICT;
CREATE TABLE place (
  state INTEGER NOT NULL,                 -- 1 confirmed, 2 waiting, 3 rejected
  settled_at_ms INTEGER NOT NULL,         -- when it was confirmed or rejected; 0 while it waits
  number INTEGER NOT NULL,
  readings INTEGER NOT NULL,
  is_gap INTEGER NOT NULL,                -- 1: it carries gaps and is never evicted
  reason TEXT,                            -- why it was rejected
  PRIMARY KEY (state, settled_at_ms, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE gap (
  id INTEGER PRIMARY KEY,
  device TEXT NOT NULL,
  reason TEXT NOT NULL,
  since_ms INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  readings INTEGER,                       -- NULL: nobody can know
  batch INTEGER                           -- the batch that carries it; NULL: not sealed yet, may still grow
) STRICT;
CREATE INDEX gap_open ON gap (device, reason) WHERE batch IS NULL;
CREATE INDEX gap_start ON gap (device, reason, since_ms);
CREATE TABLE device (                     -- every device that ever was in a batch
  name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
CREATE TABLE total (                      -- of batches that are no longer kept, and when the agent was last alive
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""


def _first(db: sqlite3.Connection) -> None:
    for statement in _FIRST.split(";\n"):
        db.execute(statement)


_SECOND = """
CREATE TABLE boot (                       -- a start of the machine, where the agent had to learn or keep the time
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  offset_ms INTEGER,                      -- makes Unix time of the time since the start; the newest one
  origin TEXT,                            -- whose word that is; NULL: estimated after the boot had ended
  placing_ms INTEGER,                     -- the first offset: batches without time are placed with it
  placing_flags INTEGER
) STRICT;
CREATE TABLE start (                      -- a start of the agent, and the boot in which it was
  stream TEXT PRIMARY KEY,
  boot INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE gap ADD COLUMN boot INTEGER
"""


def _second(db: sqlite3.Connection) -> None:
    """State 0 of a place, from now on: the batch has no time yet (see gateway/boots.py).

    A gap with a boot may have times below 2^28 s, which count from the start of that.
    """
    for statement in _SECOND.split(";\n"):
        db.execute(statement)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _second)
"""One function for each schema version, in order; a released one never changes."""
_SETTINGS = (
    "locking_mode = EXCLUSIVE",  # before anything looks at the file: no -shm, and no SIGBUS where a disk is full
    f"page_size = {PAGE_BYTES}",
    "auto_vacuum = INCREMENTAL",  # before the first table: so that space can go back to the file system at all
    "journal_mode = WAL",
    "synchronous = FULL",
    "cache_size = -256",
    "temp_store = MEMORY",
)


def lenient(text: bytes) -> str:
    """Decode a text that the disk may have damaged."""
    return text.decode("utf-8", "replace")


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Set a connection up and bring its tables up to date.

    Raises: CorruptError where the file is none of ours, or one of a newer release: what can be read is saved from it.
    """
    db.text_factory = lenient
    for setting in _SETTINGS:
        db.execute(f"PRAGMA {setting}").fetchall()
    version = db.execute("PRAGMA user_version").fetchone()[0]
    owner = db.execute("PRAGMA application_id").fetchone()[0]
    if version > len(MIGRATIONS):
        raise CorruptError(f"{path}: a spool of a newer release (schema {version})")
    if owner != APPLICATION_ID and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise CorruptError(f"{path}: a database, but no spool of this release")
    for number, migrate in enumerate(MIGRATIONS[version:], version + 1):
        with transaction(db):
            migrate(db)
            db.execute(f"PRAGMA user_version = {number}")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
