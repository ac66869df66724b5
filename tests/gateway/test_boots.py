"""Batches that were sealed without a time: placed once, in order, whatever ends the agent in between."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from base.build_date import BUILT_AT_MS
from gateway import spool_schema
from gateway.spool import Limits, Settled, Spool
from gateway.spool_schema import REJECTED
from gateway.stamps import GRID_MS, Timing
from wire import batch as wire_batch
from wire.errors import BadMessageError
from wire.gaps import Gap
from wire.readings import Flag, Reading, Sample

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_795_000_000_000
OFFSET_MS = NOW_MS - 600_000
TIMING = Timing("boot-1", OFFSET_MS, "kernel", OFFSET_MS, 0)
ESTIMATED, UNSYNCED = Flag.TIME_ESTIMATED.value, Flag.CLOCK_UNSYNCED.value


def _open(path: Path, boot: str = "boot-1", quota_bytes: int = 1 << 30) -> Spool:
    limits = Limits(quota_bytes=quota_bytes, floor_bytes=0)
    return Spool(path, limits=limits, boot=boot, devices=["main"], now_ms=lambda: NOW_MS)


def _samples(*at_ms: int, device: str = "main") -> list[Sample]:
    return [Sample(device, each, (Reading("voltage", float(each % 997), "V"),)) for each in at_ms]


def _seal(spool: Spool, *at_ms: int) -> list[int]:
    """Seal one batch without a time, right after its last sample."""
    return spool.seal([_samples(*at_ms)], Settled(), NOW_MS, boot_ms=max(at_ms) + 4)


def _place(spool: Spool) -> None:
    while spool.place(1):
        pass


def _times(spool: Spool) -> list[int]:
    return [sample.measured_at_ms for batch in spool.next_to_send(1000) for sample in batch.samples()]


def _flags(spool: Spool) -> set[int]:
    samples = [sample for batch in spool.next_to_send(1000) for sample in batch.samples()]
    return {reading.flags for sample in samples for reading in sample.readings if reading.quantity == "voltage"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the spool lies."""
    return tmp_path / "spool.sqlite"


def test_a_batch_without_time_is_on_disk_counted_and_never_sent(path: Path) -> None:
    """Nor would a collector take it: its times are below what RFC 8428 calls absolute."""
    spool = _open(path)
    (number,) = _seal(spool, 4000, 8000)
    _place(spool)
    assert spool.next_to_send(10) == []
    totals = spool.totals()
    assert (totals.waiting_batches, totals.waiting_readings, totals.sealed_batches) == (1, 2, 1)
    batch = spool.get(number)
    assert batch is not None
    assert batch.is_sound
    with pytest.raises(BadMessageError, match="relative time"):
        wire_batch.open_pack(*wire_batch.open_header(batch.payload()))
    spool.close()


def test_when_the_time_is_known_it_is_placed_and_sent_under_its_number(path: Path) -> None:
    """Readings, the time of sealing, and what is done with samples that have their time."""
    spool = _open(path)
    numbers = _seal(spool, 4000, 8000) + _seal(spool, 12_000)
    assert spool.keep_time(TIMING) == TIMING
    marked: list[Sample] = []

    def mark(sample: Sample) -> Sample:
        marked.append(sample)
        return sample

    assert spool.place(16, mark) == 2
    assert spool.place(16, mark) == 0
    batches = spool.next_to_send(10)
    assert [batch.number for batch in batches] == numbers
    assert [batch.sealed_at_ms for batch in batches] == [OFFSET_MS + 8004, OFFSET_MS + 12_004]
    assert [sample for batch in batches for sample in batch.samples()] == marked
    assert [sample.measured_at_ms for sample in marked] == [OFFSET_MS + each for each in (4000, 8000, 12_000)]
    assert [sample.readings for sample in marked] == [s.readings for s in _samples(4000, 8000, 12_000)]
    spool.close()


def test_the_collectors_time_shows_on_what_it_placed(path: Path) -> None:
    """Flag 16, also where the kernel has spoken since."""
    spool = _open(path)
    _seal(spool, 4000)
    borrowed = Timing("boot-1", OFFSET_MS, "collector", OFFSET_MS, UNSYNCED)
    spool.keep_time(borrowed)
    kernels = borrowed._replace(offset_ms=OFFSET_MS + 2000, origin="kernel")
    assert spool.keep_time(kernels) == kernels
    _place(spool)
    assert (_times(spool), _flags(spool)) == ([OFFSET_MS + 4000], {UNSYNCED})
    spool.close()


