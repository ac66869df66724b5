"""Carries batches from the spool to the broker, as the uplink's rules say, and takes the collector's word."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from base.errors import MessnetzError
from base.retry import Backoff
from wire import confirm as wire_confirm

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.sealer import SpoolThread
    from gateway.spool import SealedBatch
    from gateway.uplink import Uplink

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0


class Sender:
    """The task that sends."""

    def __init__(self, spool: SpoolThread, uplink: Uplink, publish: Callable[[bytes], bool]) -> None:
        self._spool = spool
        self._uplink = uplink
        self._publish = publish
        self._wake = asyncio.Event()
        self._backoff = Backoff("reading the spool", logger)
        self.is_connected = False
        self._news = 1  # counts what might have made something to send ...
        self._seen = 0  # ... and up to where the spool was then found empty
        self.turned_at_s = time.monotonic()
        """When it last showed a sign of life, on the monotonic clock."""

    @property
    def has_unsent(self) -> bool:
        """Whether the spool may hold something that is not in flight."""
        return self._seen != self._news

    def wake(self) -> None:
        """There may be something to send."""
        self._news += 1
        self._wake.set()

    def connected(self) -> None:
        """Begin again after a connection: what was in flight is sent again."""
        self.is_connected = True
        self._uplink.reconnected()
        self.wake()

    def disconnected(self) -> None:
        """Wait for the next connection."""
        self.is_connected = False

    def confirmed(self, payload: bytes) -> None:
        """Take a confirm message; one that is none is logged and changes nothing."""
        try:
            confirm = wire_confirm.decode(payload)
        except MessnetzError as error:
            logger.warning("%s", error)
            return
        for rejection in confirm.rejected:
            logger.error("batch %d is rejected: %s", rejection.number, rejection.reason)
        if self._uplink.confirm(confirm, time.monotonic()):
            self.wake()

    async def run(self) -> None:
        """Send until cancelled. Whatever goes wrong is logged and tried again: nobody else would send."""
        while True:
            self.turned_at_s = time.monotonic()
            self._wake.clear()
            try:
                if self.is_connected:
                    await self._send()
            except MessnetzError as error:
                await asyncio.sleep(self._backoff.failed(error))
                continue
            except Exception as error:
                logger.exception("sending")
                await asyncio.sleep(self._backoff.failed(error))
                continue
            self._backoff.succeeded()
            # Not `wait_for`: Python 3.11's loses a cancellation that meets a wake, and the agent would never end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s()):
                    await self._wake.wait()

    async def _send(self) -> None:
        for batch in self._uplink.overdue(time.monotonic()):
            if not self._hand_over(batch):
                return
        if self.has_unsent and self._uplink.free > 0:
            news, limit, without = self._news, self._uplink.free, self._uplink.dealt_with()
            batches = await self._spool.run(lambda spool: spool.next_to_send(limit, without))
            for batch in batches:
                if not self._hand_over(batch):
                    return
            if len(batches) < limit:
                self._seen = news

    def _hand_over(self, batch: SealedBatch) -> bool:
        if not self._publish(batch.payload()):
            return False
        self._uplink.sent(batch, time.monotonic())
        return True

    def _wait_s(self) -> float:
        due_s = self._uplink.next_due_s()
        if due_s is None or not self.is_connected:
            return LONGEST_WAIT_S
        return min(LONGEST_WAIT_S, max(0.01, due_s - time.monotonic()))
