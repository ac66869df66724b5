"""The spool: what is sealed stays, and nothing is let go without the collector's word."""

from __future__ import annotations

import fcntl
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from base.errors import PermanentError, TransientError
from base.sqlite import transaction
from gateway import eviction, rescue, salvage, spool_file, spool_schema
from gateway import spool as spools
from gateway.spool import ALIVE_MS, EXPIRE_MS, Limits, SealedBatch, Settled, Spool, read_totals
from gateway.spool_schema import JUMP, REJECTED, WAITING
from wire import batch as wire_batch
from wire.gaps import Gap, sample
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.eviction import Choice, Gone

NOW_MS = 1_790_000_000_000
WEEK_MS = 7 * 86_400_000


def _samples(count: int = 3, device: str = "main") -> list[Sample]:
    reading = Reading("active_power", 230.1, "W")
    return [Sample(device, NOW_MS + index, (reading,)) for index in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the spool lies."""
    return tmp_path / "spool.sqlite"


def _open(path: Path) -> Spool:
    return Spool(path, keep_confirmed_ms=WEEK_MS)


def _rows(path: Path) -> list[tuple[int, int]]:
    """Read number and state through a connection of its own, as nobody but a test may."""
    with closing(sqlite3.connect(path)) as second, second:
        return second.execute("SELECT number, state FROM place ORDER BY number").fetchall()


def _samples_of(batch: SealedBatch) -> list[Sample]:
    header, packed = wire_batch.open_header(batch.payload())
    assert (header.stream, header.number) == (batch.stream, batch.number)
    return wire_batch.open_pack(header, packed)


def test_a_sealed_batch_comes_back_whole(path: Path) -> None:
    """What was sealed is what is sent, under its stream and number."""
    spool = _open(path)
    assert spool.seal([_samples(), _samples(2)], Settled(), NOW_MS) == [1, 2]
    batches = spool.next_to_send(10)
    assert [_samples_of(batch) for batch in batches] == [_samples(), _samples(2)]
    assert {batch.stream for batch in batches} == {spool.stream}
    spool.close()
    assert _rows(path) == [(1, WAITING), (2, WAITING)]


def test_the_file_is_set_for_flash_and_power_cuts(path: Path) -> None:
    """Pages of 1 KiB, a write-ahead log, and a sync with every commit."""
    spool = _open(path)
    pragmas = {
        name: spool._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "journal_mode", "synchronous")
    }
    assert pragmas == {"page_size": 1024, "journal_mode": "wal", "synchronous": 2}
    spool.close()


def test_there_is_no_memory_shared_with_others(path: Path) -> None:
    """No `-shm` beside the file, new or opened again: whoever touches a mapped page on a full disk dies of SIGBUS."""
    for at_ms in (NOW_MS, NOW_MS + 1):
        spool = _open(path)
        spool.seal([_samples()], Settled(), at_ms)
        assert not path.with_name(path.name + "-shm").exists()
        spool.close()


def test_a_restart_begins_a_stream_and_goes_on_counting(path: Path) -> None:
    """Streams are never the same, numbers never used twice; a batch keeps the stream it was sealed under."""
    first = _open(path)
    first.seal([_samples()], Settled(), NOW_MS)
    first.close()
    second = _open(path)
    assert second.stream != first.stream
    assert second.seal([_samples()], Settled(), NOW_MS) == [2]
    assert [batch.stream for batch in second.next_to_send(10)] == [first.stream, second.stream]
    second.close()


def test_numbers_are_not_used_again_after_all_batches_are_gone(path: Path) -> None:
    """An empty table does not begin at 1."""
    spool = Spool(path, keep_confirmed_ms=0)
    spool.seal([_samples()], Settled(), NOW_MS)
    spool.mark(Settled(frozenset({1})), NOW_MS)
    spool.evict(NOW_MS + 1)
    assert spool.get(1) is None
    assert spool.seal([_samples()], Settled(), NOW_MS) == [2]
    spool.close()


def test_confirmed_batches_are_marked_with_the_next_seal_and_kept_a_while(path: Path) -> None:
    """A confirm costs no commit of its own; the batch stays for `keep_confirmed`, out of rotation."""
    spool = _open(path)
    spool.seal([_samples(), _samples()], Settled(), NOW_MS)
    spool.seal([_samples()], Settled(frozenset({1})), NOW_MS + 1)
    assert [batch.number for batch in spool.next_to_send(10)] == [2, 3]
    assert spool.get(1) is not None
    spool.seal([_samples()], Settled(), NOW_MS + 1 + WEEK_MS)
    assert spool.get(1) is not None, "kept for the whole week"
    spool.seal([_samples()], Settled(), NOW_MS + WEEK_MS + EXPIRE_MS + 1)
    assert spool.get(1) is None, "let go of within the hour after"
    spool.close()


def test_a_rejected_batch_is_kept_out_of_rotation_with_its_reason(path: Path) -> None:
    """It is never sent again by itself, and never deleted as confirmed ones are."""
    spool = _open(path)
    spool.seal([_samples()], Settled(), NOW_MS)
    spool.mark(Settled(rejected={1: "no pack"}), NOW_MS)
    spool.mark(Settled(), NOW_MS + 2 * WEEK_MS)
    assert spool.next_to_send(10) == []
    assert spool.get(1) is not None
    spool.close()
    with closing(sqlite3.connect(path)) as second, second:
        assert second.execute("SELECT state, reason FROM place").fetchall() == [(REJECTED, "no pack")]


def test_a_second_word_on_a_batch_changes_nothing(path: Path) -> None:
    """A confirm after a reject, or twice, is not counted again."""
    spool = _open(path)
    spool.seal([_samples(5)], Settled(), NOW_MS)
    spool.mark(Settled(frozenset({1})), NOW_MS)
    spool.mark(Settled(frozenset({1}), {1: "late"}), NOW_MS)
    totals = spool.totals()
    assert (totals.confirmed_readings, totals.rejected_readings) == (5, 0)
    spool.close()


def test_totals_outlive_the_batches_and_the_agent(path: Path) -> None:
    """They are counted since the spool was made, in the same transactions."""
    spool = Spool(path, keep_confirmed_ms=0)
    spool.seal([_samples(3), _samples(4)], Settled(), NOW_MS)
    spool.mark(Settled(frozenset({1})), NOW_MS)
    spool.evict(NOW_MS + 1)
    spool.close()
    totals = read_totals(path)
    assert (totals.sealed_batches, totals.sealed_readings, totals.confirmed_batches, totals.confirmed_readings) == (
        2,
        7,
        1,
        3,
    )


def test_a_second_agent_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes on one spool would corrupt it."""
    monkeypatch.setattr(spool_file, "LOCK_WAIT_S", 0.1)
    spool = _open(path)
    with pytest.raises(TransientError, match="another agent"):
        _open(path)
    spool.close()
    _open(path).close()


def test_a_spool_of_a_newer_release_is_moved_aside_and_read(path: Path) -> None:
    """Going back to an older release keeps the agent running: what this release understands is kept."""
    spool = _open(path)
    spool.seal([_samples()], Settled(), NOW_MS)
    spool.close()
    with closing(sqlite3.connect(path)) as second, second:
        second.execute("PRAGMA user_version = 99")
    spool = _open(path)
    assert [_samples_of(batch) for batch in spool.next_to_send(10) if batch.number == 1] == [_samples()]
    assert spool.seal([_samples()], Settled(), NOW_MS)[0] > JUMP
    spool.close()
    assert len(list(path.parent.glob("*.damaged-*Z"))) == 1


def test_a_rescue_shows_that_it_goes_on(path: Path) -> None:
    """Now and then, in time with what it saves: whoever watches over the agent must not take it for dead."""
    spool = _open(path)
    spool.seal([_samples()] * 200, Settled(), NOW_MS)
    spool.close()
    turns: list[int] = []
    rescue.rescue(path, rescue.Known(frozenset(), 200, NOW_MS, NOW_MS), lambda: turns.append(1))
    assert len(turns) >= 3
    spool = _open(path)
    assert len(spool.next_to_send(1000)) == 200
    spool.close()


def test_a_rescue_without_room_saves_what_waits_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of pages: confirmed batches are in the database, the others nowhere else."""
    spool = _open(path)
    numbers = spool.seal([_samples(300)] * 200, Settled(), NOW_MS)
    spool.mark(Settled(frozenset(numbers[:150])), NOW_MS)
    spool.close()
    with closing(sqlite3.connect(path)) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]

    def prepare_small(db: sqlite3.Connection, new: Path) -> None:
        spool_schema.prepare(db, new)
        db.execute(f"PRAGMA max_page_count = {pages * 3 // 4}").fetchall()

    monkeypatch.setattr(rescue, "prepare", prepare_small)
    rescue.rescue(path, rescue.Known(frozenset(), 200, NOW_MS, NOW_MS))
    spool = _open(path)
    assert {batch.number for batch in spool.next_to_send(1000)} >= set(numbers[150:])
    assert sum(spool.get(number) is not None for number in numbers[:150]) > 10
    spool.close()


def test_a_missing_spool_is_said(path: Path) -> None:
    """Asking for the totals of a gateway that never ran makes no file."""
    with pytest.raises(PermanentError, match="has the agent ever run"):
        read_totals(path)
    assert not path.exists()


def test_what_is_dealt_with_is_left_out(path: Path) -> None:
    """Oldest first, whatever is in flight; a low number that comes back is found again."""
    spool = _open(path)
    spool.seal([_samples()] * 5, Settled(), NOW_MS)
    assert [batch.number for batch in spool.next_to_send(2, {1, 3})] == [2, 4]
    assert [batch.number for batch in spool.next_to_send(10, {2, 4})] == [1, 3, 5]
    assert [batch.number for batch in spool.next_to_send(2, {5}, newest=True)] == [4, 3]
    spool.close()


def _damage(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as second, second:
        (pack,) = second.execute("SELECT pack FROM batch WHERE number = ?", (number,)).fetchone()
        damaged = pack[:-3] + bytes([pack[-3] ^ 0x10]) + pack[-2:]
        second.execute("UPDATE batch SET pack = ? WHERE number = ?", (damaged, number))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("stream", "'0123456789abcdef'"),
        ("stream", "'?'"),
        ("sealed_at_ms", "sealed_at_ms + (1 << 40)"),
        ("sealed_at_ms", "1"),
        ("readings", "readings + 1"),
        ("first_ms", "1"),
        ("last_ms", "last_ms + (1 << 40)"),
    ],
)
def test_a_batch_whose_head_the_disk_has_damaged_is_set_aside(path: Path, column: str, value: str) -> None:
    """Sent with it, nobody would confirm it: it would be of another stream, or of the future, for ever."""
    spool = _open(path)
    spool.seal([_samples()], Settled(), NOW_MS)
    spool.seal([_samples()], Settled(), NOW_MS + 1000)
    spool.seal([_samples()], Settled(), NOW_MS + 2000)
    spool.close()
    with closing(sqlite3.connect(path)) as second, second:
        second.execute(f"UPDATE batch SET {column} = {value} WHERE number = 2")  # noqa: S608 - of the cases above
    spool = _open(path)
    assert [batch.number for batch in spool.next_to_send(10)] == [1, 3]
    assert spool.totals().rejected_batches == 1
    assert spool.gaps()
    for gap in spool.gaps():
        assert gap.reason == "damaged"
        assert NOW_MS - 3_600_000 < gap.since_ms <= gap.until_ms < NOW_MS + 3_600_000
    spool.close()


def test_a_gap_whose_batch_the_disk_has_damaged_is_sealed_again(path: Path) -> None:
    """What is lost is said, also where the word of it was lost on the way; and no other gap is made of it."""
    gap = Gap("main", NOW_MS - 5000, NOW_MS, "disk", 5)
    spool = _open(path)
    spool.seal([], Settled(), NOW_MS, gaps=[gap])
    spool.close()
    _damage(path, 1)
    spool = _open(path)
    assert spool.next_to_send(10) == []
    spool.seal([], Settled(), NOW_MS + 1)
    assert [_samples_of(batch) for batch in spool.next_to_send(10)] == [[sample(gap)]]
    assert spool.gaps() == [gap]
    spool.close()


def test_looking_for_what_is_too_old_is_bounded(path: Path) -> None:
    """However long the collector has been away, no more than the oldest batches are looked at."""
    spool = _open(path)
    with transaction(spool._db):
        spool._db.executemany(
            "INSERT INTO place VALUES (?, 0, ?, 1, 0, NULL)", ((WAITING, number) for number in range(1, 20_001))
        )
    looks = 0

    def count() -> int:
        nonlocal looks
        looks += 1
        return 0

    spool._db.set_progress_handler(count, 1000)
    spool.evict(NOW_MS)
    spool._db.set_progress_handler(None, 0)
    assert looks < 100, "thousand steps of SQLite's machine"
    spool.close()


def test_a_batch_that_the_disk_has_damaged_never_becomes_a_measurement(path: Path) -> None:
    """Any flipped bit of a pack is found by the checksum of the seal; the batch is set aside and kept."""
    spool = _open(path)
    spool.seal([_samples(), _samples(2)], Settled(), NOW_MS)
    spool.close()
    _damage(path, 1)
    spool = _open(path)
    assert [batch.number for batch in spool.next_to_send(10)] == [2]
    assert spool.totals().rejected_batches == 1
    spool.close()
    assert _rows(path) == [(1, REJECTED), (2, WAITING)]


def test_looking_takes_nothing_from_an_agent(path: Path) -> None:
    """Totals are read without writing; an agent that starts meanwhile waits a moment for who looks."""
    _open(path).close()
    with path.with_name(path.name + ".lock").open() as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        threading.Timer(0.2, lambda: fcntl.flock(look, fcntl.LOCK_UN)).start()
        spool = _open(path)
    with pytest.raises(TransientError, match="another agent"):
        read_totals(path)
    path.with_name(path.name + ".rescue").touch()
    with pytest.raises(TransientError, match="the agent saves what can be read of it, and then starts"):
        read_totals(path)
    spool.close()


def test_a_failed_seal_leaves_nothing_behind(path: Path) -> None:
    """A transaction that fails half way has not happened: no batch, no count, no mark."""
    spool = _open(path)
    spool.seal([_samples()], Settled(), NOW_MS)
    before = spool.totals()
    spool._db.execute("CREATE TRIGGER fail BEFORE UPDATE ON place BEGIN SELECT RAISE(FAIL, 'disk I/O error'); END")
    with pytest.raises((TransientError, PermanentError)):
        spool.seal([_samples()], Settled(frozenset({1})), NOW_MS + 1)
    assert spool.totals() == before
    assert [batch.number for batch in spool.next_to_send(10)] == [1]
    spool._db.execute("DROP TRIGGER fail")
    assert spool.seal([_samples()], Settled(frozenset({1})), NOW_MS + 1) == [2]
    spool.close()


_WRITER = """
import sys
from pathlib import Path
from gateway.spool import Settled, Spool
from wire.gaps import Gap, sample
from wire.readings import Reading, Sample
spool = Spool(Path(sys.argv[1]), keep_confirmed_ms=10**12)
for index in range(100_000):
    sample = Sample("main", 1_790_000_000_000 + index, (Reading("active_power", float(index), "W"),))
    print(spool.seal([[sample]], Settled(), 1)[0], flush=True)
"""


@pytest.mark.slow
def test_what_a_seal_returned_survives_kill_9(path: Path) -> None:
    """The process dies in the middle of sealing; every number that it was told is there, whole and once."""
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(50)]
        writer.kill()
        told += [int(line) for line in writer.stdout.read().split("\n") if line.isdigit()]
    spool = _open(path)
    batches = spool.next_to_send(100_000)
    spool.close()
    assert {batch.number for batch in batches} >= set(told)
    values = [sample.readings[0].value for batch in batches for sample in _samples_of(batch)]
    assert values == [float(index) for index in range(len(batches))]


def test_what_is_put_back_keeps_stream_and_number_and_is_sent_again(path: Path) -> None:
    """By the time of the collector's word or of the readings; what was put back waits, in the totals too."""
    spool = _open(path)
    spool.seal([_samples(), _samples()], Settled(), NOW_MS)
    spool.mark(Settled(frozenset({1}), {2: "no"}), NOW_MS + WEEK_MS)
    assert spool.resend(NOW_MS + 1000, NOW_MS + 2000) == (0, 0)
    assert spool.resend(NOW_MS + WEEK_MS, NOW_MS + WEEK_MS) == (2, 6)
    assert [(batch.stream, batch.number) for batch in spool.next_to_send(9)] == [(spool.stream, 1), (spool.stream, 2)]
    totals = spool.totals()
    assert (totals.waiting_batches, totals.confirmed_batches, totals.rejected_batches) == (2, 0, 0)
    spool.close()


def test_a_stop_is_declared_from_the_last_seal_and_never_backwards(path: Path) -> None:
    """A new spool has nothing to declare, nor has a clock that went back; a gap is sealed once and stays."""
    spool = _open(path)
    spool.declare_stopped(["main"], NOW_MS)
    assert spool.gaps() == []
    spool.seal([_samples()], Settled(), NOW_MS)
    spool.close()
    spool = _open(path)
    spool.declare_stopped(["main"], NOW_MS - 1)
    assert spool.gaps() == []
    spool.declare_stopped(["main"], NOW_MS + 5000)
    spool.seal([_samples()], Settled(), NOW_MS + 6000)
    assert spool.gaps() == [Gap("main", NOW_MS, NOW_MS + 5000, "stopped")]
    carried = [_samples_of(batch) for batch in spool.next_to_send(9)][-1]
    assert carried == [sample(spool.gaps()[0])]
    spool.close()


def test_a_stop_is_declared_although_no_batch_is_left_to_tell_of_the_time_before(path: Path) -> None:
    """All are confirmed and their week is over; when the last one was sealed is known to whoever dates a boot."""
    spool = Spool(path, boot="one", keep_confirmed_ms=0)
    spool.seal([_samples()], Settled(), NOW_MS + 100)
    spool.mark(Settled(frozenset({1})), NOW_MS + 200)
    assert spool.evict(NOW_MS + 300).batches == 1
    spool.close()
    with closing(Spool(path, boot="two", keep_confirmed_ms=0)) as spool:
        assert spool.past().latest_ms == NOW_MS + 100
        spool.declare_stopped(["main"], NOW_MS + 9000)
        assert spool.gaps() == [Gap("main", NOW_MS + 100, NOW_MS + 9000, "stopped")]


def test_what_is_salvaged_is_proved(path: Path) -> None:
    """A batch whose pack or head the disk has changed is none."""
    spool = _open(path)
    spool.seal([_samples() for _ in range(4)], Settled(), NOW_MS)
    spool.close()
    _damage(path, 2)
    with closing(sqlite3.connect(path)) as second, second:
        second.execute("UPDATE batch SET sealed_at_ms = sealed_at_ms + 1 WHERE number = 3")
    assert [batch.number for batch in salvage.batches(path)] == [1, 4]


def test_a_stop_is_declared_from_a_devices_last_sample_where_that_is_before_the_last_seal(path: Path) -> None:
    """It was perhaps being read while the others were sealed; what a gap has declared is not declared again."""
    with closing(_open(path)) as spool:
        early = [Sample(device, NOW_MS - 2000, (Reading("voltage", 230.0, "V"),)) for device in ("main", "solar")]
        spool.seal([early], Settled(), NOW_MS - 1500)
        spool.seal([_samples(device="main")], Settled(), NOW_MS)
    with closing(_open(path)) as spool:
        spool.declare_stopped(["main", "solar", "heat"], NOW_MS + 5000)
        spool.seal([], Settled(), NOW_MS + 6000)
        begins = {gap.device: gap.since_ms for gap in spool.gaps()}
        assert begins == {"main": NOW_MS, "solar": NOW_MS - 1999, "heat": NOW_MS}
    with closing(_open(path)) as spool:
        spool.declare_stopped(["solar"], NOW_MS + 9000)
        assert spool.gaps()[-1] == Gap("solar", NOW_MS + 5001, NOW_MS + 9000, "stopped")


def test_eviction_spares_what_is_in_flight_until_last_and_gaps_for_ever(path: Path) -> None:
    """Confirmed ones leave nothing behind, waiting ones a gap with its count; gap batches stay under any quota."""
    spool = Spool(path, limits=Limits(quota_bytes=0, floor_bytes=0))
    lost = Gap("solar", NOW_MS, NOW_MS + 1, "disk", 7)
    spool.seal([_samples()], Settled(), NOW_MS, gaps=[lost], in_flight=[1])
    spool.seal([], Settled(), NOW_MS)
    assert spool.get(1) is None, "nothing else was left to go"
    assert spool.gaps() == [lost, Gap("main", NOW_MS, NOW_MS + 2, "quota", 3)]
    assert [batch.number for batch in spool.next_to_send(9)] == [2, 3]
    spool.close()


def test_under_the_quota_goes_first_what_the_database_has(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then what it never takes, what waits, what has no time, what is in flight; of each the oldest."""
    gone: list[int] = []
    step = eviction.step

    def watched(db: sqlite3.Connection, choice: Choice, most: int, devices: Iterable[str]) -> Gone:
        before = [number for (number,) in db.execute("SELECT number FROM batch ORDER BY number")]
        done = step(db, choice, most, devices)
        kept = {number for (number,) in db.execute("SELECT number FROM batch")}
        gone.extend(number for number in before if number not in kept)
        return done

    spool = Spool(path, boot="this one", keep_confirmed_ms=WEEK_MS)
    in_flight = spool.seal([_samples(), _samples()], Settled(), NOW_MS)
    early = [Sample("main", 1000, (Reading("active_power", 230.1, "W"),))]
    unplaced = spool.seal([early, early], Settled(), NOW_MS, boot_ms=2000)
    waiting = spool.seal([_samples(), _samples()], Settled(), NOW_MS)
    rejected = spool.seal([_samples(), _samples()], Settled(), NOW_MS)
    confirmed = spool.seal([_samples(), _samples()], Settled(), NOW_MS)
    spool.mark(Settled(frozenset(confirmed), dict.fromkeys(rejected, "no")), NOW_MS)
    spool.close()
    monkeypatch.setattr(spools, "STEP_BATCHES", 1)
    monkeypatch.setattr(eviction, "step", watched)
    spool = Spool(path, boot="this one", keep_confirmed_ms=WEEK_MS, limits=Limits(quota_bytes=0, floor_bytes=0))
    spool.evict(NOW_MS, in_flight)
    assert gone == [*confirmed, *rejected, *waiting, *unplaced, *in_flight]
    spool.close()


def test_an_idle_agent_writes_seldom_and_is_known_to_have_run(path: Path) -> None:
    """Nothing to seal costs the disk nothing for ten minutes; then one small mark, so that no stop is overstated."""
    spool = _open(path)
    spool.seal([_samples()], Settled(), NOW_MS)
    before = spool._db.total_changes
    spool.seal([], Settled(), NOW_MS + ALIVE_MS - 1)
    assert spool._db.total_changes == before
    spool.seal([], Settled(), NOW_MS + ALIVE_MS)
    spool.close()
    spool = _open(path)
    spool.declare_stopped(["main"], NOW_MS + ALIVE_MS + 1)
    assert spool.gaps() == [Gap("main", NOW_MS + ALIVE_MS, NOW_MS + ALIVE_MS + 1, "stopped")]
    spool.close()