def test_a_kill_at_any_moment_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    """The first placing that was committed holds, whatever the next agent thinks of the time."""
    spool = _open(path)
    for index in range(5):
        _seal(spool, 4000 * index + 4, 4000 * index + 8)
    spool.keep_time(TIMING)
    payloads = []
    for kill in range(6):
        copy = tmp_path / str(kill)
        copy.mkdir()
        for file in tmp_path.glob("spool.sqlite*"):
            shutil.copy(file, copy)
        after = _open(copy / "spool.sqlite")
        other = after.keep_time(Timing("boot-1", OFFSET_MS + 40, "kernel", OFFSET_MS + 40, UNSYNCED))
        assert (other.placing_ms, other.placing_flags) == (OFFSET_MS, 0)
        _place(after)
        payloads.append([batch.payload() for batch in after.next_to_send(10)])
        after.close()
        spool.place(1)
    spool.close()
    assert len(payloads[0]) == 5
    assert all(found == payloads[0] for found in payloads)


def test_an_agent_that_starts_again_in_the_same_boot_recalls_its_time(path: Path) -> None:
    """And what lies there without one waits on for it."""
    spool = _open(path)
    _seal(spool, 4000)
    spool.close()
    spool = _open(path)
    assert spool.past().timing is None
    _seal(spool, 8000)
    spool.keep_time(TIMING)
    spool.close()
    spool = _open(path)
    assert spool.past().timing == TIMING
    assert spool.past().latest_ms == OFFSET_MS + 8004
    _place(spool)
    assert _times(spool) == [OFFSET_MS + 4000, OFFSET_MS + 8000]
    assert _flags(spool) == {0}
    spool.close()


def test_two_boots_in_a_row_that_never_learned_the_time_are_placed_after_the_last_known(path: Path) -> None:
    """Each begins where the one before has ended, with its own duration; flag 8, and in their order."""
    spool = _open(path, "boot-1")
    spool.keep_time(TIMING)
    spool.seal([_samples(NOW_MS)], Settled(), NOW_MS + 4)
    spool.close()
    for boot in ("boot-2", "boot-3"):
        spool = _open(path, boot)
        _seal(spool, 5000, 65_000)
        spool.close()
    spool = _open(path, "boot-4")
    known_ms = spool.past().latest_ms
    _seal(spool, 1000)
    _place(spool)
    first, *times = _times(spool)
    assert (first, times) == (NOW_MS, sorted(times))
    assert [times[1] - times[0], times[3] - times[2]] == [60_000, 60_000]
    assert 0 < times[0] - NOW_MS - 5000 < 100
    assert 0 < times[2] - times[1] - 5000 < 100
    assert known_ms is not None
    assert times[3] < known_ms <= times[3] + 2 * GRID_MS
    assert _flags(spool) == {0, ESTIMATED}
    spool.close()


def test_where_no_time_was_ever_known_it_is_the_build_date(path: Path) -> None:
    """Nothing was read before this release was made."""
    spool = _open(path, "boot-1")
    _seal(spool, 5000)
    spool.close()
    spool = _open(path, "boot-2")
    _place(spool)
    assert 0 < _times(spool)[0] - BUILT_AT_MS - 5000 < 100
    spool.close()


def test_a_stop_is_declared_without_time_and_gets_its_own(path: Path) -> None:
    """From the last seal of the boot before to the first reading of this one."""
    spool = _open(path, "boot-0")
    spool.seal([_samples(NOW_MS - 700_000)], Settled(), NOW_MS - 700_000)
    spool.close()
    spool = _open(path)
    spool.declare_stopped(["main"], 4000)
    _seal(spool, 4000)
    assert spool.gaps() == []
    spool.close()
    spool = _open(path)
    spool.declare_stopped(["main"], 9000)
    _seal(spool, 9000)
    spool.keep_time(TIMING)
    assert spool.gaps() == [Gap("main", NOW_MS - 700_000, OFFSET_MS + 9000, "stopped")]
    spool.close()


