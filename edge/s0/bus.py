"""The open bus: one meter whose pulses are counted, and a count that never falls."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import TransientError
from edge.interface import Measured, NoAnswerError, Traffic
from edge.plausibility.encoding import shortest
from edge.s0.ledger import Count, Ledger
from edge.s0.pulses import went_on
from edge.speaking import SpeakingBus
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from edge.interface import BusPlan
    from edge.s0.driver import S0Plan
    from edge.s0.sources import PulseSource

logger = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class S0Bus(SpeakingBus):
    """Counts from its first reading on. A value is said only when its count is on the disk."""

    def __init__(self, plan: S0Plan, source: PulseSource, ledger: Ledger, boot: bytes | None = None) -> None:
        """`boot`: of which boot the kernel's counter is; for tests."""
        self._plan, self._source, self._ledger = plan, source, ledger
        self._boot = boot_id() if boot is None else boot
        self._count: Count | None = None
        self._kept: Count | None = None

    async def read(self, device: str) -> Measured:
        """Return the count and what it means.

        Raises: NoAnswerError where nobody counts; TransientError where the count cannot be kept: nothing is lost, the
        next reading has it.
        """
        del device
        at_s = time.monotonic()
        try:
            self._source.open()
            raw = self._source.raw()
        except TransientError as error:
            raise NoAnswerError(str(error)) from error
        if self._count is None:
            self._count = await self._recalled(raw)
        self._count = self._advanced(self._count, raw)
        if self._count != self._kept:
            count = self._count
            await asyncio.to_thread(self._ledger.save, count)
            self._kept = count
        return Measured(self._readings(self._count.total), at_s)

    def traffic(self, device: str) -> Traffic:
        """Return how many pulses there were with disturbances, and how many disturbances."""
        del device
        disturbances = self._source.disturbances()
        return Traffic((self._count.total if self._count is not None else 0) + disturbances, disturbances)

    def follow(self, plan: BusPlan) -> None:
        """Go on with another interval."""
        from edge.s0.driver import S0Plan  # noqa: PLC0415 - the driver loads this module

        if not isinstance(plan, S0Plan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        self._plan = plan

    async def close(self) -> None:
        """Keep the count, and give the line back."""
        try:
            if self._count is not None:
                self._count = self._advanced(self._count, self._source.raw())
                if self._count != self._kept:
                    await asyncio.to_thread(self._ledger.save, self._count)
        except TransientError as error:
            logger.warning("bus %s: %s", self._plan.id, error)
        self._source.close()

    async def _recalled(self, raw: int) -> Count:
        """Return where the count goes on. `raw`: where the source stands; a pin began at 0 when it was opened."""
        start = self._plan.device.start
        kept = await asyncio.to_thread(self._ledger.load)
        if self._ledger.is_damaged:
            logger.error("bus %s: the file of the count is damaged; it begins anew", self._plan.id)
        if kept is not None and kept.start == start:
            self._kept = kept
            if self._source.modulus() is None or kept.boot != self._boot:
                return kept._replace(raw=0, boot=self._boot)
            return kept
        if kept is not None:
            logger.info("bus %s: another start was set (%g); counting anew from there", self._plan.id, start)
        return Count(0, 0 if self._source.modulus() is None else raw, self._boot, start)

    def _advanced(self, count: Count, raw: int) -> Count:
        modulus = self._source.modulus()
        step = raw - count.raw if modulus is None else went_on(count.raw, raw, modulus)
        return count._replace(total=count.total + step, raw=raw)

    def _readings(self, total: int) -> tuple[Reading, ...]:
        readings = []
        for name, encoding in self._plan.device.encodings.items():
            quantity, _, channel = name.partition("/")
            readings.append(Reading(quantity, shortest(encoding.of(total)), quantities()[quantity].unit, channel))
        return tuple(readings)


def boot_id(path: Path = BOOT_ID) -> bytes:
    """Return the id of this boot; zeros where the kernel does not tell."""
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        return bytes(16)
