"""The table of batches: what waits, what was settled, what is put back. Whoever calls has the transaction."""

from __future__ import annotations

import zlib
from itertools import islice
from typing import TYPE_CHECKING

from base.sqlite import transaction
from gateway.eviction import DAMAGED, Gone
from gateway.spool_records import head_of
from gateway.spool_schema import BATCH_COLUMNS, CONFIRMED, REJECTED, WAITING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from gateway.boots import Row
    from gateway.spool_records import Settled

_RESENDABLE = """
SELECT settled_at_ms, number, place.readings, settled_at_ms BETWEEN ? AND ? OR (first_ms <= ? AND last_ms >= ?)
FROM place JOIN batch USING (number)
WHERE state = ? AND (settled_at_ms, number) > (?, ?) AND reason IS NOT ?
ORDER BY settled_at_ms, number LIMIT 500
"""
_PUT_BACK = """
UPDATE place SET state = ?, settled_at_ms = 0, reason = NULL
WHERE state = ? AND settled_at_ms = ? AND number = ?
"""


def insert(
    db: sqlite3.Connection, stream: str, row: Row, at_ms: int, state: int = WAITING, *, is_gap: bool = False
) -> int:
    """Put a sealed batch in; returns its number."""
    facts = (stream, at_ms, row.readings, row.first_ms, row.last_ms)
    number = db.execute(
        f"INSERT INTO batch ({BATCH_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
        (*facts, head_of(*facts), zlib.crc32(row.pack), row.pack),
    ).lastrowid
    db.execute("INSERT INTO place VALUES (?, 0, ?, ?, ?, NULL)", (state, number, row.readings, is_gap))
    return int(number or 0)


def mark(db: sqlite3.Connection, settled: Settled, now_ms: int) -> None:
    """Mark what was confirmed and rejected."""
    for number in settled.confirmed:
        _settle(db, number, CONFIRMED, None, now_ms)
    for number, reason in settled.rejected.items():
        _settle(db, number, REJECTED, reason, now_ms)


def _settle(db: sqlite3.Connection, number: int, state: int, reason: str | None, now_ms: int) -> None:
    """Settle a batch that waits; a second word on it changes nothing."""
    db.execute(
        "UPDATE place SET state = ?, settled_at_ms = ?, reason = ?"
        " WHERE state = ? AND settled_at_ms = 0 AND number = ?",
        (state, max(1, now_ms), reason, WAITING, number),
    )


def waiting(db: sqlite3.Connection, limit: int, without: Collection[int], *, newest: bool) -> list[int]:
    """Return the numbers of waiting batches, oldest (or newest) first, those in `without` left out."""
    order = "DESC" if newest else "ASC"
    numbers = db.execute(
        f"SELECT number FROM place WHERE state = ? ORDER BY settled_at_ms {order}, number {order}",  # noqa: S608 - one of two words
        (WAITING,),
    )
    return list(islice((number for (number,) in numbers if number not in without), limit))


def oldest_waiting_ms(db: sqlite3.Connection) -> int | None:
    """Return when the oldest waiting batch was sealed; None where none waits."""
    row = db.execute(
        "SELECT sealed_at_ms FROM place JOIN batch USING (number)"
        " WHERE state = ? ORDER BY settled_at_ms, number LIMIT 1",
        (WAITING,),
    ).fetchone()
    return row[0] if row else None


def resend(db: sqlite3.Connection, from_ms: int, to_ms: int) -> tuple[int, int]:
    """Put back to waiting what was settled in the time given, or has readings of it, in transactions of its own.

    Returns how many batches and readings.
    """
    total = Gone()
    for state in (CONFIRMED, REJECTED):
        key = (-1, -1)
        while rows := db.execute(_RESENDABLE, (from_ms, to_ms, to_ms, from_ms, state, *key, DAMAGED)).fetchall():
            key = rows[-1][:2]
            again = [(WAITING, state, settled_at_ms, number) for settled_at_ms, number, _, is_meant in rows if is_meant]
            with transaction(db):
                db.executemany(_PUT_BACK, again)
            total += Gone(len(again), sum(readings for _, _, readings, is_meant in rows if is_meant))
    return total.batches, total.readings
