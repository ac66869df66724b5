"""One worker process as the agent sees it: frames out, replies in, in order; killed where it does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from pathlib import Path
from typing import NamedTuple

from edge.lorawan.codec import worker
from edge.lorawan.codec.errors import CodecError, NoWorkerError

START_S = 20.0
"""Until a worker must have said that it is there: a Pi under load takes seconds to start a Python."""
ANSWER_S = 0.8
"""Until the reply to the oldest call must have come, on the wall clock."""
BUSY_S = 0.05
"""Of processor time: a worker that had less of it while nothing came was not given any, or was stopped."""
END_S = 1.0
MAPPED_BYTES = "65536"
"""Blocks from this size on go back to the system when a context is let go; glibc would else keep ever larger ones."""
FILE = Path(worker.__file__)


class Reply(NamedTuple):
    """What the worker said: one of its statuses, and a text."""

    status: int
    text: str


class Process(asyncio.SubprocessProtocol):
    """A worker that was started. Calls are answered in the order in which they were made."""

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer_s = answer_s
        self._transport: asyncio.SubprocessTransport | None = None
        self._pipe: asyncio.WriteTransport | None = None
        self._out: list[bytes] = []
        self._in = bytearray()
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._moved_at = 0.0
        self._cpu_s = 0.0
        self._is_starved = False
        self._watch: asyncio.TimerHandle | None = None
        self._reason = ""
        self.is_alive = True
        """Whether it takes calls."""
        self.replies = 0
        self.ended: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def start(cls, answer_s: float = ANSWER_S) -> Process:
        """Start a worker and wait until it is there.

        Raises: NoWorkerError, in a sentence, where it does not come up.
        """
        environment = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PATH": os.defpath, "MALLOC_MMAP_THRESHOLD_": MAPPED_BYTES}
        if "LD_LIBRARY_PATH" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        loop = asyncio.get_running_loop()
        try:
            _, process = await loop.subprocess_exec(
                lambda: cls(answer_s),
                sys.executable,
                "-I",  # neither the environment nor the working directory decides what it imports
                "-B",
                str(FILE),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise NoWorkerError(f"the worker for codecs cannot be started ({error.strerror})") from error
        try:
            async with asyncio.timeout(START_S):
                await asyncio.shield(process.ready)
        except TimeoutError as error:
            raise NoWorkerError(f"the worker for codecs did not come up within {START_S:g} s") from error
        finally:
            if not process.is_ready:
                process.kill("")
                await asyncio.shield(process.ended)
        return process

    @property
    def pid(self) -> int:
        """The process."""
        return 0 if self._transport is None else self._transport.get_pid()

    @property
    def is_ready(self) -> bool:
        """Whether it has come up."""
        return self.ready.done() and not self.ready.cancelled() and self.ready.exception() is None

    async def finish(self) -> None:
        """Wait for the answers to all calls that were made."""
        if self._waiting:
            await asyncio.wait([self._waiting[-1]])

    def load(self, number: int, source: bytes) -> None:
        """Give it a codec; what is wrong with that, its calls say."""
        self._send(worker.LOAD, number, source)

    def call(self, operation: int, number: int, body: bytes) -> asyncio.Future[Reply]:
        """Call a codec.

        The future raises: CodecError where this call ended the worker; NoWorkerError where the worker ended before
        it was this call's turn.
        """
        answer: asyncio.Future[Reply] = self._loop.create_future()
        if not self.is_alive:
            answer.set_exception(NoWorkerError("the worker for codecs has ended"))
            return answer
        if not self._waiting:
            self._moved_at = self._loop.time()
        self._waiting.append(answer)
        self._send(operation, number, body)
        if self._watch is None:
            self._watch_for(self._answer_s)
        return answer

    def kill(self, reason: str) -> None:
        """End it now; `reason` is told to whoever's turn it was."""
        self._reason = self._reason or reason
        if self._transport is not None:
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()

    async def close(self) -> None:
        """End it by the end of its input."""
        if self._pipe is not None:
            self._pipe.close()
        if self._transport is None:
            return
        try:
            async with asyncio.timeout(END_S):
                await asyncio.shield(self.ended)
        except TimeoutError:
            self.kill("")
            await self.ended

    def _send(self, operation: int, number: int, body: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += (worker.REQUEST.pack(len(body), operation, number), body)

    def _flush(self) -> None:
        out, self._out = b"".join(self._out), []
        if self._pipe is not None and self.is_alive:
            self._pipe.write(out)

    def _watch_for(self, seconds: float) -> None:
        self._cpu_s = self._used_cpu_s()
        self._watch = self._loop.call_later(seconds, self._look)

    def _used_cpu_s(self) -> float:
        """Return the processor time of the worker."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0.0

    def _look(self) -> None:
        """Look whether the oldest call has waited too long.

        Where the worker had next to no processor time meanwhile, the call is not to blame.
        """
        self._watch = None
        if not self._waiting or not self.is_alive:
            return
        left_s = self._moved_at + self._answer_s - self._loop.time()
        if left_s <= 0:
            self._is_starved = self._used_cpu_s() - self._cpu_s < BUSY_S
            self.kill(f"did not end within {self._answer_s:g} s")
        else:
            self._watch_for(left_s)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the pipes."""
        assert isinstance(transport, asyncio.SubprocessTransport)  # noqa: S101 - what asyncio promises
        self._transport = transport
        pipe = transport.get_pipe_transport(0)
        assert isinstance(pipe, asyncio.WriteTransport)  # noqa: S101 - likewise
        self._pipe = pipe

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - asyncio's
        """Take replies."""
        self._in += data
        buffer, at = self._in, 0
        while len(buffer) - at >= worker.REPLY.size:
            length, status = worker.REPLY.unpack_from(buffer, at)
            begin = at + worker.REPLY.size
            if len(buffer) < begin + length:
                break
            at = begin + length
            self._take(Reply(status, bytes(buffer[begin:at]).decode("utf-8", "replace")))
        del buffer[:at]

    def _take(self, reply: Reply) -> None:
        if not self.ready.done():
            if reply.status == worker.READY:
                self.ready.set_result(None)
            else:
                self.ready.set_exception(NoWorkerError(f"the worker for codecs cannot run: {reply.text}"))
            return
        self._moved_at = self._loop.time()
        self.replies += 1
        if self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(reply)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Tell all who wait, once the worker will say no more."""
        if fd == 1:
            self._give_up()
            self._loop.call_later(END_S, self._end)

    def _end(self) -> None:
        """End a worker that has closed its output, and did not end with that."""
        if not self.ended.done():
            self.kill("")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Note that it has ended, and all pipes with it."""
        self._give_up()
        if self._transport is not None:
            self._transport.close()
        if not self.ended.done():
            self.ended.set_result(None)

    def _give_up(self) -> None:
        self.is_alive = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if not self.ready.done():
            self.ready.set_exception(NoWorkerError("the worker for codecs ended before it was there"))
            self.ready.exception()
        is_first = True
        while self._waiting:
            answer = self._waiting.popleft()
            if answer.done():
                is_first = False
                continue
            if is_first and not self._is_starved:
                answer.set_exception(CodecError(self._reason or "ended the worker that ran it"))
            else:
                answer.set_exception(NoWorkerError("the worker for codecs ended"))
            is_first = False
