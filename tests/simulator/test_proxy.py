"""A link can be cut, refused, half-opened, stalled, delayed and slowed down, and put right again."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

import pytest

from simulator.proxy import Proxy
from simulator.servers import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

DEADLINE_S = 20.0
SILENT_S = 0.2


class Echo:
    """A server that sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.heard = b""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client."""
        try:
            while data := await reader.read(65536):
                self.heard += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Proxy, Echo]]:
    """A proxy before an echo."""
    echo, port = Echo(), free_port()
    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(echo.talk, LOOPBACK, port)
        stack.callback(server.close)
        yield await stack.enter_async_context(Proxy(port)), echo


class Client:
    """One connection through the proxy."""

    made: ClassVar[list[Client]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.made.append(self)

    @classmethod
    def hang_up_all(cls) -> None:
        """End the connections that a test has left."""
        for client in cls.made:
            client.writer.transport.abort()
        cls.made.clear()

    @classmethod
    async def connect(cls, proxy: Proxy) -> Client:
        """Connect to a proxy."""
        return cls(*await asyncio.open_connection(LOOPBACK, proxy.port))

    async def ask(self, text: bytes) -> bytes:
        """Send, and wait for as many bytes."""
        self.writer.write(text)
        return await self.reader.readexactly(len(text))

    async def is_silent(self) -> bool:
        """Whether nothing comes for a while."""
        try:
            async with asyncio.timeout(SILENT_S):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


def run(story: Callable[[Proxy, Echo], Awaitable[None]]) -> None:
    """Tell a story with a proxy before an echo."""

    async def told() -> None:
        async with asyncio.timeout(DEADLINE_S), linked() as (proxy, echo):
            await story(proxy, echo)
            Client.hang_up_all()

    asyncio.run(told())


def test_everything_passes_both_ways_and_so_does_the_end() -> None:
    """More than any buffer holds, byte by byte."""

    async def story(proxy: Proxy, echo: Echo) -> None:
        client = await Client.connect(proxy)
        data = bytes(range(256)) * 4000
        assert await client.ask(data) == data == echo.heard
        client.writer.write_eof()
        assert await client.reader.read() == b""

    run(story)


def test_a_cut_resets_what_is_there_and_lets_new_ones_through() -> None:
    """As when a router restarts."""

    async def story(proxy: Proxy, _echo: Echo) -> None:
        client = await Client.connect(proxy)
        await client.ask(b"a")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await client.reader.read(1)
        assert await (await Client.connect(proxy)).ask(b"b") == b"b"
        assert proxy.accepted == 2

    run(story)


def test_a_refusal_lasts_until_the_link_is_restored() -> None:
    """On the same port then."""

    async def story(proxy: Proxy, _echo: Echo) -> None:
        client = await Client.connect(proxy)
        await client.ask(b"a")
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await client.reader.read(1)
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(proxy)
        await proxy.restore()
        assert await (await Client.connect(proxy)).ask(b"b") == b"b"

    run(story)


def test_a_black_hole_takes_everything_and_gives_nothing() -> None:
    """Old and new connections alike; afterwards those that lost bytes are ended, for they can never be whole."""

    async def story(proxy: Proxy, echo: Echo) -> None:
        old = await Client.connect(proxy)
        await old.ask(b"a")
        proxy.blackhole()
        new = await Client.connect(proxy)
        for client in (old, new):
            client.writer.write(b"lost")
            assert await client.is_silent()
        assert echo.heard == b"a"
        await proxy.restore()
        for client in (old, new):
            with pytest.raises(ConnectionResetError):
                await client.reader.read(1)
        assert await (await Client.connect(proxy)).ask(b"b") == b"b"

    run(story)


def test_a_half_open_link_still_carries_the_other_direction() -> None:
    """What is asked arrives, and the answer does not."""

    async def story(proxy: Proxy, echo: Echo) -> None:
        client = await Client.connect(proxy)
        proxy.blackhole("down")
        client.writer.write(b"heard")
        assert await client.is_silent()
        assert echo.heard == b"heard"

    run(story)


def test_a_stalled_link_loses_nothing() -> None:
    """What was sent meanwhile arrives when it goes on, on the same connection."""

    async def story(proxy: Proxy, echo: Echo) -> None:
        client = await Client.connect(proxy)
        await client.ask(b"a")
        proxy.stall("up")
        client.writer.write(b"waits")
        assert await client.is_silent()
        assert echo.heard == b"a"
        await proxy.restore()
        assert await client.reader.readexactly(5) == b"waits"

    run(story)


def test_a_delay_comes_before_every_answer_and_keeps_the_order() -> None:
    """Not only before the first."""

    async def story(proxy: Proxy, _echo: Echo) -> None:
        loop = asyncio.get_running_loop()
        client = await Client.connect(proxy)
        proxy.delay(0.15, "down")
        for text in (b"one", b"two"):
            began_s = loop.time()
            assert await client.ask(text) == text
            assert loop.time() - began_s >= 0.15

    run(story)


def test_a_limited_link_takes_its_time() -> None:
    """20 kB at 50 kB/s cannot arrive in under 0.3 s."""

    async def story(proxy: Proxy, _echo: Echo) -> None:
        loop = asyncio.get_running_loop()
        client = await Client.connect(proxy)
        proxy.limit(50_000, "up")
        began_s = loop.time()
        await client.ask(bytes(20_000))
        assert loop.time() - began_s >= 0.3

    run(story)


def test_a_target_that_is_not_there_resets_the_client() -> None:
    """The proxy listens, and nobody is behind it."""

    async def story() -> None:
        async with asyncio.timeout(DEADLINE_S), Proxy(free_port()) as proxy:
            client = await Client.connect(proxy)
            with pytest.raises(ConnectionResetError):
                await client.reader.read(1)
            assert proxy.connections == 0
            Client.hang_up_all()

    asyncio.run(story())
