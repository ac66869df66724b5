"""Small disks of agents, to be filled or to fail: a tmpfs, and a loop device, where this process may mount them."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIZE_MIB = 32
SOUND_MIB = 16
"""Of a disk that fails, so much from its beginning never does: the tables of the file system, and what keeps files
out of there."""
FILLER, FENCE = "filler", "fence"
TIMEOUT_S = 20.0
LOOP_SET_STATUS64, LOOP_GET_STATUS64 = 0x4C04, 0x4C05
LOOP_INFO_BYTES, SIZE_LIMIT_AT = 232, 32
"""`struct loop_info64` of <linux/loop.h>, and its `lo_sizelimit`."""


@dataclass(frozen=True)
class Disk:
    """A file system of its own, mounted on a directory."""

    directory: Path

    def fill(self) -> None:
        """Leave not one byte free."""
        file = os.open(self.directory / FILLER, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while True:
                        os.write(file, bytes(size))
        finally:
            os.close(file)

    def empty(self) -> None:
        """Give the room back."""
        (self.directory / FILLER).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away, and leave what was on it in the directory instead."""
        copy = self.directory.with_name(f"{self.directory.name}-kept")
        shutil.copytree(self.directory, copy)
        subprocess.run(["umount", "--lazy", str(self.directory)], check=False, timeout=TIMEOUT_S)  # noqa: S603, S607
        shutil.copytree(copy, self.directory, dirs_exist_ok=True)
        shutil.rmtree(copy)


def mount(directory: Path) -> Disk | None:
    """Mount a small tmpfs on a directory; None where this process may not."""
    if os.geteuid() != 0:
        return None
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "messnetz-chaos", str(directory)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_S)  # noqa: S603
    return Disk(directory) if done.returncode == 0 else None


@dataclass(frozen=True)
class FailingDisk:
    """A file system on a loop device. Where it fails the kernel answers EIO, as a dying card does.

    The device is made shorter than its file system: what lies behind its end can neither be read nor written. What the
    kernel still has in memory can be read; `forget` takes that away.
    """

    directory: Path
    image: Path
    device: str

    def fail(self) -> None:
        """Let every file fail, at reading, writing and syncing."""
        self._limit(SOUND_MIB << 20)

    def mend(self) -> None:
        """Let it work again, with all that had reached it."""
        self._limit(0)

    def forget(self) -> None:
        """Have the kernel forget what the files hold, so that it reads them from the disk."""
        for file in self.directory.rglob("*"):
            if file.is_file():
                opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(opened)

    def unmount(self) -> None:
        """Take it away, and leave what was on it in the directory instead."""
        self.mend()
        copy = self.directory.with_name(f"{self.directory.name}-kept")
        shutil.copytree(self.directory, copy, ignore=shutil.ignore_patterns(FENCE, "lost+found"))
        _try("umount", "--lazy", str(self.directory))
        _try("losetup", "--detach", self.device)
        shutil.copytree(copy, self.directory, dirs_exist_ok=True)
        shutil.rmtree(copy)

    def _limit(self, size: int) -> None:
        device = os.open(self.device, os.O_RDWR | os.O_CLOEXEC)
        try:
            info = bytearray(LOOP_INFO_BYTES)
            fcntl.ioctl(device, LOOP_GET_STATUS64, info)
            struct.pack_into("=Q", info, SIZE_LIMIT_AT, size)
            fcntl.ioctl(device, LOOP_SET_STATUS64, bytes(info))
        finally:
            os.close(device)


def attach(directory: Path, image: Path) -> FailingDisk | None:
    """Mount a disk that can be made to fail; an image that is there already with what is on it.

    None where this process may not. Without a journal, which the kernel would answer a failure with by refusing every
    write until the next mount.
    """
    if os.geteuid() != 0:
        return None
    is_new = not image.exists()
    if is_new:
        with image.open("wb") as file:
            file.truncate(SIZE_MIB << 20)
        if not _try("mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-O", "^has_journal", str(image)):
            return None
    device = _output("losetup", "--find", "--show", str(image))
    if not device:
        return None
    if not _try("mount", "-o", "noatime", device, str(directory)):
        _try("losetup", "--detach", device)
        return None
    if is_new:
        _fence(directory)
    return FailingDisk(directory, image, device)


def _fence(directory: Path) -> None:
    """Take up what never fails, so that no file comes to lie there."""
    found = os.statvfs(directory)
    file = os.open(directory / FENCE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, found.f_bavail * found.f_frsize)
        os.ftruncate(file, SOUND_MIB << 20)
        os.fsync(file)
    finally:
        os.close(file)


def _try(*command: str) -> bool:
    return _output(*command) is not None


def _output(*command: str) -> str | None:
    """Run a command; returns what it wrote, None where it failed or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)  # noqa: S603 - from above
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
