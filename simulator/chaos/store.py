"""The store of a chaos run: its files in one directory, so that a backup is a copy of it."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from simulator.processes import DemoError, Process
from simulator.servers import LOOPBACK, free_port

if TYPE_CHECKING:
    from pathlib import Path

Kind: TypeAlias = Literal["embedded", "influx1"]
DATABASE = "messnetz"
READY_S = 30.0
LOOK_S = 0.1
CONFIG = """\
reporting-disabled = true
bind-address = "{host}:0"
[meta]
  dir = "{directory}/meta"
  logging-enabled = false
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
  wal-fsync-delay = "0s"
  index-version = "tsi1"
  query-log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
[logging]
  level = "warn"
  suppress-logo = true
[http]
  bind-address = "{host}:{port}"
  log-enabled = false
"""


def find_influx1() -> str | None:
    """Path of an InfluxDB 1.x; None where there is none, or another."""
    program = shutil.which(
        "influxd", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin"
    )
    return program if program and _version(program).startswith("InfluxDB v1.") else None


@functools.cache
def _version(program: str) -> str:
    return subprocess.run([program, "version"], capture_output=True, text=True, check=False, timeout=30).stdout  # noqa: S603 - found by its name


def choose(wanted: Kind | None) -> Kind:
    """Which store to take.

    Raises: DemoError where InfluxDB 1 is wanted and not installed.
    """
    if wanted == "influx1" and find_influx1() is None:
        raise DemoError("InfluxDB 1 is not installed; `apt install influxdb`, or take --store embedded")
    return wanted or ("influx1" if find_influx1() else "embedded")


@dataclass
class StoreFiles:
    """Where the store keeps its files, and where a copy of earlier lies."""

    data: Path
    backup: Path

    def back_up(self) -> None:
        """Copy the files of a store that is stopped."""
        shutil.rmtree(self.backup, ignore_errors=True)
        shutil.copytree(self.data, self.backup)

    def restore(self) -> None:
        """Put the copy in the place of the files of a store that is stopped."""
        shutil.rmtree(self.data)
        shutil.copytree(self.backup, self.data)


def configure(file: Path, data: Path, port: int) -> None:
    """Write the configuration of an InfluxDB 1.x that keeps its files in `data` and listens on loopback."""
    file.write_text(CONFIG.format(host=LOOPBACK, port=port, directory=data), encoding="utf-8")


def influx1(directory: Path, data: Path) -> tuple[Process, int]:
    """Make the process of an InfluxDB 1.x on a free port of loopback; it is not started yet."""
    port = free_port()
    file = directory / "influxdb.conf"
    configure(file, data, port)
    return Process("store", (find_influx1() or "influxd", "run", "-config", str(file)), directory / "store.log"), port


async def answers(process: Process, port: int) -> None:
    """Wait until the database answers.

    Raises: DemoError where it does not within 30 s.
    """
    try:
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection(LOOPBACK, port)
                except OSError:
                    await asyncio.sleep(LOOK_S)
                    continue
                writer.close()
                return
    except TimeoutError as error:
        raise DemoError(f"the store does not come up{process.last_words()}") from error
