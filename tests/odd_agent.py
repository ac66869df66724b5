"""Runs an agent whose clocks are told what to say by a file: `python odd_agent.py <gateway.yaml> <clocks.json>`."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gateway import clock, config
from gateway.agent import Agent


class OddClocks:
    """Those of this machine, but for what the file says of them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.boot = str(self._said()["boot"])

    def _said(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._file.read_text())
        return said

    def wall_ms(self) -> int:
        """Unix time, so much ahead."""
        return clock.now_ms() + int(self._said()["ahead_ms"])

    def boot_ms(self) -> int:
        """Time since a start of the machine that the file names; it may have slept since."""
        return clock.now_ms() - int(self._said()["began_ms"])

    def boot_ms_at(self, monotonic_s: float) -> int:
        """Time since that of a moment on the monotonic clock."""
        return self.boot_ms() - round((time.monotonic() - monotonic_s) * 1000)

    def is_synchronised(self) -> bool:
        """What the kernel is to say."""
        return bool(self._said()["synchronised"])


async def _run(file: Path, clocks: Path) -> int:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return await Agent(config.load(file), clocks=OddClocks(clocks)).run(stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    sys.exit(asyncio.run(_run(Path(sys.argv[1]), Path(sys.argv[2]))))
