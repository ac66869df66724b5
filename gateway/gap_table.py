"""The gaps in the spool: they grow until they are sealed, and are never changed or deleted after.

Every function belongs into a transaction of the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gateway.spool_records import EARLIEST_MS
from wire.gaps import Gap

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from wire.gaps import Reason

JOIN_MS = 60_000
"""Gaps of one device and reason that are no further apart become one."""
MAX_GAPS = 500
"""Gaps in one batch."""


def add(db: sqlite3.Connection, gaps: Iterable[Gap], boot: int | None = None) -> None:
    """Record gaps; each is merged with those not yet sealed that it touches.

    `boot`: their times may count from its start; they are sealed when it has a time (`place`).
    """
    placing = None
    if boot is not None:
        placing = db.execute("SELECT placing_ms FROM boot WHERE number = ?", (boot,)).fetchone()
    for gap in gaps:
        _add(db, gap, boot)
    if boot is not None and placing and placing[0] is not None:
        place(db, boot, placing[0])


def place(db: sqlite3.Connection, boot: int, placing_ms: int) -> bool:
    """Give the gaps of a boot that has a time now theirs; returns whether there were any."""
    rows = db.execute(
        "SELECT id, device, since_ms, until_ms, reason, readings FROM gap WHERE boot = ? ORDER BY id", (boot,)
    ).fetchall()
    db.executemany("DELETE FROM gap WHERE id = ?", [row[:1] for row in rows])
    for _, device, *times, reason, readings in rows:
        since_ms, until_ms = (at_ms if at_ms >= EARLIEST_MS else at_ms + placing_ms for at_ms in times)
        if since_ms <= until_ms:
            _add(db, Gap(device, since_ms, until_ms, reason, readings), None)
    return bool(rows)


def _add(db: sqlite3.Connection, gap: Gap, boot: int | None) -> None:
    touching = db.execute(
        "SELECT id, since_ms, until_ms, readings FROM gap"
        " WHERE batch IS NULL AND device = ? AND reason = ? AND since_ms <= ? AND until_ms >= ? AND boot IS ?",
        (gap.device, gap.reason, gap.until_ms + JOIN_MS, gap.since_ms - JOIN_MS, boot),
    ).fetchall()
    db.executemany("DELETE FROM gap WHERE id = ?", [row[:1] for row in touching])
    since_ms = min([gap.since_ms, *(row[1] for row in touching)])
    until_ms = max([gap.until_ms, *(row[2] for row in touching)])
    counts = [gap.readings, *(row[3] for row in touching)]
    readings = None if None in counts else sum(cast("list[int]", counts))
    if boot is None:
        since_ms = _free_start(db, gap, max(since_ms, EARLIEST_MS))
        until_ms = max(since_ms, until_ms)
    db.execute(
        "INSERT INTO gap (device, reason, since_ms, until_ms, readings, boot) VALUES (?, ?, ?, ?, ?, ?)",
        (gap.device, gap.reason, since_ms, until_ms, readings, boot),
    )


def _free_start(db: sqlite3.Connection, gap: Gap, since_ms: int) -> int:
    """Move a start on, 1 ms at a time, until no other gap of the device and reason begins there.

    In a store both would be one point, and the shorter might win.
    """
    taken = "SELECT 1 FROM gap WHERE device = ? AND reason = ? AND since_ms = ?"
    while db.execute(taken, (gap.device, gap.reason, since_ms)).fetchone():
        since_ms += 1
    return since_ms


def unsealed(db: sqlite3.Connection) -> list[tuple[int, Gap]]:
    """Return the oldest gaps that no batch carries yet, at most as many as one batch takes, with their ids."""
    rows = db.execute(
        "SELECT id, device, since_ms, until_ms, reason, readings FROM gap"
        " WHERE batch IS NULL AND boot IS NULL ORDER BY id LIMIT ?",
        (MAX_GAPS,),
    ).fetchall()
    return [(row[0], Gap(*row[1:])) for row in rows]


def sealed(db: sqlite3.Connection, ids: Iterable[int], number: int) -> None:
    """Note which batch carries them: from now on they do not change."""
    db.executemany("UPDATE gap SET batch = ? WHERE id = ?", [(number, gap) for gap in ids])


def seal_again(db: sqlite3.Connection, number: int) -> bool:
    """Let another batch carry what this one did, since it can never be sent; returns whether it carried any gap."""
    return db.execute("UPDATE gap SET batch = NULL WHERE batch = ?", (number,)).rowcount > 0


def recorded(db: sqlite3.Connection) -> list[Gap]:
    """Return all gaps ever recorded that have a time, oldest record first."""
    found = "SELECT device, since_ms, until_ms, reason, readings FROM gap WHERE boot IS NULL ORDER BY id"
    return [Gap(*row) for row in db.execute(found)]


def of_all(devices: Iterable[str], since_ms: int, until_ms: int, reason: Reason) -> list[Gap]:
    """Make one gap for each device, with an unknown number of readings; none where it would end before it begins."""
    if until_ms < since_ms:
        return []
    return [Gap(device, since_ms, until_ms, reason) for device in sorted(devices)]
