"""When each device was read last, as the batches that were sealed last tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from base.errors import MessnetzError
from gateway import eviction
from wire.gaps import UNTIL

if TYPE_CHECKING:
    import sqlite3

    from wire.readings import Sample

LOOK_BACK_MS = 60_000
"""A reading that was under way at the last seal began later than that."""
MOST_BATCHES = 64


def last_read(db: sqlite3.Connection, until_ms: int) -> dict[str, int]:
    """Return device -> Unix time in ms up to which it was read or declared, of what was sealed in the minute before.

    What was under way when the last batch was sealed began before that seal, and is not in it.
    """
    times: dict[str, int] = {}
    newest = db.execute("SELECT number, sealed_at_ms FROM batch ORDER BY number DESC LIMIT ?", (MOST_BATCHES,))
    for number, sealed_at_ms in newest.fetchall():
        if sealed_at_ms < until_ms - LOOK_BACK_MS:
            break
        for sample in _samples(db, number):
            declared = (round(reading.value * 1000) for reading in sample.readings if reading.quantity == UNTIL)
            known_ms = max(declared, default=sample.measured_at_ms)
            times[sample.device] = max(known_ms, times.get(sample.device, 0))
    return times


def _samples(db: sqlite3.Connection, number: int) -> list[Sample]:
    """Open a batch; one that the disk has damaged tells nothing."""
    batch = eviction.read_batch(db, number)
    try:
        return batch.samples() if batch is not None and batch.is_sound else []
    except MessnetzError:
        return []
