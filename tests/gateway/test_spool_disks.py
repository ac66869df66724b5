"""The spool on disks that are full, too small, read-only or broken: real file systems, made for each test."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from lacking import lacking

from base.errors import TransientError
from base.sqlite import FullError
from gateway import spool_schema
from gateway.machine import Machine
from gateway.spool import RESCUE_AFTER, Limits, Settled, Spool
from gateway.spool_schema import PAGE_BYTES
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
NOW_MS = 1_790_000_000_000
SIZE = 8 << 20
KINDS = ("tmpfs", "ext4")


def _samples(number: int) -> list[Sample]:
    """Build a batch of some kilobytes that do not compress."""
    readings = (Reading("active_power", float(number), "W"),)
    noise = [int.from_bytes(os.urandom(6), "big") / 7 for _ in range(120)]
    main = [Sample("main", NOW_MS + number * 1000 + i, (Reading("voltage", v, "V"),)) for i, v in enumerate(noise)]
    return [*main, Sample("solar", NOW_MS + number * 1000, readings)]


@contextmanager
def _mounted(kind: str, directory: Path) -> Iterator[Path]:
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        lacking("needs root and mkfs.ext4, to make small file systems")
    at = directory / "disk"
    at.mkdir()
    command: list[str | Path] = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", at]
    if kind == "ext4":
        image = directory / "image"
        with image.open("wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
        command = ["mount", "-o", "loop", image, at]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        lacking(f"cannot mount {kind} here")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", at], check=True)


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 8 MiB."""
    with _mounted(request.param, tmp_path) as at:
        yield at


def _fill(disk: Path, *, leave: int = 0) -> Path:
    """Let somebody else fill the disk."""
    hog = disk / "hog"
    with hog.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            found = os.statvfs(disk)
            free = found.f_bavail * found.f_frsize - leave
            if free <= 0:
                break
            file.write(b"x" * min(65536, max(free, 1)))
    return hog


def _open(disk: Path, limits: Limits | None = None) -> Spool:
    return Spool(disk / "spool.sqlite", limits=limits or Limits(), devices=("main", "solar"))


def test_a_disk_that_others_fill_stops_sealing_and_costs_nothing(disk: Path) -> None:
    """Sealing is refused in words; what was sealed is there; when the disk is free again, all goes on."""
    spool = _open(disk)
    for number in range(1, 51):
        spool.seal([_samples(number)], Settled(), NOW_MS + number * 1000)
    hog = _fill(disk)
    for _ in range(3):
        with pytest.raises(TransientError, match=r"must stay free|full"):
            spool.seal([_samples(51)], Settled(), NOW_MS + 51_000)
    assert [batch.number for batch in spool.next_to_send(100)] == list(range(1, 51))
    hog.unlink()
    assert spool.seal([_samples(51)], Settled(), NOW_MS + 51_000) == [51]
    assert spool.gaps() == []
    spool.close()


def test_a_broken_file_moved_aside_goes_before_sealing_stops(disk: Path) -> None:
    """What is measured now is worth more than a file whose readable batches were saved."""
    spool = _open(disk)
    aside = disk / "spool.sqlite.damaged-20261122T120000Z"
    aside.write_bytes(bytes(2 << 20))
    _fill(disk)
    with suppress(TransientError):  # the first try may find no room even for the log
        spool.seal([_samples(1)], Settled(), NOW_MS)
    spool.seal([_samples(2)], Settled(), NOW_MS + 1000)
    assert not aside.exists()
    spool.close()


def test_a_start_on_a_full_disk_finds_what_was_sealed(disk: Path) -> None:
    """The agent dies, the disk is full, it starts: nothing is lost, and sealing begins when there is room."""
    spool = _open(disk)
    spool.seal([_samples(1)], Settled(), NOW_MS)
    spool.close()
    hog = _fill(disk)
    spool = _open(disk)
    with pytest.raises(TransientError):
        spool.seal([_samples(2)], Settled(), NOW_MS)
    hog.unlink()
    assert spool.seal([_samples(2)], Settled(), NOW_MS) == [2]
    assert [batch.number for batch in spool.next_to_send(10)] == [1, 2]
    spool.close()


