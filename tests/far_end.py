"""The far end of a serial line, played byte by byte; and a line that was never opened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

from base.errors import TransientError
from edge.interface import ParkedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.listening import ListeningBus
    from edge.stream import LineSettings


class FarEnd:
    """What is connected to a port; `behave` hears what is put on the line, and says what to answer at once."""

    def __init__(self, master: int, port: str) -> None:
        self.port = port
        self.heard = bytearray()
        self.behave: Callable[[bytes], bytes] = lambda _: b""
        self._master = master

    def write(self, data: bytes) -> None:
        """Put bytes on the line."""
        if data:
            os.write(self._master, data)

    def _hear(self) -> None:
        data = os.read(self._master, 4096)
        self.heard += data
        self.write(self.behave(data))


@contextmanager
def far_end() -> Iterator[FarEnd]:
    """Open a pseudo-terminal on the running event loop."""
    loop = asyncio.get_running_loop()
    master, slave = os.openpty()
    tty.setraw(slave)
    end = FarEnd(master, os.ttyname(slave))
    loop.add_reader(master, end._hear)
    try:
        yield end
    finally:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)


async def until(is_so: Callable[[], bool]) -> None:
    """Let the event loop go on until something is so; a minute is for machines that stall."""
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - whatever it is has no event
            await asyncio.sleep(0.005)


class PlayedTime:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the time in s."""
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.now_s += seconds
        await asyncio.sleep(0)


class WrittenLine:
    """A line that keeps what was written to it, with the time; it breaks after `most` writes."""

    def __init__(self, clock: Callable[[], float], most: int = 1000) -> None:
        self.written: list[tuple[float, bytes]] = []
        self._clock, self._most = clock, most

    async def read(self) -> bytes:
        """Nothing ever comes."""
        await asyncio.Event().wait()
        return b""

    async def write(self, data: bytes) -> None:
        """Keep it."""
        if len(self.written) >= self._most:
            raise TransientError("the line is gone")
        self.written.append((self._clock(), data))

    def discard(self) -> None:
        """Nothing has come."""

    def set(self, settings: LineSettings) -> None:
        """As it is."""

    def close(self) -> None:
        """Nothing is open."""


async def opened(bus: ListeningBus, device: str) -> None:
    """Let a bus open its port, and return when it is heard: what came before is lost, as on a real line."""
    decoder = bus._decoder
    is_open = asyncio.Event()
    reset = decoder.reset

    def now_open() -> None:
        reset()
        is_open.set()

    decoder.reset = now_open  # type: ignore[method-assign]
    with contextlib.suppress(ParkedError):
        await bus.read(device)
    async with asyncio.timeout(60):
        await is_open.wait()
