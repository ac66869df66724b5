"""What the spool knows of the machine's starts and of their time, and the placing of batches that have none.

A batch that was sealed before the time was known counts from the start of the machine and is never sent. Its stream
says in which boot that was. When the boot has a time (`keep`), the offset is committed first; then its batches are
rewritten to Unix time, some in each transaction (`place`). A kill between changes nothing: the offset is on disk. A
boot that ended without a time is placed after the last time known before it (`estimate`).

Every function belongs into a transaction of the caller's.
"""

from __future__ import annotations

import contextlib
import zlib
from typing import TYPE_CHECKING, NamedTuple

from base.errors import MessnetzError
from gateway import eviction, gap_table
from gateway.spool_records import EARLIEST_MS, head_of
from gateway.spool_schema import REJECTED, UNPLACED, WAITING
from gateway.stamps import GRID_MS, Past, Timing, flagged
from wire import batch as wire_batch
from wire.readings import Flag, Sample

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

_WITHOUT_TIME = """
SELECT boot.number, min(first) FROM boot JOIN (
  SELECT boot, min(number) AS first FROM place JOIN batch USING (number) JOIN start USING (stream)
  WHERE state = :unplaced GROUP BY boot
  UNION ALL SELECT boot, (SELECT max(number) + 1 FROM place) FROM gap WHERE boot IS NOT NULL
) AS waiting ON waiting.boot = boot.number
WHERE placing_ms IS NULL AND id <> :id GROUP BY boot.number ORDER BY min(first), boot.number
"""
_ORPHANS = """
SELECT DISTINCT stream FROM place JOIN batch USING (number)
WHERE state = ? AND NOT EXISTS (SELECT 1 FROM start WHERE start.stream = batch.stream)
"""
_LATEST = """
SELECT batch.number, CASE WHEN sealed_at_ms >= :earliest THEN 0 ELSE placing_ms END + max(sealed_at_ms, last_ms)
FROM batch LEFT JOIN start USING (stream) LEFT JOIN boot ON boot.number = start.boot
WHERE batch.number < :before AND (sealed_at_ms >= :earliest OR placing_ms IS NOT NULL)
ORDER BY batch.number DESC LIMIT 1
"""
_PLACEABLE = """
SELECT place.number, boot.number, placing_ms, placing_flags
FROM place JOIN batch USING (number) JOIN start USING (stream) JOIN boot ON boot.number = start.boot
WHERE state = ? AND placing_ms IS NOT NULL ORDER BY place.number LIMIT ?
"""
_ANY = 2**63 - 1


class Row(NamedTuple):
    """What of a batch follows from its samples."""

    readings: int
    first_ms: int
    last_ms: int
    pack: bytes


def row_of(samples: Sequence[Sample]) -> Row:
    """Pack samples."""
    times = [sample.measured_at_ms for sample in samples]
    return Row(sum(len(s.readings) for s in samples), min(times), max(times), wire_batch.compress(samples))


def register(db: sqlite3.Connection, boot: str, stream: str) -> int:
    """Note that this stream belongs to this boot; returns the boot's number. Forgets boots that nothing needs."""
    db.execute("INSERT OR IGNORE INTO boot (id) VALUES (?)", (boot,))
    number: int = db.execute("SELECT number FROM boot WHERE id = ?", (boot,)).fetchone()[0]
    unplaced = "SELECT 1 FROM place JOIN batch USING (number) WHERE state = ? AND batch.stream = start.stream"
    db.execute(f"DELETE FROM start WHERE boot <> ? AND NOT EXISTS ({unplaced})", (number, UNPLACED))  # noqa: S608 - a constant
    db.execute("INSERT OR IGNORE INTO start VALUES (?, ?)", (stream, number))
    newest = "SELECT max(number) FROM boot WHERE offset_ms IS NOT NULL"
    used = "SELECT boot FROM start UNION SELECT boot FROM gap WHERE boot IS NOT NULL"
    db.execute(f"DELETE FROM boot WHERE number NOT IN ({used}) AND number <> ({newest})")  # noqa: S608 - a constant
    return number


def past(db: sqlite3.Connection, boot: str) -> Past:
    """Return what is known of this boot's time, and of the time before."""
    row = db.execute(
        "SELECT id, offset_ms, origin, placing_ms, placing_flags FROM boot WHERE id = ? AND origin IS NOT NULL", (boot,)
    ).fetchone()
    return Past(Timing(*row) if row else None, _lane(db), latest_ms(db))


def latest_ms(db: sqlite3.Connection, before: int = _ANY) -> int | None:
    """Return the newest time known, of the batches before a number; None where there is none."""
    noted = dict(db.execute("SELECT name, value FROM total WHERE name IN ('alive_ms', 'alive_number')").fetchall())
    row = db.execute(_LATEST, {"before": before, "earliest": EARLIEST_MS}).fetchone()
    if row and row[0] > noted.get("alive_number", 0):
        return int(row[1])
    return noted.get("alive_ms") if noted.get("alive_number", 0) < before else None


def keep(db: sqlite3.Connection, number: int, timing: Timing) -> Timing:
    """Write a boot's time down, and place its gaps. Returns it with the placing that holds: the first one kept."""
    row = db.execute("SELECT placing_ms, placing_flags FROM boot WHERE number = ?", (number,)).fetchone()
    kept = timing if row[0] is None else timing._replace(placing_ms=row[0], placing_flags=row[1])
    db.execute(
        "UPDATE boot SET offset_ms = ?, origin = ?, placing_ms = ?, placing_flags = ? WHERE number = ?",
        (kept.offset_ms, kept.origin, kept.placing_ms, kept.placing_flags, number),
    )
    gap_table.place(db, number, kept.placing_ms)
    return kept


