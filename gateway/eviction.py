"""Letting batches go: what the collector has costs nothing, of everything else a gap remains.

Every function belongs into a transaction of the caller's: a batch and its gap change together. Packs are opened one
at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING

from base.errors import MessnetzError
from gateway import gap_table
from gateway.spool_records import EARLIEST_MS, SealedBatch
from gateway.spool_schema import BATCH_COLUMNS, CONFIRMED, REJECTED, WAITING
from wire.gaps import Gap

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator

MOST_LOOKED_AT = 1_000
"""Oldest waiting batches that are looked at for their age: a year of them would keep the disk busy for a minute."""
DAMAGED = "damaged on disk"
"""The reason of a batch set aside because the disk gave back something else; its gap is recorded already."""


@dataclass(frozen=True)
class Gone:
    """What was let go of."""

    batches: int = 0
    readings: int = 0

    def __bool__(self) -> bool:
        return self.batches > 0

    def __add__(self, other: Gone) -> Gone:
        return Gone(self.batches + other.batches, self.readings + other.readings)


@dataclass(frozen=True)
class Choice:
    """Which batches of one state may go, oldest first; those that carry gaps never do."""

    state: int
    before_ms: int | None = None
    """Only what was confirmed or rejected, or, where it waits, sealed before."""
    without: Collection[int] = ()


def step(db: sqlite3.Connection, choice: Choice, most: int, devices: Iterable[str]) -> Gone:
    """Let go of at most so many batches; `devices` are those that one which cannot be opened may concern."""
    rows = list(islice(_candidates(db, choice), most))
    if choice.state != CONFIRMED:
        lost = sorted(number for number, _, _, reason in rows if reason != DAMAGED)
        for boot, numbers in groupby(lost, lambda number: _boot_of(db, number)):
            gap_table.add(db, _gaps(db, numbers, devices), boot)
    db.executemany(
        "DELETE FROM place WHERE state = ? AND settled_at_ms = ? AND number = ?",
        [(choice.state, settled_at_ms, number) for number, settled_at_ms, _, _ in rows],
    )
    db.executemany("DELETE FROM batch WHERE number = ?", [row[:1] for row in rows])
    gone = Gone(len(rows), sum(readings for _, _, readings, _ in rows))
    count(db, "confirmed" if choice.state == CONFIRMED else "evicted", gone)
    return gone


def _candidates(db: sqlite3.Connection, choice: Choice) -> Iterator[tuple[int, int, int, str | None]]:
    condition = ""
    parameters = [choice.state]
    if choice.before_ms is not None and choice.state == WAITING:
        oldest = "SELECT number FROM place WHERE state = ? AND is_gap = 0 ORDER BY settled_at_ms, number LIMIT ?"
        sealed = "(SELECT sealed_at_ms FROM batch WHERE batch.number = place.number)"
        condition = f"AND settled_at_ms = 0 AND number IN ({oldest}) AND {sealed} < ?"
        parameters += [choice.state, MOST_LOOKED_AT, choice.before_ms]
    elif choice.before_ms is not None:
        condition = "AND settled_at_ms < ?"
        parameters.append(choice.before_ms)
    found = db.execute(
        f"SELECT number, settled_at_ms, readings, reason FROM place WHERE state = ? AND is_gap = 0 {condition}"  # noqa: S608 - of three texts
        " ORDER BY settled_at_ms, number",
        parameters,
    )
    return (row for row in found if row[0] not in choice.without and not _is_strange(choice.state, row[1], row[3]))


def _is_strange(state: int, settled_at_ms: int, reason: str | None) -> bool:
    """Whether it is the disk that has confirmed or rejected a batch: that one must not go without a gap."""
    return (state in (CONFIRMED, REJECTED) and settled_at_ms <= 0) or (state == CONFIRMED and reason is not None)


def count(db: sqlite3.Connection, name: str, gone: Gone) -> None:
    """Add to a total what is no longer kept."""
    for total, value in ((f"{name}_batches", gone.batches), (f"{name}_readings", gone.readings)):
        db.execute(
            "INSERT INTO total VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            (total, value),
        )


def read_batch(db: sqlite3.Connection, number: int) -> SealedBatch | None:
    """Read one batch; None where it is not kept."""
    row = db.execute(f"SELECT {BATCH_COLUMNS} FROM batch WHERE number = ?", (number,)).fetchone()  # noqa: S608 - a constant
    return SealedBatch(*row) if row else None


def _boot_of(db: sqlite3.Connection, number: int) -> int | None:
    """Return the boot from whose start the times of a batch count; None where they are Unix time."""
    found = f"SELECT boot FROM batch JOIN start USING (stream) WHERE number = ? AND sealed_at_ms < {EARLIEST_MS}"  # noqa: S608 - a constant
    row = db.execute(found, (number,)).fetchone()
    return row[0] if row else None


def _gaps(db: sqlite3.Connection, numbers: Iterable[int], devices: Iterable[str]) -> Iterator[Gap]:
    """Make the gaps of batches: one for each device and each run of numbers that follow each other."""
    run: dict[str, Gap] = {}
    last = None
    for number in numbers:
        if last is not None and number != last + 1:
            yield from run.values()
            run = {}
        for gap in _gaps_of(db, number, devices):
            before = run.get(gap.device, gap)
            run[gap.device] = gap if before is gap else _joined(before, gap)
        last = number
    yield from run.values()


def _joined(one: Gap, other: Gap) -> Gap:
    readings = None if one.readings is None or other.readings is None else one.readings + other.readings
    since_ms, until_ms = min(one.since_ms, other.since_ms), max(one.until_ms, other.until_ms)
    return Gap(one.device, since_ms, until_ms, one.reason, readings)


def _gaps_of(db: sqlite3.Connection, number: int, devices: Iterable[str]) -> list[Gap]:
    batch = read_batch(db, number)
    gaps: dict[str, Gap] = {}
    if batch is None:
        return damaged(db, number, devices)
    try:
        for sample in batch.samples():
            at_ms = sample.measured_at_ms
            gap = Gap(sample.device, at_ms, at_ms, "quota", len(sample.readings))
            gaps[gap.device] = _joined(gaps[gap.device], gap) if gap.device in gaps else gap
    except MessnetzError:
        return damaged(db, number, devices)
    return list(gaps.values())


def damaged(db: sqlite3.Connection, number: int, devices: Iterable[str]) -> list[Gap]:
    """Make the gaps of a batch that cannot be opened: it may concern any device that the spool ever saw.

    Their times are Unix time where the batch's are.
    """
    since_ms, until_ms = stretch(db, number, number)
    batch = read_batch(db, number)
    if batch is not None and batch.is_head_sound:
        if batch.first_ms < EARLIEST_MS:
            return gap_table.of_all(devices, batch.first_ms, batch.last_ms, "damaged")
        since_ms, until_ms = min(batch.first_ms, since_ms), max(batch.last_ms, until_ms)
    return gap_table.of_all(devices, since_ms, until_ms, "damaged")


def stretch(
    db: sqlite3.Connection, first: int, last: int, oldest_ms: int | None = None, now_ms: int | None = None
) -> tuple[int, int]:
    """Return from when to when the readings of the batches from `first` to `last` were made, as their neighbours say.

    Neighbours without a time tell nothing. Where there is none before, they begin with `oldest_ms`; where there is
    none behind, they end with `now_ms`.
    """
    placed = f"sealed_at_ms >= {EARLIEST_MS}"
    before = db.execute(
        f"SELECT min(first_ms, sealed_at_ms) FROM batch WHERE number < ? AND {placed} ORDER BY number DESC",  # noqa: S608 - a constant
        (first,),
    )
    after = db.execute(
        f"SELECT max(last_ms, sealed_at_ms) FROM batch WHERE number > ? AND {placed} ORDER BY number",  # noqa: S608 - a constant
        (last,),
    )
    since, until = before.fetchone(), after.fetchone()
    since_ms = since[0] if since else oldest_ms
    until_ms = until[0] if until else now_ms
    known = [time for time in (since_ms, until_ms) if time is not None] or [EARLIEST_MS]
    return known[0], max(known)