_WITHOUT_LOCKING = tuple(each for each in spool_schema._SETTINGS if not each.startswith("locking_mode"))


@pytest.mark.parametrize("settings", [spool_schema._SETTINGS, _WITHOUT_LOCKING], ids=["as it is", "with a -shm"])
def test_a_start_on_a_disk_without_a_byte_gives_the_ballast_up(
    settings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system whose files need no room to be opened, and one where opening asks for a page first."""
    with _mounted("tmpfs", tmp_path) as disk:
        spool = _open(disk)
        spool.seal([_samples(1)], Settled(), NOW_MS)
        spool.seal([], Settled(frozenset({1})), NOW_MS)
        ballast = disk / "spool.sqlite.ballast"
        assert ballast.exists()
        spool.close()
        hog = _fill(disk)
        assert os.statvfs(disk).f_bavail == 0
        monkeypatch.setattr(spool_schema, "_SETTINGS", settings)
        spool = _open(disk)
        with pytest.raises(FullError):
            spool.seal([_samples(2)], Settled(), NOW_MS)
        assert not ballast.exists()
        assert spool.totals().sealed_batches == 1
        hog.unlink()
        assert spool.seal([_samples(2)], Settled(), NOW_MS) == [2]
        spool.close()


def test_a_full_disk_makes_room_of_confirmed_batches(disk: Path) -> None:
    """They are only kept for convenience: first they go, and their space goes back to the file system."""
    spool = _open(disk, Limits(quota_bytes=1 << 40, floor_bytes=1 << 40))
    for number in range(1, 601):
        spool.seal([_samples(number)], Settled(frozenset({number - 1})), NOW_MS + number * 1000)
    _fill(disk)
    with suppress(TransientError):
        spool.seal([_samples(601)], Settled(frozenset({600})), NOW_MS + 601_000)
    number = spool.seal([_samples(601)], Settled(), NOW_MS + 601_000)[0]
    assert spool.get(number) is not None
    assert spool.totals().confirmed_batches == 600
    assert spool.gaps() == []
    spool.close()


def test_a_backlog_larger_than_the_disk_costs_the_oldest_and_says_so(disk: Path) -> None:
    """Half of a small disk is the quota: the newest stay, the others are gaps with their count."""
    spool = _open(disk)
    for number in range(1, 2001):
        spool.seal([_samples(number)], Settled(), NOW_MS + number * 1000)
    spool.seal([], Settled(), NOW_MS)
    totals = spool.totals()
    counted = Counter[str]()
    for gap in spool.gaps():
        counted[gap.device] += gap.readings or 0
    assert totals.evicted_batches > 100
    assert counted == {"main": 120 * totals.evicted_batches, "solar": totals.evicted_batches}
    assert spool.get(2000) is not None
    spool.close()


def test_a_disk_that_becomes_read_only_is_waited_for(tmp_path: Path) -> None:
    """Starting, and sealing, on a read-only file system: refused in words, and taken up again by itself."""
    with _mounted("ext4", tmp_path) as disk:
        spool = _open(disk)
        spool.seal([_samples(1)], Settled(), NOW_MS)
        spool.close()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        spool = _open(disk)
        with pytest.raises(TransientError):
            spool.seal([_samples(2)], Settled(), NOW_MS)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert spool.seal([_samples(2)], Settled(), NOW_MS) == [2]
        assert [batch.number for batch in spool.next_to_send(10)] == [1, 2]
        spool.close()


def test_a_journal_that_is_given_up_costs_nothing_that_was_sealed(tmp_path: Path) -> None:
    """The kernel refuses every write from one moment to the next, and for good; after the next start all is there."""
    with _mounted("ext4", tmp_path) as disk:
        spool = _open(disk)
        for number in range(1, 31):
            spool.seal([_samples(number)], Settled(), NOW_MS + number * 1000)
        if subprocess.run(["mount", "-o", "remount,abort", disk], check=False, capture_output=True).returncode != 0:
            lacking("a kernel that gives up the journal of an ext4 when asked to")
        machine = Machine(disk)
        for _ in range(2 * RESCUE_AFTER):
            with pytest.raises(TransientError):
                spool.seal([_samples(31)], Settled(), NOW_MS + 31_000)
        assert machine.disk_readonly() == 1
        assert list(disk.glob("*.damaged-*")) == []
        spool.close()
        subprocess.run(["umount", disk], check=True)
        assert subprocess.run(["e2fsck", "-p", tmp_path / "image"], check=False, capture_output=True).returncode <= 1
        subprocess.run(["mount", "-o", "loop", tmp_path / "image", disk], check=True)
        spool = _open(disk)
        assert [batch.number for batch in spool.next_to_send(100)] == list(range(1, 31))
        assert spool.seal([_samples(31)], Settled(), NOW_MS + 31_000) == [31]
        assert spool.gaps() == []
        assert machine.disk_readonly() == 0
        spool.close()


@pytest.mark.parametrize("leave_kb", range(32, 800, 160))
def test_a_broken_file_on_a_disk_that_is_nearly_full(disk: Path, leave_kb: int) -> None:
    """Whatever room there is for the new file: each batch is in it, or in a gap, or the broken file stays as it is."""
    path = disk / "spool.sqlite"
    path.with_name(path.name + ".lock").touch()
    os.utime(path.with_name(path.name + ".lock"), (NOW_MS / 1000 - 1, NOW_MS / 1000 - 1))
    spool = _open(disk)
    for number in range(1, 201):
        spool.seal([_samples(number)], Settled(), NOW_MS + number * 1000)
    spool.close()
    with closing(sqlite3.connect(path)) as look:
        (root,) = look.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'place'").fetchone()
    with path.open("r+b") as broken:
        broken.seek((root - 1) * PAGE_BYTES)
        broken.write(b"\xff" * PAGE_BYTES)
    path.with_name(path.name + ".ballast").unlink(missing_ok=True)
    _fill(disk, leave=leave_kb << 10)
    spool = _open(disk, Limits(floor_bytes=0))
    if list(disk.glob("*.damaged-*")):
        saved = {batch.number for batch in spool.next_to_send(1000)}
        gaps = [(gap.since_ms, gap.until_ms) for gap in spool.gaps() if gap.reason == "damaged"]
        at_ms = {number: NOW_MS + number * 1000 for number in range(1, 201)}
        assert all(n in saved or any(a <= at <= b for a, b in gaps) for n, at in at_ms.items())
        assert len(saved) >= min(200, leave_kb // 4 - 64), "what there is room for is saved"
    spool.close()


_WRITER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from gateway.spool import Limits, Settled, Spool
from wire.readings import Reading, Sample
spool = Spool(Path(sys.argv[1]), limits=Limits(quota_bytes=200_000, floor_bytes=0), devices=("main",))
index = int(sys.stdin.readline())
while True:
    sample = Sample("main", 1_790_000_000_000 + index * 100_000, (Reading("active_power", float(index), "W"),) * 50)
    print(spool.seal([[sample]], Settled(), 1_790_000_000_000 + index * 100_000)[0], index, flush=True)
    index += 1
"""


def test_killed_again_and_again_while_it_seals_and_evicts(tmp_path: Path) -> None:
    """SIGKILL at any moment: every batch that was reported is kept or in a gap, and no number comes twice."""
    path = tmp_path / "spool.sqlite"
    told: dict[int, int] = {}
    index = 0
    for round_number in range(12):
        command = [sys.executable, "-c", _WRITER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write(f"{index}\n")
            writer.stdin.flush()
            lines = [writer.stdout.readline() for _ in range(60 + 7 * round_number)]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.read().splitlines()
        for number, sealed in (map(int, line.split()) for line in lines if len(line.split()) == 2):
            assert number not in told
            told[number] = sealed
            index = sealed + 2
    spool = Spool(path, limits=Limits(quota_bytes=200_000, floor_bytes=0))
    gaps = [(gap.since_ms, gap.until_ms) for gap in spool.gaps()]
    for number, sealed in told.items():
        at_ms = NOW_MS + sealed * 100_000
        batch = spool.get(number)
        kept = batch is not None and batch.samples()[0].measured_at_ms == at_ms
        assert kept or any(since <= at_ms <= until for since, until in gaps), number
    assert spool.totals().evicted_batches > 0
    spool.close()
