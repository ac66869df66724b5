"""Room on the disk: how much is free, how much the spool may take, and the ballast that makes a full disk emptiable."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from base.sqlite import FullError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.spool_records import Limits

logger = logging.getLogger(__name__)

BALLAST_BYTES = 1 << 20
_MIB = 1 << 20


class ShortError(FullError):
    """Less is free than must stay free."""


class Room:
    """The room that the spool at `path` has and leaves.

    A limit that a small disk could not keep yields: the floor is at most a twentieth of the file system, the quota
    at most half of it, the ballast at most a sixteenth.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._directory = path.parent
        self._ballast = path.with_name(path.name + ".ballast")
        self._limits = limits
        self._has_ballast = False

    def free_bytes(self) -> int:
        """Bytes that this process may still write; a disk that does not say counts as having room."""
        free, _ = self._measured()
        return free

    @property
    def floor_bytes(self) -> int:
        """Free disk under which sealing stops."""
        return min(self._limits.floor_bytes, self._measured()[1] // 20)

    @property
    def quota_bytes(self) -> int:
        """Most that the spool may take."""
        return min(self._limits.quota_bytes, self._measured()[1] // 2)

    @property
    def is_short(self) -> bool:
        """Whether less is free than must stay free."""
        return self.free_bytes() < self._kept_free_bytes

    def error(self) -> ShortError:
        """Say what is missing."""
        free, kept = self.free_bytes() / _MIB, self._kept_free_bytes / _MIB
        return ShortError(f"{self._directory}: {free:.1f} MiB free, {kept:.1f} MiB must stay free: nothing is sealed")

    def release(self) -> None:
        """Give the ballast up, so that what makes room finds some itself."""
        with suppress(OSError):
            self._ballast.unlink()
            logger.warning("%s: the ballast is released to make room", self._directory)
        self._has_ballast = False

    def rebuild(self) -> None:
        """Make the ballast where it is missing and the disk has room for it."""
        if self._has_ballast:
            return
        size = self._ballast_bytes
        if not self._is_there(size) and self.free_bytes() < self.floor_bytes + 2 * size:
            return
        with suppress(OSError):  # no room after all: it is tried again with the next seal
            ballast = os.open(self._ballast, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(ballast, 0, size)
                self._has_ballast = True
            finally:
                os.close(ballast)

    @property
    def _kept_free_bytes(self) -> int:
        """What sealing leaves alone: the floor, and the room that the ballast gave up for deleting."""
        return self.floor_bytes + (0 if self._has_ballast else self._ballast_bytes)

    def _is_there(self, size: int) -> bool:
        try:
            return self._ballast.stat().st_size >= size
        except OSError:
            return False

    @property
    def _ballast_bytes(self) -> int:
        return min(BALLAST_BYTES, self._measured()[1] // 16)

    def _measured(self) -> tuple[int, int]:
        """Return the free bytes and the size of the file system."""
        try:
            found = os.statvfs(self._directory)
        except OSError:
            return 1 << 62, 1 << 62
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
