"""When the agent is known to have run last: the newest batch, or what it wrote down where nothing was to be sealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway import boots
from gateway.spool_records import EARLIEST_MS

if TYPE_CHECKING:
    import sqlite3


@dataclass
class Alive:
    """When the agent is known to have run last; None in a new spool. Without time it counts from the boot's start."""

    at_ms: int | None = None
    number: int = 0
    """Highest number in use then."""


def read(db: sqlite3.Connection, boot: str) -> Alive:
    """Return the later of the newest batch and what was written down, as numbers tell: the clock may have stepped."""
    noted = dict(db.execute("SELECT name, value FROM total WHERE name IN ('alive_ms', 'alive_number')").fetchall())
    newest = boots.newest(db, boot)
    if newest and newest[0] > noted.get("alive_number", 0):
        return Alive(newest[1], newest[0])
    return Alive(noted.get("alive_ms"), noted.get("alive_number", 0))


def write(db: sqlite3.Connection, alive: Alive) -> None:
    """Write it down, where it has a time."""
    if alive.at_ms is not None and alive.at_ms >= EARLIEST_MS:
        rows = (("alive_ms", alive.at_ms), ("alive_number", alive.number))
        db.executemany("INSERT INTO total VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", rows)
