"""What a gateway writes to its SD card in a day, at the default settings and a town's mean load.

Seals as often as a day does, without waiting between, with what is confirmed marked as it would be. Counted by
/proc/self/io (root or not), and at the block device of an ext4 file system in a file (root only): there everything is
written out after every seal, as the kernel does within the 30 s to the next one, with its own journal.
"""

from __future__ import annotations

import functools
import os
import random
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row, Scale, main
from gateway.config import SpoolConfig
from gateway.spool import Settled, Spool
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_MS = 1_795_000_000_000
DAY_S = 86_400
READINGS_PER_S = 1.3
MUST_MB, DREAM_MB = 50, 25
DEVICES = 10
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - the image of a disk
DAYS_BEFORE = 7.2
"""So that as much is let go of as comes in."""


class Gateway:
    """Seals at a gateway's pace, without waiting."""

    def __init__(self, directory: Path) -> None:
        self.config = SpoolConfig()
        self._spool = Spool(directory / "spool.sqlite")
        self._chance = random.Random(1)  # noqa: S311 - no secret
        self._now_ms = START_MS
        self._sealed: frozenset[int] = frozenset()
        self._owed = 0.0

    def seal(self) -> None:
        """Seal what an interval brings, and what the collector has confirmed since."""
        self._now_ms += round(self.config.seal_interval_s * 1000)
        self._owed += READINGS_PER_S * self.config.seal_interval_s
        samples: list[Sample] = []
        while self._owed >= 1:
            names = ("L1", "L2", "L3", "")[: max(1, min(4, int(self._owed)))]
            readings = tuple(Reading("active_power", round(self._chance.uniform(0, 4000), 1), "W", n) for n in names)
            device = f"school-{len(samples) % DEVICES:02}-main"
            samples.append(Sample(device, self._now_ms - 30_000 + 500 * len(samples), readings))
            self._owed -= len(readings)
        self._sealed = frozenset(self._spool.seal([samples], Settled(self._sealed), self._now_ms))

    def wait_for_disk(self, *, on: bool) -> None:
        """Let the days before go by more quickly than the disk could."""
        self._spool._db.execute(f"PRAGMA synchronous = {'FULL' if on else 'OFF'}")  # noqa: SLF001 - only here

    def seals(self, days: float) -> int:
        """Return how many seals so many days have."""
        return round(days * DAY_S / self.config.seal_interval_s)

    def close(self) -> None:
        """End."""
        self._spool.close()


def process_bytes() -> int:
    """Return what this process has made the kernel write."""
    line = next(line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("write_bytes"))
    return int(line.split()[1])


@dataclass(frozen=True)
class Stretch:
    """How many days go by before the count, and how many are counted."""

    before: float
    days: float


def a_day(
    directory: Path,
    counted: Callable[[], int],
    settle: Callable[[], object],
    stretch: Stretch,
    finish: Callable[[], object] = lambda: None,
) -> float:
    """Run a gateway to its steady state and so many days on; returns the megabytes that a day takes."""
    gateway = Gateway(directory)
    gateway.wait_for_disk(on=False)
    for _ in range(gateway.seals(stretch.before)):
        gateway.seal()
    gateway.wait_for_disk(on=True)
    finish()
    before = counted()
    for _ in range(gateway.seals(stretch.days)):
        gateway.seal()
        settle()
    finish()
    written = counted() - before
    gateway.close()
    return written / stretch.days / 1e6


@contextmanager
def loop_mount(directory: Path, options: str) -> Iterator[tuple[Path, Path]]:
    """Mount an ext4 file system with blocks as on an SD card; gives the mount point and the device's counters."""
    image, at = directory / "image", directory / "mount"
    at.mkdir()
    with image.open("wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0", image], check=True)
    subprocess.run(["mount", "-o", f"loop,{options}", image, at], check=True)
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        device = next(Path(source).name for source, where, *_ in mounts if where == str(at))
        yield at, Path("/sys/block") / device / "stat"
    finally:
        subprocess.run(["umount", at], check=True)


def device_bytes(stat: Path) -> int:
    """Return what was written to a block device."""
    return int(stat.read_text().split()[6]) * 512


def by_process(stretch: Stretch) -> float:
    """Return the megabytes a day that the process makes the kernel write."""
    with tempfile.TemporaryDirectory() as folder:
        return a_day(Path(folder), process_bytes, lambda: None, stretch)


def by_device(options: str, stretch: Stretch) -> float:
    """Return the megabytes a day that arrive at the block device of an ext4 file system."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, loop_mount(Path(folder), options) as (at, stat):
        counted = functools.partial(device_bytes, stat)
        sync = functools.partial(subprocess.run, ["sync", "-f", at], check=True)
        # what lazytime keeps back for a day must not be forced out with every seal
        each: Callable[[], object] = (lambda: None) if "lazytime" in options else sync
        return a_day(at, counted, each, stretch, sync)


def measure(scale: Scale) -> list[Row]:
    """Measure what a day costs the card."""

    def row(where: str, measured: float | None, note: str) -> Row:
        what = f"disk: written a day at {READINGS_PER_S:g} readings/s, {where}"
        return Row(what=what, measured=measured, unit="MB", must=MUST_MB, dream=DREAM_MB, note=note)

    before = 0.2 if scale.quick else DAYS_BEFORE
    of_process, of_device = (
        Stretch(before, 0.02 if scale.quick else 0.25),
        Stretch(before, 0.01 if scale.quick else 0.1),
    )
    rows = [row("/proc/self/io", by_process(of_process), "default settings: a seal every 30 s")]
    for options in ("noatime", "noatime,lazytime"):
        where, note = f"block device, ext4, {options}", "a loop device"
        if os.geteuid() != 0:
            rows.append(row(where, None, "needs root, to mount a loop device"))
        else:
            rows.append(row(where, by_device(options, of_device), note))
    return rows


if __name__ == "__main__":
    main(measure)
