"""Where a batch stands carries no checksum: what the disk makes of it must let nothing go."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gateway.spool import EXPIRE_MS, Settled, Spool, read_totals
from gateway.stamps import Timing
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_790_000_000_000
WEEK_MS = 7 * 86_400_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the spool lies."""
    return tmp_path / "spool.sqlite"


def _open(path: Path, keep_confirmed_ms: int = WEEK_MS) -> Spool:
    return Spool(path, keep_confirmed_ms=keep_confirmed_ms)


def _sample(number: int) -> Sample:
    return Sample("main", NOW_MS + number, (Reading("active_power", float(number), "W"),))


def _change_place(path: Path, change: str) -> None:
    """Let the disk change where a batch stands; the table remains sound in all that SQLite checks."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"UPDATE place SET {change}")  # noqa: S608 - of the cases below


def _waiting(spool: Spool) -> list[tuple[int, list[Sample]]]:
    return [(batch.number, batch.samples()) for batch in spool.next_to_send(100)]


@pytest.mark.parametrize(
    "change",
    ["state = 1", "state = 3", "state = 0", "state = 6", "settled_at_ms = 512", "state = 3, settled_at_ms = 1"],
)
@pytest.mark.parametrize("number", [2, 4, 6])
def test_a_batch_that_the_disk_has_settled_waits_again(path: Path, number: int, change: str) -> None:
    """Else it would go as one that the database has, without a gap; or be dated a second time."""
    spool = _open(path)
    spool.keep_time(Timing(spool._boot, NOW_MS, "kernel", NOW_MS, 0))
    spool.seal([[_sample(n)] for n in range(1, 7)], Settled(), NOW_MS)
    spool.mark(Settled(frozenset({1}), {5: "no"}), NOW_MS)
    before = _waiting(spool)
    spool.close()
    _change_place(path, f"{change} WHERE number = {number}")
    assert read_totals(path).sealed_batches == 6
    spool = _open(path)
    spool.place(100)
    assert _waiting(spool) == before
    assert spool.gaps() == []
    assert (spool.totals().confirmed_batches, spool.totals().rejected_batches) == (1, 1)
    spool.close()


def test_a_rejected_batch_that_the_disk_has_confirmed_leaves_no_less_than_a_gap(path: Path) -> None:
    """Its reason tells them apart."""
    spool = _open(path, keep_confirmed_ms=0)
    spool.seal([[_sample(1)]], Settled(), NOW_MS)
    spool.mark(Settled(rejected={1: "no"}), NOW_MS)
    spool._db.execute("UPDATE place SET state = 1")
    spool.evict(NOW_MS + 1000)
    assert spool.get(1) is not None
    spool.close()


def test_a_place_out_of_its_order_is_found(path: Path) -> None:
    """SQLite's own check passes over it, and its look-ups do so as they like."""
    spool = _open(path)
    spool.seal([[_sample(n)] for n in range(1, 7)], Settled(), NOW_MS)
    spool.mark(Settled(frozenset({1, 2})), NOW_MS)
    before = _waiting(spool)
    spool.close()
    data, place = path.read_bytes(), bytes([7, 1, 8, 1, 9, 8, 0, 2, 4])  # kinds; state and number
    assert data.count(place) == 1
    path.write_bytes(data.replace(place, place[:7] + bytes([1, 4])))
    spool = _open(path)
    assert _waiting(spool) == before
    spool.mark(Settled(frozenset({4})), NOW_MS)
    assert _waiting(spool) == [each for each in before if each[0] != 4]
    assert spool.totals().confirmed_batches == 3
    spool.close()


def test_a_batch_that_the_disk_settles_meanwhile_is_found_with_the_next_tidying(path: Path) -> None:
    """An agent runs for months."""
    spool = _open(path, keep_confirmed_ms=0)
    spool.seal([[_sample(n)] for n in range(1, 4)], Settled(), NOW_MS)
    spool._db.execute("UPDATE place SET state = 1 WHERE number = 1")
    spool.seal([[_sample(4)]], Settled(), NOW_MS + EXPIRE_MS)
    assert [number for number, _ in _waiting(spool)] == [1, 2, 3, 4]
    assert spool.totals().evicted_batches == spool.totals().confirmed_batches == 0
    spool.close()
