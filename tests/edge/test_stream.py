"""A line of bytes: a serial port (a pseudo-terminal), or a serial server on TCP."""

from __future__ import annotations

import asyncio
import termios
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from base import strict_yaml
from base.errors import ConfigError, TransientError
from edge.stream import LineConfig, LineSettings, SerialPort, TcpEndpoint, line_of, open_line, parse_endpoint
from simulator.ports import Port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edge.stream import LineAddress, Stream

USUAL = LineSettings(baud_rate=2400, parity="E")


def _line_of(text: str) -> LineAddress:
    document = strict_yaml.parse(text.encode(), Path("gw.yaml"))
    return line_of(document, (), document.convert(LineConfig), USUAL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("serial: /dev/x", SerialPort("/dev/x", USUAL)),
        ("serial: /dev/x\nbaud_rate: 9600\nparity: N", SerialPort("/dev/x", LineSettings())),
        ("serial: /dev/x\ndata_bits: 7\nstop_bits: 2", SerialPort("/dev/x", LineSettings(2400, 7, "E", 2))),
        ("tcp: 192.0.2.1:8880", TcpEndpoint("192.0.2.1", 8880)),
        ("tcp: '[2001:db8::1]:8880'", TcpEndpoint("2001:db8::1", 8880)),
    ],
)
def test_a_line_is_where_the_file_says(text: str, expected: LineAddress) -> None:
    """What it does not say is as is usual for the protocol."""
    assert _line_of(text) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", "no line"),
        ("serial: /dev/x\ntcp: a:1", "'serial' and 'tcp'"),
        ("tcp: a", "'a'"),
        ("tcp: a:0", "'a:0'"),
        ("tcp: a:70000", "'a:70000'"),
        ("tcp: a:1\nbaud_rate: 9600", "'baud_rate' beside 'tcp'"),
        ("serial: socket://a:1", "'socket://a:1'"),
        ("serial: ' '", "' '"),
        ("serial: /dev/x\nbaud_rate: 3", "3"),
    ],
)
def test_a_line_that_cannot_be_is_refused(text: str, found: str) -> None:
    """At the desk; nothing is opened."""
    with pytest.raises(ConfigError, match=r"gw\.yaml:[12]:") as caught:
        _line_of(text)
    assert found in str(caught.value)


def test_how_a_line_is_written() -> None:
    """As people do."""
    assert str(LineSettings(300, 7, "E", 1)) == "300 7E1"
    assert LineSettings(300, 7, "E", 1).character_s == pytest.approx(10 / 300)
    assert str(TcpEndpoint("2001:db8::1", 5)) == "[2001:db8::1]:5"
    assert parse_endpoint("a:b") is None


@asynccontextmanager
async def _serial(tmp_path: Path) -> AsyncIterator[tuple[Port, Stream, list[bytes]]]:
    heard: list[bytes] = []
    port = Port(tmp_path / "line", heard.append)
    port.plug()
    stream = await open_line(SerialPort(port.address, LineSettings()))
    try:
        yield port, stream, heard
    finally:
        stream.close()
        port.unplug()


def test_bytes_go_both_ways_over_a_serial_port(tmp_path: Path) -> None:
    """All of them, unchanged."""
    every = bytes(range(256))

    async def story() -> None:
        async with _serial(tmp_path) as (port, stream, heard):
            port.send(every)
            got = b""
            while len(got) < 256:
                got += await stream.read()
            assert got == every
            await stream.write(every)
            async with asyncio.timeout(5):
                while len(b"".join(heard)) < 256:  # noqa: ASYNC110 - what the port heard sets no event
                    await asyncio.sleep(0.01)
            assert b"".join(heard) == every

    asyncio.run(story())


def test_what_came_before_can_be_forgotten(tmp_path: Path) -> None:
    """A question is not answered by what was said before it."""

    async def story() -> None:
        async with _serial(tmp_path) as (port, stream, _):
            port.send(b"old")
            await asyncio.sleep(0.05)
            stream.discard()
            port.send(b"new")
            assert await stream.read() == b"new"

    asyncio.run(story())


