"""A TCP proxy between any two parts, for cutting and half-opening the link between them.

Directions are seen from whoever connected: `up` is what the client sends, `down` what it is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from simulator.servers import LOOPBACK, free_port

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

Direction: TypeAlias = Literal["up", "down"]
BOTH: tuple[Direction, ...] = get_args(Direction)
CHUNK_BYTES = 65_536
LOOK_S = 0.02
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST, as a machine does that has forgotten the connection."""


@dataclass
class _Way:
    """What happens to one direction of all connections."""

    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: nothing is read, and the sender's buffers fill up."""
    swallows: bool = False
    delay_s: float = 0.0
    bytes_per_s: float | None = None

    def __post_init__(self) -> None:
        self.is_open.set()


@dataclass(eq=False)
class _Pair:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    is_torn: bool = False
    """Bytes of it were swallowed: its stream is no longer what was sent."""

    def reset(self) -> None:
        """End both sides with RST."""
        for writer in (self.client, self.server):
            if writer is not None:
                _reset(writer)


class Proxy:
    """Listens on a port of its own for one target; a new one passes everything. For use in one event loop."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target = LOOPBACK, target_port
        self._ways: dict[Direction, _Way] = {"up": _Way(), "down": _Way()}
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.accepted = 0

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deafen()
        self.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return len(self._pairs)

    async def restore(self) -> None:
        """Pass everything again. Connections that lost bytes end with RST; those that only stood still go on."""
        for pair in list(self._pairs):
            if pair.is_torn or pair.server is None:
                pair.reset()
        for way in self._ways.values():
            way.swallows, way.delay_s, way.bytes_per_s = False, 0.0, None
            way.is_open.set()
        await self._listen()

    def cut(self) -> None:
        """End all connections with RST; new ones are as they were before."""
        for pair in list(self._pairs):
            pair.reset()

    def refuse(self) -> None:
        """End all connections, and refuse new ones, as where nobody listens."""
        self._deafen()
        self.cut()

    def blackhole(self, *directions: Direction) -> None:
        """Take what is sent and pass nothing on, and connect new clients to nobody: half-open. Both unless named."""
        for direction in directions or BOTH:
            self._ways[direction].swallows = True
            self._ways[direction].is_open.set()

    def stall(self, *directions: Direction) -> None:
        """Stop passing, and lose nothing: what is sent waits, as behind a router that is gone for a while."""
        for direction in directions or BOTH:
            self._ways[direction].is_open.clear()

    def delay(self, delay_s: float, *directions: Direction) -> None:
        """Pass everything so much later."""
        for direction in directions or BOTH:
            self._ways[direction].delay_s = delay_s

    def limit(self, bytes_per_s: float | None, *directions: Direction) -> None:
        """Pass at most so many bytes a second on each connection; without a bound where None."""
        for direction in directions or BOTH:
            self._ways[direction].bytes_per_s = bytes_per_s

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, LOOPBACK, self.port)

    def _deafen(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of asyncio's server
        self._tasks.add(task)
        pair = _Pair(writer)
        self._pairs.add(pair)
        self.accepted += 1
        try:
            await self._carry(reader, pair)
        except* OSError:
            pass  # the target refuses, or one of the two has gone
        except* asyncio.CancelledError:
            pass  # the proxy ends; asyncio's server would log it as a fault
        finally:
            self._pairs.discard(pair)
            self._tasks.discard(task)
            pair.reset()

    async def _carry(self, reader: asyncio.StreamReader, pair: _Pair) -> None:
        if self._ways["up"].swallows:
            await self._pass("up", reader, pair, None)
            return
        answers, pair.server = await asyncio.open_connection(*self._target)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_end("up", reader, pair, pair.server))
            group.create_task(self._until_end("down", answers, pair, pair.client))

    async def _until_end(
        self, direction: Direction, source: asyncio.StreamReader, pair: _Pair, sink: asyncio.StreamWriter
    ) -> None:
        """Pass one direction; its end is handed on, its breaking ends both."""
        try:
            await self._pass(direction, source, pair, sink)
            with contextlib.suppress(OSError):
                sink.write_eof()
        except* OSError:
            pair.reset()

    async def _pass(
        self,
        direction: Direction,
        source: asyncio.StreamReader,
        pair: _Pair,
        sink: asyncio.StreamWriter | None,
    ) -> None:
        way = self._ways[direction]
        loop = asyncio.get_running_loop()
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1024)
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write(way, late, pair, sink))
            while data := await source.read(CHUNK_BYTES):
                await way.is_open.wait()
                await late.put((loop.time() + way.delay_s, data))
            await late.put((loop.time() + way.delay_s, b""))
            await writing

    async def _write(
        self, way: _Way, late: asyncio.Queue[tuple[float, bytes]], pair: _Pair, sink: asyncio.StreamWriter | None
    ) -> None:
        """Hand on what was read, when its time has come and at the rate that is allowed."""
        loop = asyncio.get_running_loop()
        while True:
            at, data = await late.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            if not data:
                return
            await self._write_chunk(way, data, pair, sink)

    async def _write_chunk(self, way: _Way, data: bytes, pair: _Pair, sink: asyncio.StreamWriter | None) -> None:
        while data:
            await way.is_open.wait()
            if way.swallows or sink is None:
                pair.is_torn = True
                return
            rate = way.bytes_per_s
            size = len(data) if rate is None else max(1, round(rate * LOOK_S))
            sink.write(data[:size])
            await sink.drain()
            data = data[size:]
            if rate is not None:
                await asyncio.sleep(size / rate)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
