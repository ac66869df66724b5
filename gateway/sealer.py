"""Collects samples and seals them: every interval, or earlier where many have come together."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from base.errors import MessnetzError
from base.retry import Backoff
from gateway import boots
from gateway.spool import Spool
from gateway.spool_records import DAY_MS, Limits
from gateway.stamps import is_placed
from gateway.whole import whole
from wire.bounds import MAX_TIME_MS
from wire.gaps import Gap
from wire.ids import is_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from gateway.config import SpoolConfig
    from gateway.stamps import Timing
    from gateway.timekeeper import Timekeeper
    from gateway.uplink import Uplink
    from wire.readings import Sample

T = TypeVar("T")
logger = logging.getLogger(__name__)

GATHER_S = 0.05
"""How long an urgent sample waits for others, so that several share a commit."""
FIRST_S = 2.0
"""How long the first seal after a start waits until every device was read once: somebody stands beside the gateway."""
PLACED_AT_ONCE = 16
"""Batches in one transaction."""
MAX_PENDING_READINGS = 200_000
"""What is kept in memory while the disk refuses; then the oldest go, and the log says how many."""


MAX_HOOKS = 50_000
"""Likewise, of sources that want to be told of a seal; a broker sends again what it was not told of."""


@dataclass
class Loss:
    """What of one device was lost in memory, from when to when."""

    since_ms: int
    until_ms: int = 0
    readings: int = 0


class _Hooks(NamedTuple):
    """What a source wants to be done before and after the seal of what it said."""

    before: Callable[[], None] | None
    after: Callable[[], None] | None


class SpoolThread:
    """The one thread that owns the spool; a slow SD card delays seals, never polls."""

    def __init__(self, spool: Spool, executor: ThreadPoolExecutor) -> None:
        self.spool = spool
        self._executor = executor

    @classmethod
    async def open(
        cls,
        path: Path,
        config: SpoolConfig,
        devices: Collection[str] = (),
        keeper: Timekeeper | None = None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> SpoolThread:
        """Open the spool on a thread of its own; a disk that does not let it is asked again with every call.

        `devices` are those that a gap concerns where the disk does not tell; `keeper` has the time;
        `on_turn` hears whenever a rescue came on a bit, on the spool's thread.

        Raises: LockedError where another agent has it.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        limits = Limits(
            quota_bytes=config.quota_mb << 20,
            floor_bytes=config.floor_mb << 20,
            keep_unconfirmed_ms=round(config.keep_unconfirmed_d * DAY_MS),
        )
        keep_ms = round(config.keep_confirmed_d * DAY_MS)
        made = functools.partial(
            Spool, path, keep_confirmed_ms=keep_ms, limits=limits, devices=devices, on_turn=on_turn
        )
        if keeper is not None:
            made = functools.partial(made, boot=keeper.boot, now_ms=keeper.now_ms)
        return cls(await asyncio.get_running_loop().run_in_executor(executor, made), executor)

    async def run(self, call: Callable[[Spool], T]) -> T:
        """Run a call on the spool's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, self.spool)

    async def close(self) -> None:
        """Close the spool and end the thread."""
        await self.run(Spool.close)
        self._executor.shutdown()


class Sealer:
    """Samples on their way to the disk."""

    def __init__(
        self,
        spool: SpoolThread,
        uplink: Uplink,
        config: SpoolConfig,
        keeper: Timekeeper,
        on_sealed: Callable[[], None],
        mark: Callable[[Sample], Sample] = lambda sample: sample,
    ) -> None:
        """`mark` is done with every sample that has its time, once; also on the spool's thread."""
        self._spool = spool
        self._keeper = keeper
        self._mark = mark
        self._uplink = uplink
        self._config = config
        self._on_sealed = on_sealed
        self._pending: deque[Sample] = deque()
        self._hooks: list[_Hooks] = []
        self._putting_off = Backoff("what is to be written beside a seal is put off", logger)
        self._losing = Backoff("the disk does not take readings and memory is full", logger)
        self.losses: dict[str, Loss] = {}
        self._stopped: frozenset[str] = frozenset()
        self._unread: set[str] = set()
        """Devices that the first seal waits for; empty after it."""
        self.dropped_readings = 0
        """How many readings were lost because the disk did not take them."""
        self._full = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()
        self._backoff = Backoff("spool", logger)
        self._error: Exception | str = ""
        self.pending_readings = 0
        self.turned_at_s = time.monotonic()
        """When it last showed a sign of life, on the monotonic clock."""

    @property
    def error(self) -> str:
        """Why the last seal failed; empty where it did not."""
        return str(self._error)

    def started(self, devices: Iterable[str]) -> None:
        """Say which devices were not read since the last seal of the agent before; the first seal records it.

        It comes as soon as all of them were read, or soon after the first one was.
        """
        self._stopped = frozenset(devices)
        self._unread = set(devices)

    def add(self, sample: Sample, *, urgent: bool = False) -> None:
        """Take a sample; it is on disk after the next seal, an urgent one at once. Where memory is full, the oldest go.

        Several urgent samples that come together share a seal.
        """
        if not all(math.isfinite(reading.value) for reading in sample.readings):
            logger.error("device %s: a value that is no number; the sample is left out", sample.device)
            return
        self._pending.append(self._mark(sample) if is_placed(sample.measured_at_ms) else sample)
        self.pending_readings += len(sample.readings)
        self._bound()
        if self.pending_readings >= self._config.seal_readings:
            self._full.set()
        elif urgent:
            self._seal_within(GATHER_S)
        elif self._unread:
            self._unread.discard(sample.device)
            self._seal_within(FIRST_S if self._unread else 0.0)

    def with_next_seal(
        self, before: Callable[[], None] | None, after: Callable[[], None] | None, *, urgent: bool = False
    ) -> None:
        """Call `before` on the spool's thread before all that is pending now is committed, `after` when it is.

        Where `before` raises, the commit goes on, and both are called with the next one.
        """
        if before is not None or after is not None:
            self._hooks.append(_Hooks(before, after))
            del self._hooks[:-MAX_HOOKS]
        if urgent:
            self._seal_within(GATHER_S)

    async def run(self, stop: asyncio.Event) -> None:
        """Seal until told to stop; what is pending then is sealed by a last call of `seal`."""
        stopped = asyncio.ensure_future(stop.wait())
        while not stop.is_set():
            self.turned_at_s = time.monotonic()
            full = asyncio.ensure_future(self._full.wait())
            await asyncio.wait(
                {stopped, full}, timeout=self._config.seal_interval_s, return_when=asyncio.FIRST_COMPLETED
            )
            full.cancel()
            if not (await self.seal() and await self._place()):
                await asyncio.wait({stopped}, timeout=self._backoff.failed(self._error))

    async def seal(self) -> bool:
        """Commit what is pending, and mark what was confirmed. Returns False where the disk refused.

        Where this call is cancelled, the seal goes on, and the next one waits for it: no sample is between the two.
        """
        return await whole(self._seal())

    async def _seal(self) -> bool:
        async with self._turn:
            while not await self._commit():
                if isinstance(self._error, MessnetzError) or not await self._leave_out():
                    return False
        return True

    async def _commit(self) -> bool:
        """Seal in one transaction; where that fails, everything is pending again, and `_error` says why."""
        samples, self._pending = self._pending, deque()
        losses, self.losses = self.losses, {}
        hooks, self._hooks = self._hooks, []
        put_off: list[_Hooks] = []
        self._full.clear()
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        settled = self._uplink.settled()
        in_flight = self._uplink.dealt_with()
        stopped, now_ms, boot_ms = self._stopped, self._keeper.now_ms(), self._keeper.boot_ms()
        timing = self._keeper.timing

        def commit(spool: Spool) -> None:
            put_off[:] = [each for each in hooks if each.before is not None and not self._is_done(each.before)]
            kept = None if timing is None else spool.keep_time(timing)
            timed = samples if kept is None else [self._placed(sample, kept) for sample in samples]
            if timed and stopped:
                spool.declare_stopped(stopped, min(sample.measured_at_ms for sample in timed))
            batches = list(_chunks(timed, self._config.seal_readings))
            gaps = [_gap(device, loss, kept) for device, loss in losses.items()]
            since_boot_ms = boot_ms if kept is None else None
            spool.seal(batches, settled, now_ms, gaps=gaps, in_flight=in_flight, boot_ms=since_boot_ms)

        try:
            await self._spool.run(commit)
        except Exception as error:
            if not isinstance(error, MessnetzError):
                logger.exception("sealing")
            self._error = error
            self._pending = samples + self._pending
            self._hooks = hooks + self._hooks
            self._take_back(losses)
            self._bound()
            return False
        if samples:
            self._stopped = frozenset()
            self._unread.clear()
        self.pending_readings -= _count(samples)
        self._uplink.marked(settled)
        self._backoff.succeeded()
        self._error = ""
        self._hooks = put_off + self._hooks
        self._tell(hooks, put_off)
        if samples or losses:
            self._on_sealed()
        return True

    def _tell(self, hooks: Sequence[_Hooks], put_off: Collection[_Hooks]) -> None:
        """Tell sources what is on disk; not those that could not write down what belongs to it."""
        if not put_off:
            self._putting_off.succeeded()
        for each in hooks:
            if each.after is not None and each not in put_off:
                self._is_done(each.after)

    def _is_done(self, hook: Callable[[], None]) -> bool:
        """Call what a source wants to be done. A fault of it stops no seal."""
        try:
            hook()
        except MessnetzError as error:
            self._putting_off.failed(error)
            return False
        except Exception:
            logger.exception("around a seal")
            return False
        return True

    async def _leave_out(self) -> bool:
        """Leave out what cannot be packed, so that the rest can: a fault of ours. Returns whether there was any."""
        samples, timing = list(self._pending), self._keeper.timing

        def is_ill(sample: Sample) -> bool:
            try:
                row = boots.row_of([sample if timing is None else self._placed(sample, timing)])
            except Exception:
                logger.exception("device %s: a sample that cannot be packed is left out", sample.device)
                return True
            if abs(row.first_ms) <= MAX_TIME_MS:
                return False
            logger.error("device %s: a sample of a time that cannot be is left out", sample.device)
            return True

        ill = {id(sample) for sample in await self._spool.run(lambda _: [each for each in samples if is_ill(each)])}
        left_out = [sample for sample in self._pending if id(sample) in ill]
        self._pending = deque(sample for sample in self._pending if id(sample) not in ill)
        for sample in left_out:
            self._lose(sample)
        return bool(left_out)

    def _seal_within(self, seconds: float) -> None:
        """Seal so soon, with what comes until then."""
        loop = asyncio.get_running_loop()
        at_s = loop.time() + seconds
        if self._gathering is None or at_s < self._gathering.when():
            if self._gathering is not None:
                self._gathering.cancel()
            self._gathering = loop.call_at(at_s, self._full.set)

    def _placed(self, sample: Sample, timing: Timing) -> Sample:
        if is_placed(sample.measured_at_ms):
            return sample
        return self._mark(timing.place(sample))

    async def _place(self) -> bool:
        """Have batches without a time rewritten where it is known now, few at a time: others use the spool meanwhile.

        Returns False where the disk refused.
        """
        try:
            while self._spool.spool.may_place:
                if await self._spool.run(lambda spool: spool.place(PLACED_AT_ONCE, self._mark)):
                    self.turned_at_s = time.monotonic()
                    self._on_sealed()
        except Exception as error:
            if not isinstance(error, MessnetzError):
                logger.exception("placing")
            self._error = error
            return False
        return True

    def flush(self) -> None:
        """Seal at once: the time has come, or another one."""
        self._full.set()

    def _bound(self) -> None:
        """Keep what is in memory within its bound, whether the disk refuses or hangs."""
        while self.pending_readings > MAX_PENDING_READINGS and self._pending:
            self._lose(self._pending.popleft())
            self._losing.failed(f"{self.dropped_readings} readings lost so far")

    def _lose(self, sample: Sample) -> None:
        """Count a sample that is no longer pending as lost; the next seal records it as a gap where its device has one.

        A time that cannot be counts as now.
        """
        self.pending_readings -= len(sample.readings)
        self.dropped_readings += len(sample.readings)
        if not is_id(sample.device):
            return
        at_ms = sample.measured_at_ms
        if not 0 <= at_ms <= MAX_TIME_MS:
            at_ms = self._keeper.now_ms() if self._keeper.timing is not None else self._keeper.boot_ms()
        loss = self.losses.setdefault(sample.device, Loss(at_ms))
        loss.since_ms = min(loss.since_ms, at_ms)
        loss.until_ms = max(loss.until_ms, at_ms)
        loss.readings += len(sample.readings)

    def _take_back(self, losses: dict[str, Loss]) -> None:
        """Keep losses that could not be recorded, together with those since."""
        for device, loss in losses.items():
            since = self.losses.get(device)
            if since is not None:
                loss.until_ms = max(loss.until_ms, since.until_ms)
                loss.since_ms = min(loss.since_ms, since.since_ms)
                loss.readings += since.readings
            self.losses[device] = loss


def _gap(device: str, loss: Loss, timing: Timing | None) -> Gap:
    """Make a gap of a loss; in Unix time where the time is known, else since the machine's start as the loss."""
    by_ms = 0 if timing is None else timing.placing_ms
    times = (loss.since_ms, loss.until_ms)
    since_ms, until_ms = (at_ms if is_placed(at_ms) else at_ms + by_ms for at_ms in times)
    return Gap(device, since_ms, until_ms, "disk", loss.readings)


def _count(samples: Iterable[Sample]) -> int:
    return sum(len(sample.readings) for sample in samples)


def _chunks(samples: Iterable[Sample], most_readings: int) -> Iterator[list[Sample]]:
    """Split samples into batches; a sample is never split, and a batch may exceed the size by one sample."""
    chunk: list[Sample] = []
    readings = 0
    for sample in samples:
        chunk.append(sample)
        readings += len(sample.readings)
        if readings >= most_readings:
            yield chunk
            chunk, readings = [], 0
    if chunk:
        yield chunk
