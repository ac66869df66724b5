"""Random lives of a spool against a model: every sealed reading is delivered, still there, or declared as a gap."""

from __future__ import annotations

import os
import random
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from gateway import spool as spools
from gateway.spool import Limits, SealedBatch, Settled, Spool
from wire.gaps import UNTIL
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START_MS = 1_790_000_000_000
SEAL_MS = 30_000
DEVICES = ("main", "solar", "heat-pump")
WEEK_MS = 7 * 86_400_000


class Life:
    """A spool, and what a careful clerk writes down beside it."""

    def __init__(self, directory: Path, seed: int, quota_bytes: int) -> None:
        self.directory = directory
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.now_ms = START_MS
        self.sealed: dict[int, list[Sample]] = {}
        self.confirmed: set[int] = set()
        self._quota_bytes = quota_bytes
        self._lives = 0
        self.path = directory / "spool.sqlite"
        self.spool = self._open()

    def _open(self) -> Spool:
        limits = Limits(quota_bytes=self._quota_bytes, floor_bytes=0, keep_unconfirmed_ms=WEEK_MS)
        self.path.with_name(self.path.name + ".lock").touch()
        os.utime(self.path.with_name(self.path.name + ".lock"), (START_MS / 1000 - 1, START_MS / 1000 - 1))
        return Spool(self.path, keep_confirmed_ms=WEEK_MS, limits=limits, devices=DEVICES, now_ms=lambda: self.now_ms)

    def seal(self) -> None:
        """Seal up to three batches."""
        batches = []
        for _ in range(self.chance.randint(1, 3)):
            self.now_ms += SEAL_MS
            batches.append([self._sample(index) for index in range(self.chance.choice((1, 5, 60)))])
        for number, samples in zip(self.spool.seal(batches, Settled(), self.now_ms), batches, strict=True):
            assert number not in self.sealed, "a number was used twice"
            self.sealed[number] = samples

    def _sample(self, index: int) -> Sample:
        value = self.chance.uniform(0, 1e6)
        device = self.chance.choice(DEVICES)
        return Sample(device, self.now_ms - SEAL_MS + 100 * index, (Reading("active_power", value, "W"),))

    def settle(self) -> None:
        """Let the collector give its word on some of what is sent."""
        sent = [batch.number for batch in self.spool.next_to_send(8, newest=self.chance.random() < 0.3)]
        word = {number: self.chance.random() for number in sent}
        confirmed = frozenset(number for number in sent if word[number] < 0.6)
        self.spool.mark(Settled(confirmed, {n: "no" for n in sent if word[n] > 0.95}), self.now_ms)
        self.confirmed |= confirmed

    def resend(self) -> None:
        """Put a stretch back."""
        begin_ms = self.chance.randint(START_MS, self.now_ms)
        self.spool.resend(begin_ms, begin_ms + 40 * SEAL_MS)

    def evict(self) -> None:
        """Tidy up, or let some days go by."""
        self.spool.evict(self.now_ms)

    def restart(self) -> None:
        """Stop and start."""
        self.spool.close()
        self.now_ms += SEAL_MS
        self.spool = self._open()
        self.spool.declare_stopped(DEVICES, self.now_ms)

    def kill(self, damage: Callable[[Path], None] = lambda _: None) -> None:
        """Go on with the files as they lie on the disk at this moment."""
        self._lives += 1
        new = self.directory / str(self._lives)
        new.mkdir()
        for file in self.path.parent.glob("spool.sqlite*"):
            shutil.copy2(file, new / file.name)
        self.spool.close()
        self.path = new / "spool.sqlite"
        damage(self.path)
        self.now_ms += SEAL_MS
        self.spool = self._open()
        self.spool.declare_stopped(DEVICES, self.now_ms)

    def unaccounted(self) -> dict[int, list[Sample]]:
        """Count what is neither confirmed, nor kept and whole, nor declared; checks the totals on the way."""
        self.spool.seal([], Settled(), self.now_ms)
        kept = {number for number in self.sealed if self._is_kept(number)}
        declared = defaultdict(list)
        for gap in self.spool.gaps():
            declared[gap.device].append((gap.since_ms, gap.until_ms))
        missing: dict[int, list[Sample]] = {}
        for number in self.sealed.keys() - self.confirmed - kept:
            lost = [
                sample
                for sample in self.sealed[number]
                if not any(since <= sample.measured_at_ms <= until for since, until in declared[sample.device])
            ]
            if lost:
                missing[number] = lost
        return missing

    def _is_kept(self, number: int) -> bool:
        batch = self.spool.get(number)
        return batch is not None and batch.is_sound and batch.samples() == self.sealed[number]

    def undelivered_gaps(self) -> int:
        """Count gaps that no batch of gaps carries."""
        carried = set()
        for batch in self._all():
            for sample in batch.samples():
                for reading in sample.readings:
                    if reading.quantity == UNTIL:
                        carried.add(
                            (sample.device, sample.measured_at_ms, reading.channel, round(reading.value * 1000))
                        )
        gaps = {(gap.device, gap.since_ms, gap.reason, gap.until_ms) for gap in self.spool.gaps()}
        return len(gaps - carried)

    def _all(self) -> list[SealedBatch]:
        numbers = [number for (number,) in self.spool._db.execute("SELECT number FROM batch")]
        return [batch for number in numbers if (batch := self.spool.get(number)) is not None and batch.is_sound]

    def check(self) -> None:
        """Send everything once more, so that all damage shows; then compare."""
        self.spool.resend(0, 2**60)
        self.spool.next_to_send(10**6)
        assert self.unaccounted() == {}
        assert self.undelivered_gaps() == 0
        totals = self.spool.totals()
        parts = totals.confirmed_batches + totals.rejected_batches + totals.waiting_batches + totals.evicted_batches
        assert totals.sealed_batches == parts

    def live(self, steps: int) -> None:
        """Do this and that."""
        deeds = (self.seal, self.settle, self.resend, self.evict, self.restart, self.kill)
        for _ in range(steps):
            self.chance.choices(deeds, (20, 4, 1, 2, 1, 1))[0]()


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Life]:
    """Begin a life."""

    def begin(seed: int, quota_bytes: int = 90_000) -> Life:
        monkeypatch.setattr(spools, "STEP_BATCHES", 4)
        return Life(tmp_path, seed, quota_bytes)

    return begin


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_every_sealed_reading_is_delivered_kept_or_declared(live: Callable[..., Life], seed: int) -> None:
    """Sealing, settling, evicting, putting back, stopping and dying, in any order, lose nothing in silence."""
    life = live(seed)
    life.live(150)
    life.check()
    assert life.spool.totals().evicted_batches > 0, "the quota was felt"
    life.spool.close()


