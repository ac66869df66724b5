"""Codecs as the drivers use them: one worker for all devices of a process, started with the first message.

A codec is called with what came from a device, and says what it means. Whatever it does, it costs that message:
`CodecError`. What is no codec's fault is `NoWorkerError`: the message can be decoded later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from base.retry import Backoff
from edge.lorawan.codec import worker
from edge.lorawan.codec.errors import CodecError, NoWorkerError
from edge.lorawan.codec.process import ANSWER_S, Process
from edge.lorawan.codec.result import Decoded, Encoded, decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.lorawan.codec.process import Reply

T = TypeVar("T")
logger = logging.getLogger(__name__)

AT_ONCE = 512
"""Calls under way; others wait."""
NUMBERS = 4096
"""Codecs of devices that are told apart; beyond it those are numbered anew that were not used for long."""
MAX_SOURCE_BYTES = 1 << 20
RENEW_AFTER = 1_000_000
"""Calls until a worker is replaced: what it may have leaked goes, and processor time is counted from 0."""
LONGEST_WAIT_S = 5.0
"""For a worker that has to be left alone for a while; who would wait longer is told so."""
TRIES = 3
"""Workers that may end under a message that was not their last."""


class Codecs:
    """Codecs in a worker process. For one event loop."""

    def __init__(self, *, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._process: Process | None = None
        self._starting = asyncio.Lock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._backoff = Backoff("the worker for codecs", logger, first_s=0.5, cap_s=30.0)
        self._not_before_s = 0.0
        self._numbers: dict[tuple[str, str], int] = {}
        self._next = 0
        self._loaded: set[int] = set()
        self.faults = 0
        """Messages that a codec had no result for."""
        self.restarts = 0
        """Workers that were replaced because a codec ended them."""

    async def decode(self, device: str, source: str, f_port: int, payload: bytes, recv_time_ms: int) -> Decoded:
        """Decode what a device sent. `source` is the codec's JavaScript.

        Raises: CodecError where the codec has no result for it; NoWorkerError where none can run now.
        """
        given = {"bytes": list(payload), "fPort": f_port, "recvTime": recv_time_ms}
        return self._take(decoded, await self._call(worker.CALL_UPLINK, device, source, given))

    async def decode_downlink(self, device: str, source: str, f_port: int, payload: bytes) -> Decoded:
        """Say what a message to a device means. Raises as `decode`."""
        given = {"bytes": list(payload), "fPort": f_port}
        return self._take(decoded, await self._call(worker.CALL_DOWNLINK, device, source, given))

    async def encode_downlink(self, device: str, source: str, data: dict[str, Any]) -> Encoded:
        """Make a message to a device. Raises as `decode`."""
        return self._take(encoded, await self._call(worker.CALL_ENCODE, device, source, {"data": data}))

    async def close(self) -> None:
        """End the worker, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            await process.close()

    @property
    def pid(self) -> int | None:
        """The worker's process id; None where none runs."""
        return self._process.pid if self._process is not None and self._process.is_alive else None

    def _take(self, take: Callable[[str], T], reply: Reply) -> T:
        try:
            return take(_result_of(reply))
        except CodecError:
            self.faults += 1
            raise

    async def _call(self, operation: int, device: str, source: str, given: dict[str, Any]) -> Reply:
        body = msgspec.json.encode(given)
        async with self._slots:
            for _ in range(TRIES):
                process = await self._running()
                try:
                    return await self._ask(process, operation, self._number(device, source), source, body)
                except NoWorkerError:  # another codec ended it before it was this one's turn
                    continue
                except CodecError:
                    self.faults += 1
                    self.restarts += 1
                    raise
        raise NoWorkerError(f"{TRIES} workers for codecs ended in a row", retry_after_s=5.0)

    async def _ask(self, process: Process, operation: int, number: int, source: str, body: bytes) -> Reply:
        if number not in self._loaded:
            self._load(process, number, source)
        reply = await process.call(operation, number, body)
        if reply.status != worker.UNKNOWN:
            return reply
        self._load(process, number, source)  # the worker had let it go
        return await process.call(operation, number, body)

    def _load(self, process: Process, number: int, source: str) -> None:
        data = source.encode("utf-8", "replace")
        if len(data) > MAX_SOURCE_BYTES:
            data = b"throw 'is over 1 MiB'"
        process.load(number, data)
        self._loaded.add(number)

    def _number(self, device: str, source: str) -> int:
        """Return the number of a device's codec: another one when the source changes."""
        key = (device, source)
        number = self._numbers.pop(key, None)
        if number is None:
            self._next = self._next + 1 & 0xFFFFFFFF
            number = self._next
            if len(self._numbers) >= NUMBERS:
                self._loaded.discard(self._numbers.pop(next(iter(self._numbers))))
        self._numbers[key] = number
        return number

    async def _running(self) -> Process:
        """Return the worker; start one where there is none."""
        process = self._process
        if process is not None and process.is_alive and process.replies < RENEW_AFTER:
            return process
        async with self._starting:
            process = self._process
            if process is not None and process.is_alive and process.replies < RENEW_AFTER:
                return process
            if process is not None:
                await self._let_go(process)
            wait_s = self._not_before_s - time.monotonic()
            if wait_s > LONGEST_WAIT_S:
                raise NoWorkerError("no worker for codecs; it is tried again soon", retry_after_s=wait_s)
            await asyncio.sleep(max(0.0, wait_s))
            try:
                started = await Process.start(self._answer_s)
            except NoWorkerError as error:
                self._not_before_s = time.monotonic() + self._backoff.failed(error)
                raise
            self._backoff.succeeded()
            self._loaded.clear()
            self._process = started
            return started

    async def _let_go(self, process: Process) -> None:
        """Let go of a worker that has ended, or has served its time."""
        self._process = None
        if process.is_alive:
            await process.finish()
            await process.close()
            return
        if not process.replies:  # it ended with its first call: a codec that does so each time must not keep us busy
            self._not_before_s = time.monotonic() + self._backoff.failed("ended with its first message")


def _result_of(reply: Reply) -> str:
    if reply.status != worker.RESULT:
        raise CodecError(reply.text)
    return reply.text


_shared: dict[asyncio.AbstractEventLoop, Codecs] = {}


def shared() -> Codecs:
    """Return the codecs of this event loop: one worker for all sources of a gateway."""
    loop = asyncio.get_running_loop()
    for old in [each for each in _shared if each.is_closed()]:
        del _shared[old]
    return _shared.setdefault(loop, Codecs())
