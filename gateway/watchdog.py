"""Signs of life for systemd's watchdog: given only while every part makes progress.

An event loop that hangs gives none by itself. A disk that hangs shows by the spool's thread, which then does not come
back; a part that hangs, by its last turn. A dead uplink and a disk that refuses are no reason to be restarted: there
every part goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from gateway import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from base.systemd import Notifier

logger = logging.getLogger(__name__)

HUNG_S = 60.0
"""What takes longer than it should by so much, hangs: a slow SD card's worst moment is seconds."""
PINGS = 4
"""Signs of life in systemd's time: one may be late."""


class Part(NamedTuple):
    """One part that must make progress."""

    name: str
    overdue_at_s: float
    """On the monotonic clock: without a sign of life by then, it hangs."""


class Watchdog:
    """The task that gives signs of life."""

    def __init__(
        self,
        notifier: Notifier,
        parts: Callable[[], Iterable[Part]],
        disk: Callable[[], Awaitable[object]],
        disk_turned_at_s: Callable[[], float] = lambda: 0.0,
        hung_s: float = HUNG_S,
    ) -> None:
        """`parts`: as they are now; `disk`: comes back when the spool's thread has a moment.

        `disk_turned_at_s`: when long work of that thread last came on a bit, on the monotonic clock.
        """
        self._notifier = notifier
        self._parts = parts
        self._disk = disk
        self._disk_turned_at_s = disk_turned_at_s
        self._hung_s = hung_s
        self._probe: asyncio.Future[object] | None = None
        self._probed_at_s = 0.0
        self._hangs = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Give signs of life until told to stop; does nothing where systemd does not wait for any."""
        if self._notifier.watchdog_s is None:
            return
        while not await clock.stopped_within(stop, self._notifier.watchdog_s / PINGS):
            hanging = self.hanging()
            if not hanging:
                self._notifier.alive()
            elif hanging != self._hangs:
                logger.critical("no sign of life from %s: systemd will start the agent anew", hanging)
            self._hangs = hanging
        if self._probe is not None:
            self._probe.cancel()

    def hanging(self) -> str:
        """Return the name of a part that hangs; empty where none does."""
        now_s = time.monotonic()
        if self._probe is None or self._probe.done():
            self._probe = asyncio.ensure_future(self._disk())
            self._probe.add_done_callback(_taken)
            self._probed_at_s = now_s
        elif now_s - max(self._probed_at_s, self._disk_turned_at_s()) > self._hung_s:
            return "the disk"
        return next((part.name for part in self._parts() if now_s > part.overdue_at_s + self._hung_s), "")


def _taken(probe: asyncio.Future[object]) -> None:
    """Look at how a probe ended: any end is a sign of life."""
    if not probe.cancelled():
        probe.exception()
