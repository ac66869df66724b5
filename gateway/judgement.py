"""What the judges of plausibility know, kept over a restart: one small file beside the spool, rarely written.

What is lost with it costs little: a counter's first reading is believed, and whether a value is stuck is counted anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from base.retry import Backoff
from gateway import clock
from wire.counters import CATCH_UP_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.device import DeviceState

logger = logging.getLogger(__name__)

LOOK_S = 600.0
"""How soon a new meter, or a counter that went over its top, is written down."""
SAVE_S = 3600.0
"""How often all is written down."""
LONGEST_OFF_S = 30 * 86400.0
"""A clock that was wrong before or after a boot must not make an age of it."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Device(msgspec.Struct, frozen=True):
    fingerprint: int
    readings: dict[str, tuple[float, ...]]


class _Kept(msgspec.Struct, frozen=True):
    boot: str
    at_s: float
    """When it was written, on that boot's monotonic clock ..."""
    at_ms: int
    """... and by the wall clock, whether that was right or not."""
    devices: dict[str, _Device]


_decoder = msgspec.msgpack.Decoder(_Kept)


class JudgeMemory:
    """What is kept for all devices of a gateway."""

    def __init__(self, spool: Path) -> None:
        self._path = spool.with_name(spool.name + ".judges")
        self._backoff = Backoff(f"{self._path}: what is known of the counters is not written down", logger)
        self._boot = _boot_id()
        self._saved_s = time.monotonic()
        self._notable = 0
        self._kept = self._load()
        self._by_s, self._unsure_s = self._shift()

    def recall(self, state: DeviceState) -> None:
        """Give a device's judge back what it knew, where it is still the same model."""
        known = self._kept.devices.get(state.id) if self._kept else None
        if known is not None and state.judge is not None and state.judge.fingerprint == known.fingerprint:
            state.judge.recall(known.readings, self._by_s, self._unsure_s)

    async def run(self, stop: asyncio.Event, devices: Mapping[str, DeviceState]) -> None:
        """Save every hour, sooner where something notable happened, until told to stop."""
        while not await clock.stopped_within(stop, LOOK_S):
            is_due = time.monotonic() - self._saved_s >= SAVE_S - LOOK_S / 2
            if is_due or _notable(devices) != self._notable:
                await self.save(devices)

    async def save(self, devices: Mapping[str, DeviceState]) -> None:
        """Write down what the judges know; a disk that does not take it is logged, and asked again later."""
        notable = _notable(devices)
        known = {
            name: _Device(state.judge.fingerprint, state.judge.remember())
            for name, state in devices.items()
            if state.judge is not None
        }
        kept = _Kept(self._boot, time.monotonic(), clock.now_ms(), known)
        data = msgspec.msgpack.encode(kept)
        try:
            await asyncio.to_thread(_write, self._path, zlib.crc32(data).to_bytes(4, "big") + data)
        except OSError as error:
            self._backoff.failed(error)
        else:
            self._backoff.succeeded()
            self._saved_s, self._notable = time.monotonic(), notable

    def _load(self) -> _Kept | None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("%s: cannot be read (%s); counters and stuck values are judged anew", self._path, error)
            return None
        if data[:4] == zlib.crc32(data[4:]).to_bytes(4, "big"):
            with contextlib.suppress(msgspec.DecodeError):
                return _decoder.decode(data[4:])
        logger.warning("%s: damaged; counters and stuck values are judged anew", self._path)
        return None

    def _shift(self) -> tuple[float, float]:
        """Return by how much the times of what was kept are moved onto this boot's clock, and what that leaves open."""
        kept = self._kept
        if kept is None or (kept.boot and kept.boot == self._boot and kept.at_s <= time.monotonic()):
            return 0.0, 0.0
        off_s = min(max(0.0, (clock.now_ms() - kept.at_ms) / 1000), LONGEST_OFF_S)
        return time.monotonic() - off_s - kept.at_s, CATCH_UP_S


def _notable(devices: Mapping[str, DeviceState]) -> int:
    return sum(state.judge.notable for state in devices.values() if state.judge is not None)


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _write(path: Path, data: bytes) -> None:
    """Replace the file; a power cut leaves the old one or the new one."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