def needs_estimate(db: sqlite3.Connection, boot: str) -> bool:
    """Whether there is something from a boot that ended without a time."""
    orphan = db.execute(_ORPHANS, (UNPLACED,)).fetchone()
    return bool(orphan or db.execute(_WITHOUT_TIME, {"unplaced": UNPLACED, "id": boot}).fetchone())


def estimate(db: sqlite3.Connection, boot: str, floor_ms: int) -> None:
    """Place boots other than this one that have no time: each began after the last time known before it.

    A batch of which the disk has lost the boot counts as one of its own.
    """
    for (stream,) in db.execute(_ORPHANS, (UNPLACED,)).fetchall():
        db.execute("INSERT OR IGNORE INTO boot (id) VALUES (?)", (stream,))
        db.execute("INSERT INTO start SELECT ?, number FROM boot WHERE id = ?", (stream, stream))
    lane = _lane(db)
    for number, first in db.execute(_WITHOUT_TIME, {"unplaced": UNPLACED, "id": boot}).fetchall():
        known_ms = max(floor_ms, latest_ms(db, first) or 0) + GRID_MS
        placing_ms = known_ms + (lane - known_ms) % GRID_MS
        db.execute(
            "UPDATE boot SET offset_ms = ?, placing_ms = ?, placing_flags = ? WHERE number = ?",
            (placing_ms, placing_ms, Flag.TIME_ESTIMATED.value, number),
        )
        gap_table.place(db, number, placing_ms)


def newest(db: sqlite3.Connection, boot: str) -> tuple[int, int] | None:
    """Return number and sealing time of the newest batch; of one of this boot, where that has no time, since its start.

    None where there is none of which that can be said.
    """
    row = db.execute(
        "SELECT batch.number, sealed_at_ms, placing_ms, id FROM batch"
        " LEFT JOIN start USING (stream) LEFT JOIN boot ON boot.number = start.boot"
        " WHERE sealed_at_ms >= ? OR placing_ms IS NOT NULL OR id = ?"
        " ORDER BY batch.number DESC LIMIT 1",
        (EARLIEST_MS, boot),
    ).fetchone()
    if row is None:
        return None
    number, sealed_at_ms, placing_ms, _ = row
    return number, sealed_at_ms if sealed_at_ms >= EARLIEST_MS else sealed_at_ms + (placing_ms or 0)


def has_placeable(db: sqlite3.Connection) -> bool:
    """Whether a batch can have its time now."""
    return db.execute(_PLACEABLE, (UNPLACED, 1)).fetchone() is not None


def place(
    db: sqlite3.Connection, most: int, devices: Iterable[str], mark: Callable[[Sample], Sample] = lambda sample: sample
) -> int:
    """Rewrite so many batches, of boots that have a time, to that time; from then on they wait to be sent.

    `mark` is what is done with every sample that has its time now. One that the disk has damaged is set aside, and its
    gap recorded. Returns how many were dealt with.
    """
    rows = db.execute(_PLACEABLE, (UNPLACED, most)).fetchall()
    for number, boot, placing_ms, flags in rows:
        batch = eviction.read_batch(db, number)
        if batch is not None and batch.is_sound and batch.is_placed:  # it is the disk that says otherwise
            _wait(db, number)
            continue
        samples: list[Sample] = []
        with contextlib.suppress(MessnetzError):
            samples = batch.samples() if batch is not None and batch.is_sound else []
        if batch is None or not samples:
            gap_table.add(db, eviction.damaged(db, number, devices), boot)
            db.execute(
                "UPDATE place SET state = ?, settled_at_ms = ?, reason = ?"
                " WHERE state = ? AND settled_at_ms = 0 AND number = ?",
                (REJECTED, max(1, latest_ms(db) or 0), eviction.DAMAGED, UNPLACED, number),
            )
            continue
        row = row_of([mark(flagged(_moved(sample, placing_ms), flags)) for sample in samples])
        sealed_at_ms = batch.sealed_at_ms + placing_ms
        head = head_of(batch.stream, sealed_at_ms, batch.readings, row.first_ms, row.last_ms)
        db.execute(
            "UPDATE batch SET sealed_at_ms = ?, first_ms = ?, last_ms = ?, head = ?, crc = ?, pack = ?"
            " WHERE number = ?",
            (sealed_at_ms, row.first_ms, row.last_ms, head, zlib.crc32(row.pack), row.pack, number),
        )
        _wait(db, number)
    return len(rows)


def _wait(db: sqlite3.Connection, number: int) -> None:
    db.execute(
        "UPDATE place SET state = ? WHERE state = ? AND settled_at_ms = 0 AND number = ?", (WAITING, UNPLACED, number)
    )


def _lane(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT offset_ms FROM boot WHERE offset_ms IS NOT NULL ORDER BY number DESC LIMIT 1").fetchone()
    return row[0] % GRID_MS if row else 0


def _moved(sample: Sample, by_ms: int) -> Sample:
    return Sample(sample.device, sample.measured_at_ms + by_ms, sample.readings)
