"""The spool on a disk that answers EIO: a real file system on a loop device that is made too short for it."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from lacking import lacking

from base.errors import TransientError
from gateway import clock
from gateway import spool as spool_module
from gateway.spool import RESCUE_AFTER, Settled, Spool
from simulator.chaos import disk as disks
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.chaos.disk import FailingDisk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
NOW_MS = 1_790_000_000_000
DEVICES = ("main",)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FailingDisk]:
    """Mount a disk that can be made to fail."""
    place = tmp_path / "disk"
    place.mkdir()
    made = disks.attach(place, tmp_path / "image")
    if made is None:
        lacking("needs root, losetup and mkfs.ext4, to make a disk that fails")
    yield made
    made.unmount()


def _open(disk: FailingDisk) -> Spool:
    return Spool(disk.directory / "spool.sqlite", devices=DEVICES)


def _seal(spool: Spool, number: int) -> list[int]:
    """Seal a batch of a hundred readings, the value of each its second."""
    seconds = range(number * 100, number * 100 + 100)
    samples = [Sample("main", NOW_MS + s * 1000, (Reading("voltage", float(s), "V"),)) for s in seconds]
    return spool.seal([samples], Settled(), NOW_MS + seconds[-1] * 1000)


def _seconds(spool: Spool) -> set[int]:
    """Return which seconds wait to be sent."""
    batches = spool.next_to_send(1000)
    samples = [sample for batch in batches for sample in batch.samples()]
    return {round(reading.value) for sample in samples for reading in sample.readings if reading.quantity == "voltage"}


def _sealed(numbers: range) -> set[int]:
    return set(range(numbers.start * 100, numbers.stop * 100))


@pytest.mark.parametrize("tries", [1, 4, 12], ids=["once", "reopened", "for long"])
@pytest.mark.parametrize("cached", [True, False], ids=["in memory", "on the disk alone"])
def test_a_disk_that_fails_for_a_while_costs_nothing_that_was_sealed(
    disk: FailingDisk, tries: int, *, cached: bool
) -> None:
    """Seals are refused in words; when it works again they go on, and nothing was taken for damaged."""
    spool = _open(disk)
    for number in range(20):
        _seal(spool, number)
    disk.fail()
    if not cached:
        disk.forget()
    for _ in range(tries):
        with pytest.raises(TransientError):
            _seal(spool, 20)
    disk.mend()
    _seal(spool, 20)
    assert _seconds(spool) == _sealed(range(21))
    assert spool.gaps() == []
    spool.close()


@pytest.mark.parametrize("tries", [1, 4, 12])
def test_what_is_sealed_after_a_failure_survives_a_power_cut(disk: FailingDisk, tries: int, tmp_path: Path) -> None:
    """What the kernel still shows of a write that failed is not on the disk, and nothing may build upon it."""
    spool = _open(disk)
    _seal(spool, 0)
    disk.fail()
    for _ in range(tries):
        with pytest.raises(TransientError):
            _seal(spool, 1)
    disk.mend()
    for number in range(1, 4):
        _seal(spool, number)
    after = _after_power_cut(disk, tmp_path)
    assert _seconds(after) == _sealed(range(4))
    assert after.gaps() == []
    assert not list(after.path.parent.glob("*.damaged*"))
    after.close()
    spool.close()


def test_a_checkpoint_that_fails_is_noticed_and_made_up_for(
    disk: FailingDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite does not tell; the log, here on a disk of its own, stays whole until the file has it on the disk."""
    monkeypatch.setattr(spool_module, "LOG_FRAMES", 40)
    log, elsewhere = disk.directory / "spool.sqlite-wal", tmp_path / "log"
    log.touch()
    elsewhere.touch()
    subprocess.run(["mount", "--bind", elsewhere, log], check=True)
    spool = _open(disk)
    for number in range(20):
        _seal(spool, number)
    disk.fail()
    for number in range(20, 40):
        with suppress(TransientError):  # what cannot be read now cannot be sealed upon
            _seal(spool, number)
    disk.mend()
    for number in range(20, 60):
        _seal(spool, number)
    after = _after_power_cut(disk, tmp_path, elsewhere)
    assert _seconds(after) == _sealed(range(60))
    assert not list(after.path.parent.glob("*.damaged*"))
    after.close()
    spool.close()
    subprocess.run(["umount", log], check=True)


def test_what_a_bad_sector_holds_is_given_up_where_the_disk_can_be_written(disk: FailingDisk) -> None:
    """It does not heal: the file is moved aside, a new one made, and what could not be read is declared."""
    spool = _open(disk)
    for number in range(20):
        _seal(spool, number)
    spool.close()
    disks.Disk(disk.directory).fill()
    fence = str(disk.directory / disks.FENCE)
    subprocess.run(["fallocate", "--punch-hole", "--length", "8MiB", fence], check=True)  # the only room, and sound
    sealed_ms = clock.now_ms()
    disk.fail()
    disk.forget()
    spool = _open(disk)
    for _ in range(RESCUE_AFTER):
        with suppress(TransientError):
            _seal(spool, 20)
    _seal(spool, 21)
    assert _sealed(range(21, 22)) <= _seconds(spool)
    (gap,) = (gap for gap in spool.gaps() if gap.reason == "damaged")
    assert gap.since_ms <= sealed_ms <= gap.until_ms
    spool.close()


def _after_power_cut(disk: FailingDisk, directory: Path, log: Path | None = None) -> Spool:
    """Open what has reached the disk, on another one; the log may lie elsewhere."""
    (directory / "after").mkdir()
    shutil.copyfile(disk.image, directory / "image-after")
    after = disks.attach(directory / "after", directory / "image-after")
    assert after is not None
    shutil.copytree(after.directory, directory / "saved")
    if log is not None:
        shutil.copyfile(log, directory / "saved" / "spool.sqlite-wal")
    after.unmount()
    return Spool(directory / "saved" / "spool.sqlite", devices=DEVICES)