def test_losses_without_time_are_gaps_of_their_boot(path: Path) -> None:
    """They are sealed when it has a time."""
    spool = _open(path)
    spool.seal([], Settled(), NOW_MS, gaps=[Gap("main", 1000, 3000, "disk", 2)], boot_ms=4000)
    assert spool.next_to_send(10) == []
    spool.keep_time(TIMING)
    spool.seal([], Settled(), NOW_MS)
    assert spool.gaps() == [Gap("main", OFFSET_MS + 1000, OFFSET_MS + 3000, "disk", 2)]
    assert [batch.sealed_at_ms for batch in spool.next_to_send(10)] == [NOW_MS]
    spool.close()


def test_what_a_quota_takes_before_it_has_a_time_is_declared_with_it(path: Path) -> None:
    """A gateway that is forgotten for months keeps its bound, and says what it has lost."""
    spool = _open(path, quota_bytes=60_000)
    sealed = [4000 * index for index in range(1, 400)]
    for at_ms in sealed:
        _seal(spool, at_ms)
    spool.keep_time(TIMING)
    _place(spool)
    kept = set(_times(spool))
    lost = [OFFSET_MS + at_ms for at_ms in sealed if OFFSET_MS + at_ms not in kept]
    assert len(lost) > 20
    gaps = spool.gaps()
    assert sum(gap.readings or 0 for gap in gaps) == len(lost)
    assert all(any(gap.since_ms <= at_ms <= gap.until_ms for gap in gaps) for at_ms in lost)
    assert all(OFFSET_MS <= gap.since_ms <= gap.until_ms <= OFFSET_MS + sealed[-1] for gap in gaps)
    spool.close()


def test_a_batch_that_the_disk_has_damaged_is_set_aside_and_the_rest_is_placed(path: Path) -> None:
    """Its gap has the time that it would have had."""
    spool = _open(path)
    first, second = _seal(spool, 4000, 8000) + _seal(spool, 12_000)
    spool.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE batch SET crc = crc + 1 WHERE number = ?", (first,))
    spool = _open(path)
    spool.keep_time(TIMING)
    _place(spool)
    assert [batch.number for batch in spool.next_to_send(10)] == [second]
    assert spool.gaps() == [Gap("main", OFFSET_MS + 4000, OFFSET_MS + 8000, "damaged")]
    assert spool._db.execute("SELECT state FROM place WHERE number = ?", (first,)).fetchone() == (REJECTED,)
    spool.close()


@pytest.mark.parametrize("begin", [0, 1024], ids=["the first page", "the tables behind it"])
def test_a_broken_spool_keeps_what_has_no_time(begin: int, path: Path) -> None:
    """It is saved as any other; where the disk has lost its boot, too, it is placed as one that has ended."""
    spool = _open(path)
    for index in range(40):
        _seal(spool, 4000 * index + 4)
    spool.close()
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(b"\xff" * 600)
    spool = _open(path, "boot-1")
    _place(spool)
    spool.keep_time(TIMING)
    _place(spool)
    times = _times(spool)
    placed = len([at_ms for at_ms in times if at_ms >= BUILT_AT_MS])
    assert placed == len(times) == len(set(times))
    assert placed >= 40 or spool.gaps()
    assert spool.totals().waiting_batches == len(spool.next_to_send(1000))
    spool.close()


def test_a_spool_of_the_first_schema_is_carried_over(path: Path) -> None:
    """With what it held."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_schema, "MIGRATIONS", spool_schema.MIGRATIONS[:1])
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            spool_schema.prepare(db, path)
            assert not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'boot'").fetchone()
            db.execute("INSERT INTO gap (device, reason, since_ms, until_ms) VALUES ('a', 'stopped', 1, 2)")
            db.execute("INSERT INTO total VALUES ('alive_ms', ?)", (NOW_MS,))
    spool = _open(path)
    assert spool.gaps() == [Gap("a", 1, 2, "stopped")]
    _seal(spool, 4000)
    assert spool.past().latest_ms == NOW_MS
    spool.close()


def test_boots_and_starts_that_nothing_needs_are_forgotten(path: Path) -> None:
    """A machine that restarts every night for years keeps a table of a few rows."""
    for boot in range(20):
        spool = _open(path, f"boot-{boot}")
        _seal(spool, 4000)
        offset_ms = NOW_MS + boot * 86_400_000
        spool.keep_time(Timing(f"boot-{boot}", offset_ms, "kernel", offset_ms, 0))
        _place(spool)
        rows = spool._db.execute("SELECT (SELECT count(*) FROM boot), (SELECT count(*) FROM start)").fetchone()
        spool.close()
        assert max(rows) <= 3
