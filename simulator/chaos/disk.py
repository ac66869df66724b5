"""A small disk for one agent, to be filled: a tmpfs where this process may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIZE_MIB = 32
FILLER = "filler"
TIMEOUT_S = 20.0


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
