"""The gateway's own condition: readings of a device of the gateway's name, through the same spool as all others."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import MessnetzError
from base.retry import Backoff
from gateway import certificate, clock
from gateway.reach import reading
from gateway.stamps import Stamps, flagged
from wire.readings import Sample

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.machine import Machine
    from gateway.timekeeper import Timekeeper

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpoolCondition:
    """How the spool is."""

    batches: int
    """Sealed and not confirmed."""
    oldest_ms: int | None
    """When the oldest of them was sealed."""
    rejected_batches: int
    path: Path

    def values(self, now_ms: int) -> dict[str, float | None]:
        """Return its readings."""
        age_s = 0.0 if self.oldest_ms is None else max(0.0, (now_ms - self.oldest_ms) / 1000)
        return {
            "spool_depth": float(self.batches),
            "spool_age": age_s,
            "spool_size": float(size_of(self.path)),
            "spool_rejected": float(self.rejected_batches),
        }


def size_of(spool: Path) -> int:
    """Return the bytes of a spool and of what SQLite keeps beside it."""
    size = 0
    for suffix in ("", "-wal", "-shm"):
        try:
            size += Path(f"{spool}{suffix}").stat().st_size
        except OSError:
            continue
    return size


class Condition:
    """The task that reads the gateway itself."""

    def __init__(
        self,
        gateway: str,
        machine: Machine,
        keeper: Timekeeper,
        spool: Callable[[], Awaitable[SpoolCondition]],
        deliver: Callable[[Sample], None],
    ) -> None:
        self._gateway = gateway
        self._machine = machine
        self._keeper = keeper
        self._spool = spool
        self._deliver = deliver
        self._backoff = Backoff("the spool's condition", logger)
        self._stamps = Stamps(keeper.stamp)
        self.interval_s = 60.0
        self.certificate: Path | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Read at once and then every interval, until told to stop. A fault costs one sample, never the task."""
        due_s = time.monotonic()
        while not await clock.stopped_within(stop, due_s - time.monotonic()):
            try:
                self._deliver(await self.read())
            except Exception:
                logger.exception("the gateway's own condition")
            due_s += self.interval_s * (1 + (time.monotonic() - due_s) // self.interval_s)

    async def read(self) -> Sample:
        """Read what this machine has; without the values of a spool that does not tell how it is."""
        (at_ms, flags), now_ms = self._stamps.next(time.monotonic()), self._keeper.now_ms()
        spool = await self._ask_spool()
        values = await asyncio.to_thread(self._values, spool, now_ms)  # a disk that hangs must not stop the polls
        readings = (reading(quantity, value) for quantity, value in values.items() if value is not None)
        return flagged(Sample(self._gateway, at_ms, tuple(readings)), flags)

    async def _ask_spool(self) -> SpoolCondition | None:
        try:
            spool = await self._spool()
        except Exception as error:
            if not isinstance(error, MessnetzError):
                logger.exception("the spool's condition")
            self._backoff.failed(error)
            return None
        self._backoff.succeeded()
        return spool

    def _values(self, spool: SpoolCondition | None, now_ms: int) -> dict[str, float | None]:
        machine = self._machine
        return {
            "temp_cpu": machine.temp_cpu(),
            "load": machine.load(),
            "memory_used": machine.memory_used(),
            "disk_free": machine.disk_free(),
            "disk_written": machine.disk_written(),
            "disk_readonly": machine.disk_readonly(),
            "undervoltage": machine.undervoltage(),
            "uptime": machine.uptime(),
            **self._clock(),
            **({} if spool is None else spool.values(now_ms)),
            "certificate_left": self._certificate_left_h(now_ms),
        }

    def _clock(self) -> dict[str, float | None]:
        """Return what the kernel says of the clock now; nothing where it is not the one that is asked."""
        if not self._keeper.asks_kernel:
            return {}
        return {"clock_synced": float(clock.kernel_is_synchronised()), "clock_offset": clock.kernel_offset_s()}

    def _certificate_left_h(self, now_ms: int) -> float | None:
        if not self.certificate or not self._keeper.is_synchronised():
            return None
        ends_at = certificate.not_after(self.certificate)
        return (
            None if ends_at is None else (ends_at - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds() / 3600
        )