def _garbage(path: Path, offset: int, size: int, chance: random.Random) -> None:
    if path.exists() and path.stat().st_size > offset:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(chance.randbytes(min(size, path.stat().st_size - offset)))


def _break_header(path: Path, chance: random.Random) -> None:
    _garbage(path, 0, 100, chance)


def _break_first_page(path: Path, chance: random.Random) -> None:
    _garbage(path, 0, 1024, chance)


def _break_pages(path: Path, chance: random.Random) -> None:
    pages = path.stat().st_size // 1024
    for _ in range(3):
        _garbage(path, 1024 * chance.randrange(pages), 1024, chance)


def _flip_bytes(path: Path, chance: random.Random) -> None:
    for _ in range(5):
        _garbage(path, chance.randrange(path.stat().st_size), 1, chance)


def _cut(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def _empty(path: Path, _chance: random.Random) -> None:
    os.truncate(path, 0)


def _break_log(path: Path, chance: random.Random) -> None:
    _garbage(path.with_name(path.name + "-wal"), 0, 1 << 20, chance)


def _break_log_in_the_middle(path: Path, chance: random.Random) -> None:
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > 4096:
        _garbage(log, chance.randrange(32, log.stat().st_size - 4000), 50, chance)


def _break_schema(path: Path, _chance: random.Random) -> None:
    """Change a byte of a table's definition to one that no text has: SQLite quotes it in its error."""
    for file in (path, path.with_name(path.name + "-wal")):
        if file.exists():
            file.write_bytes(file.read_bytes().replace(b"state INTEGER", b"state \xfaNTEGER"))


DAMAGES = (
    _break_schema,
    _break_header,
    _break_first_page,
    _break_pages,
    _cut,
    _empty,
    _break_log,
    _break_log_in_the_middle,
    _flip_bytes,
)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_a_broken_file_costs_no_more_than_it_declares(
    live: Callable[..., Life], damage: Callable[[Path, random.Random], None], seed: int
) -> None:
    """The agent starts, what is readable is saved under its number, the rest is a gap, and life goes on."""
    life = live(seed, quota_bytes=120_000)
    life.live(40)
    life.kill(lambda path: damage(path, life.chance))
    life.live(20)
    life.check()
    life.spool.close()


def test_what_was_put_back_waits_still_after_the_log_that_said_so_is_damaged(live: Callable[..., Life]) -> None:
    """The file behind the log says that the database has it: that was before the database was restored."""
    life = live(0, quota_bytes=10_000_000)
    for _ in range(5):
        life.seal()
    numbers = set(life.sealed)
    life.spool.mark(Settled(frozenset(numbers)), life.now_ms)
    life.restart()
    life.spool.resend(0, 2**60)
    for _ in range(3):
        life.seal()
    life.kill(lambda path: _garbage(path.with_name("spool.sqlite-wal"), 60, 8, life.chance))
    waiting = {batch.number for batch in life.spool.next_to_send(10**6)}
    assert numbers <= waiting
    life.spool.close()


def test_a_gap_whose_device_the_disk_has_changed_costs_no_other_gap(live: Callable[..., Life]) -> None:
    """Its batch is damaged, so it is to be sealed again; sealed under that name, the whole batch would be rejected."""
    life = live(0, quota_bytes=10_000_000)
    life.seal()
    life.restart()
    life.seal()
    life.spool._db.execute("UPDATE gap SET device = 'Vain' WHERE device = 'main'")
    life.spool._db.execute("DELETE FROM batch WHERE number IN (SELECT batch FROM gap)")
    life.restart()
    life.seal()
    life.kill(lambda path: _break_log(path, life.chance))
    life.seal()
    gaps = life.spool.gaps()
    assert {gap.device for gap in gaps} == set(DEVICES)
    assert life.undelivered_gaps() == 0
    life.spool.close()
