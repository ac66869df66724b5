"""Carries batches from the spool to the broker, as the uplink's rules say, and takes the collector's word."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from typing import TYPE_CHECKING, TypeVar

from base.errors import MessnetzError
from base.retry import Backoff
from gateway.reading import Order, Reference, Result, read
from gateway.uplink import Lane
from wire import confirm as wire_confirm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.sealer import SpoolThread
    from gateway.spool import SealedBatch, Spool
    from gateway.uplink import Uplink

T = TypeVar("T")
logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0
REFUSED_WAIT_S = 0.5
"""After the broker's connection took no more."""
MOST_READ_AT_ONCE = 64
MOST_UNMARKED = 512
"""Settled batches that the next seal may mark; more are marked at once, so that the spool need not be searched past
them for what is still to be sent, and a kill costs no more re-sends."""
RENEW_AFTER_S = 1.0
"""Before the connection is made anew: time for the answer to the command that asked for it."""


class Sender:
    """The task that sends.

    `on_time` hears the collector's time (Unix, ms) from a confirm that tells nothing else, the answer to status
    `no_time`. `renew` makes the connection anew.
    """

    def __init__(
        self,
        spool: SpoolThread,
        uplink: Uplink,
        publish: Callable[[bytes], bool],
        *,
        on_time: Callable[[int], None] | None = None,
        renew: Callable[[], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._uplink = uplink
        self._publish = publish
        self._on_time = on_time
        self._renew = renew
        self._now_s = monotonic
        self._wake = asyncio.Event()
        self._backoff = Backoff("reading the spool", logger)
        self._marking = Backoff("marking what is confirmed", logger, clock=monotonic)
        self._mark_again_s = -math.inf
        self._nonsense = Backoff("confirms", logger, clock=monotonic)
        self.is_connected = False
        self.turned_at_s = time.monotonic()
        """When it last showed a sign of life, on the monotonic clock."""
        self._connection = 0
        self._renew_at_s = math.inf
        self._reference = Reference()
        self._wakes = 1
        self._fresh_seen = 0  # the news up to which the spool was found to hold nothing fresh ...
        self._seen = 0  # ... and nothing at all

    @property
    def _news(self) -> int:
        """Counts what might have made something to send."""
        return self._wakes + self._uplink.returned

    @property
    def has_unsent(self) -> bool:
        """Whether the spool may hold something that is not in flight."""
        return self._seen != self._news

    def wake(self) -> None:
        """There may be something to send."""
        self._wakes += 1
        self._wake.set()

    def connected(self) -> None:
        """Begin again after a connection: what was in flight is sent again."""
        self.is_connected = True
        self._renew_at_s = math.inf
        self._connection += 1
        self._uplink.reconnected(self._now_s())
        self.wake()

    def disconnected(self) -> None:
        """Wait for the next connection."""
        self.is_connected = False
        self._renew_at_s = math.inf

    def confirmed(self, payload: bytes) -> None:
        """Take a confirm message; one that is none is logged and changes nothing."""
        try:
            confirm = wire_confirm.decode(payload)
        except MessnetzError as error:
            self._nonsense.failed(error)
            return
        settled = self._uplink.confirm(confirm, self._now_s())
        for number, reason in settled.rejected.items():
            logger.error("batch %d is rejected: %s", number, reason)
        if settled:
            self._wake.set()
        is_time = not confirm.batches and not confirm.rejected and confirm.stream == self._spool.spool.stream
        if is_time and self._on_time is not None:
            self._on_time(confirm.now_ms)

    async def resend(self, put_back: Callable[[Spool], T]) -> T:
        """Have the spool put confirmed batches back, because the database lost them; returns what `put_back` does."""
        self.resent()
        try:
            return await self._spool.run(put_back)
        finally:
            self.wake()

    def resent(self) -> None:
        """The database was restored to an older state: no word from before counts any more.

        To be called before the spool's thread is asked to put batches back (`resend` does so): what the sealer has
        asked it to mark by now is marked before that, and nothing that was said before is marked after it. The
        connection is made anew, since the broker may still hold confirms for us, and nothing is sent until it is.
        """
        self._uplink.forget()
        self._connection += 1
        self.wake()
        if self._renew is not None and self.is_connected:
            self.is_connected = False
            self._renew_at_s = self._now_s() + RENEW_AFTER_S

    async def run(self) -> None:
        """Send until cancelled. Whatever goes wrong is logged and tried again: nobody else would send."""
        while True:
            self.turned_at_s = time.monotonic()
            self._wake.clear()
            try:
                wait_s = await self.step()
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
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def step(self) -> float:
        """Send all that may go now; returns the seconds after which more may."""
        await self._mark_many()
        if self._renew is not None and self._now_s() >= self._renew_at_s:
            self._renew_at_s = math.inf
            self._renew()
        while self.is_connected:
            self._uplink.expire(self._now_s())
            order = self._order()
            if not order:
                return self._wait_s()
            if not await self._send(order):
                return REFUSED_WAIT_S
        return min(LONGEST_WAIT_S, self._renew_at_s - self._now_s())

    def _order(self) -> Order:
        """Say what is to be read from the spool, in one go."""
        now_s, uplink = self._now_s(), self._uplink
        again = uplink.overdue()
        probe = uplink.probe_to_send(now_s)
        fresh = uplink.fresh_room() if self._fresh_seen != self._news else 0
        backlog = 0
        if self.has_unsent and (allowance := uplink.pace.allowance(now_s)) >= 1:
            backlog = min(uplink.backlog_room(now_s), max(1, int(min(allowance / self._reference.readings, 1e6))))
        return Order(
            fresh=min(fresh, MOST_READ_AT_ONCE),
            again=tuple(again[:MOST_READ_AT_ONCE]),
            probe=probe,
            backlog=min(backlog, MOST_READ_AT_ONCE),
            without=frozenset(uplink.dealt_with()) if fresh or backlog else frozenset(),
            no_longer_fresh=frozenset(uplink.had_their_chance()) if fresh else frozenset(),
            reference=self._reference,
        )

    async def _send(self, order: Order) -> bool:
        """Read what is ordered and hand it over; False where the broker's connection takes no more."""
        news, connection = self._news, self._connection
        result = await self._spool.run(lambda spool: read(spool, order))
        if connection != self._connection:  # made anew meanwhile, or what was read is from before a `resend`
            return True
        self._reference = result.reference
        for number in result.gone:
            self._uplink.drop(number)  # one that the disk has damaged is set aside by who finds it waiting
        return self._hand_over_all(result, order, news)

    def _hand_over_all(self, result: Result, order: Order, news: int) -> bool:
        uplink = self._uplink
        if not self._hand_over(result.fresh, Lane.FRESH, lambda _: uplink.fresh_room() > 0):
            return False
        if result.is_end_of_fresh and all(uplink.is_known(batch.number) for batch in result.fresh):
            self._fresh_seen = news
        if not self._hand_over(result.again, Lane.BACKLOG, uplink.is_overdue):
            return False

        def hand_over_probe() -> bool:
            return self._hand_over(result.probe, Lane.PROBE, lambda n: uplink.probe_to_send(self._now_s()) == n)

        def hand_over_backlog() -> bool:
            return self._hand_over(
                result.backlog, uplink.backlog_lane, lambda _: uplink.backlog_room(self._now_s()) > 0
            )

        turns = (
            (hand_over_backlog, hand_over_probe) if uplink.is_backlogs_turn else (hand_over_probe, hand_over_backlog)
        )
        if not all(turn() for turn in turns):
            return False
        if len(result.backlog) < order.backlog and all(uplink.is_known(batch.number) for batch in result.backlog):
            self._seen = news
        return True

    def _hand_over(self, batches: Iterable[SealedBatch], lane: Lane, may_go: Callable[[int], bool]) -> bool:
        """Publish batches, but those that may not go any more: while they were read, confirms may have come."""
        for batch in batches:
            if self._uplink.is_settled(batch.number) or not may_go(batch.number):
                continue
            if not self.is_connected or not self._publish(batch.payload()):
                return False
            self._uplink.sent(batch, self._now_s(), lane)
        return True

    async def _mark_many(self) -> None:
        """Mark what is settled where the next seal would have much to mark. A disk that refuses stops no sending."""
        if self._uplink.unmarked_batches < MOST_UNMARKED or self._now_s() < self._mark_again_s:
            return
        settled = self._uplink.settled()
        try:
            await self._spool.run(lambda spool: spool.mark(settled, spool.now_ms()))
        except MessnetzError as error:
            self._mark_again_s = self._now_s() + self._marking.failed(error)
            return
        self._uplink.marked(settled)
        self._marking.succeeded()

    def _wait_s(self) -> float:
        now_s = self._now_s()
        due_s = self._uplink.next_due_s()
        if self.has_unsent and self._uplink.backlog_room(now_s) > 0:
            due_s = min(due_s, self._uplink.pace.ready_s())
        return min(LONGEST_WAIT_S, max(0.01, due_s - now_s))