def test_the_speed_changes_on_the_open_port(tmp_path: Path) -> None:
    """As the port itself has it; what it cannot be set to is said."""

    async def story() -> None:
        async with _serial(tmp_path) as (_, stream, _):
            stream.set(LineSettings(300))
            assert termios.tcgetattr(stream._fd)[4] == termios.B300  # type: ignore[attr-defined]
            with pytest.raises(TransientError, match="does not take 300 7E1: Invalid argument"):
                stream.set(LineSettings(300, 7, "E", 1))  # a pseudo-terminal has eight bits and no parity
            stream.set(LineSettings(9600))
            assert termios.tcgetattr(stream._fd)[4] == termios.B9600  # type: ignore[attr-defined]

    asyncio.run(story())


def test_a_port_that_is_pulled_out_ends_a_reader_that_waits(tmp_path: Path) -> None:
    """With our error; and every call after it likewise, or harmlessly."""

    async def story() -> None:
        async with _serial(tmp_path) as (port, stream, _):
            waiting = asyncio.create_task(stream.read())
            await asyncio.sleep(0.05)
            port.unplug()
            with pytest.raises(TransientError, match="gone"):
                await waiting
            with pytest.raises(TransientError):
                await stream.read()
            with pytest.raises(TransientError):
                await stream.write(b"x")
            with pytest.raises(TransientError):
                stream.set(LineSettings(300))
            stream.discard()
            stream.close()
            stream.close()
            with pytest.raises(TransientError, match="closed"):
                await stream.read()

    asyncio.run(story())


def test_closing_ends_a_reader_that_waits(tmp_path: Path) -> None:
    """Another task may close the line."""

    async def story() -> None:
        async with _serial(tmp_path) as (_, stream, _):
            waiting = asyncio.create_task(stream.read())
            await asyncio.sleep(0.05)
            stream.close()
            with pytest.raises(TransientError):
                await asyncio.wait_for(waiting, 5)

    asyncio.run(story())


def test_a_reader_may_give_up_and_come_again(tmp_path: Path) -> None:
    """A time-out loses nothing."""

    async def story() -> None:
        async with _serial(tmp_path) as (port, stream, _):
            for word in (b"a", b"b"):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await stream.read()
                port.send(word)
                assert await stream.read() == word

    asyncio.run(story())


def test_a_port_is_for_nobody_else(tmp_path: Path) -> None:
    """Two readers would share the bytes between them."""

    async def story() -> None:
        async with _serial(tmp_path) as (port, _, _):
            with pytest.raises(TransientError):
                await open_line(SerialPort(port.address, LineSettings()))

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["nothing", "file", "folder"])
def test_what_is_no_port_is_said(kind: str, tmp_path: Path) -> None:
    """In a sentence."""
    place = tmp_path / "line"
    if kind == "file":
        place.write_bytes(b"x")
    elif kind == "folder":
        place.mkdir()
    with pytest.raises(TransientError, match=str(place)):
        asyncio.run(open_line(SerialPort(str(place), LineSettings())))


def test_a_serial_server_on_tcp_carries_the_same_bytes() -> None:
    """It keeps its own settings; its end is the line's."""

    async def story() -> None:
        heard: list[bytes] = []
        ready, done = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"old")
            await writer.drain()
            await ready.wait()
            writer.write(b"hello")
            heard.append(await reader.readexactly(3))
            await done.wait()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        stream = await open_line(TcpEndpoint(*server.sockets[0].getsockname()[:2]))
        await asyncio.sleep(0.05)
        stream.discard()
        ready.set()
        assert await stream.read() == b"hello"
        stream.set(LineSettings(300))
        await stream.write(b"abc")
        done.set()
        with pytest.raises(TransientError, match="closed the connection"):
            await stream.read()
        stream.close()
        stream.close()
        server.close()
        assert heard == [b"abc"]

    asyncio.run(story())


def test_a_server_that_is_not_there_is_said() -> None:
    """In a sentence, with its address."""
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1: no connection"):
        asyncio.run(open_line(TcpEndpoint("127.0.0.1", 1)))


def test_what_a_wire_drops_is_no_error(tmp_path: Path) -> None:
    """A port that nobody reads fills up, and empties again."""

    async def story() -> None:
        async with _serial(tmp_path) as (port, stream, _):
            for _ in range(300):
                port.send(b"x" * 1000)
            assert await stream.read()
            stream.discard()
            port.send(b"y")
            assert (await stream.read()).endswith(b"y")

    asyncio.run(story())
    assert list(tmp_path.iterdir()) == []
