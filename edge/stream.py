"""A line of bytes, for every driver that frames its own protocol: a serial port, or a serial server on TCP.

`check` takes the settings apart and touches nothing; `open_line` opens the port.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import termios
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from base.errors import TransientError
from edge.interface import Place
from edge.port_diagnosis import why_no_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import serial

    from base.strict_yaml import Document, Path_

_ENDPOINT = re.compile(r"^(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})$")
CHUNK = 4096
OPEN_S = 10.0
"""How long a TCP connection may take."""
WRITE_S = 10.0

BaudRate: TypeAlias = Annotated[int, msgspec.Meta(ge=50, le=4_000_000)]


class LineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a serial line is set."""

    baud_rate: BaudRate = 9600
    data_bits: Literal[7, 8] = 8
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1

    def __str__(self) -> str:
        return f"{self.baud_rate} {self.data_bits}{self.parity}{self.stop_bits}"

    @property
    def character_s(self) -> float:
        """How long one character takes: start bit, data bits, parity bit where there is one, stop bits."""
        return (1 + self.data_bits + (self.parity != "N") + self.stop_bits) / self.baud_rate


class SerialPort(NamedTuple):
    """A serial port and how it is set."""

    port: str
    settings: LineSettings

    def __str__(self) -> str:
        return self.port


class TcpEndpoint(NamedTuple):
    """A serial server, or a program that sends the same bytes."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


LineAddress: TypeAlias = SerialPort | TcpEndpoint


class LineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where a line is, in a gateway's file. Drivers extend it."""

    serial: str | None = None
    """The serial port, best by its lasting name: `/dev/serial/by-id/...`. One of `serial` and `tcp`."""
    tcp: str | None = None
    """`HOST:PORT` of a serial server that passes the bytes through as they are."""
    baud_rate: BaudRate | None = None
    """Of a serial line; what is usual for the protocol unless set."""
    data_bits: Literal[7, 8] | None = None
    """Likewise."""
    parity: Literal["N", "E", "O"] | None = None
    """None, even or odd; likewise."""
    stop_bits: Literal[1, 2] | None = None
    """Likewise."""


def parse_endpoint(text: str) -> TcpEndpoint | None:
    """Read `HOST:PORT` (IPv6 in brackets); None where it is none."""
    match = _ENDPOINT.match(text)
    if match is None or not 0 < int(match["port"]) < 65536:
        return None
    return TcpEndpoint(match["host"].strip("[]"), int(match["port"]))


def line_of(document: Document, path: Path_, config: LineConfig, usual: LineSettings) -> LineAddress:
    """Check where the line of a bus is and how it is set; opens nothing.

    Raises: ConfigError at the line that is wrong.
    """
    own = {
        name: value for name in ("baud_rate", "data_bits", "parity", "stop_bits") if (value := getattr(config, name))
    }
    if (config.serial is None) == (config.tcp is None):
        found = "no line" if config.serial is None else "'serial' and 'tcp'"
        raise document.error(path, found, "one of 'serial' and 'tcp'")
    if config.tcp is not None:
        endpoint = parse_endpoint(config.tcp)
        if endpoint is None:
            raise document.error((*path, "tcp"), repr(config.tcp), "HOST:PORT")
        for setting in own:
            raise document.error((*path, setting), f"{setting!r} beside 'tcp'", "it with 'serial' only")
        return endpoint
    port = config.serial or ""
    if not port.strip() or "\0" in port or "://" in port:
        raise document.error((*path, "serial"), repr(port), "a serial port, such as /dev/serial/by-id/...")
    return SerialPort(port, msgspec.structs.replace(usual, **own))


def place_of(line: LineAddress) -> Place:
    """Return where a line is, for the buses of a gateway: no two may have the same."""
    if isinstance(line, SerialPort):
        return Place("serial", os.path.normpath(line.port))
    return Place("tcp", str(line).lower())


class Stream(Protocol):
    """An open line. Each method for one task at a time."""

    async def read(self) -> bytes:
        """Wait for bytes; returns at least one.

        Raises: TransientError where the line is gone.
        """

    async def write(self, data: bytes) -> None:
        """Put bytes on the line and wait until they have left.

        Raises: TransientError where the line is gone, or takes none.
        """

    def discard(self) -> None:
        """Forget what has come and was not read."""

    def set(self, settings: LineSettings) -> None:
        """Go on with other settings: the change of speed in IEC 62056-21. On TCP the serial server keeps its own.

        Raises: TransientError where the port does not take them.
        """

    def close(self) -> None:
        """Let go of it; twice is no error."""


async def keep_open(
    open_: Callable[[], Awaitable[Stream]],
    use: Callable[[Stream], Awaitable[None]],
    failed: Callable[[TransientError], float],
) -> None:
    """Open a line and use it, and again whenever it was lost, until cancelled.

    `failed` is told why, and says how many seconds to wait. Any other error of `use` ends it.
    """
    while True:
        try:
            line = await open_()
            try:
                await use(line)
            finally:
                line.close()
        except TransientError as error:
            await asyncio.sleep(failed(error))


async def open_line(address: LineAddress) -> Stream:
    """Open a line.

    Raises: TransientError, in a sentence, where that fails.
    """
    if isinstance(address, SerialPort):
        return SerialStream.open(address)
    try:
        async with asyncio.timeout(OPEN_S):
            reader, writer = await asyncio.open_connection(address.host, address.port, limit=1 << 16)
    except TimeoutError as error:
        raise TransientError(f"{address}: no connection within {OPEN_S:g} s") from error
    except (OSError, UnicodeError) as error:
        raise TransientError(f"{address}: no connection ({error})") from error
    return TcpStream(address, reader, writer)


class TcpStream:
    """A line behind a TCP connection."""

    def __init__(self, address: TcpEndpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._address, self._reader, self._writer = address, reader, writer

    async def read(self) -> bytes:
        """Wait for bytes."""
        try:
            data = await self._reader.read(CHUNK)
        except OSError as error:
            raise TransientError(f"{self._address}: the connection broke ({error})") from error
        if not data:
            raise TransientError(f"{self._address}: the other side closed the connection")
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        try:
            async with asyncio.timeout(WRITE_S):
                await self._writer.drain()
        except TimeoutError as error:
            raise TransientError(f"{self._address}: takes nothing for {WRITE_S:g} s") from error
        except OSError as error:
            raise TransientError(f"{self._address}: the connection broke ({error})") from error

    def discard(self) -> None:
        """Forget what has come."""
        buffer: bytearray = self._reader._buffer  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio offers no other way
        buffer.clear()

    def set(self, settings: LineSettings) -> None:
        """Nothing: the serial server keeps its own settings."""

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()


class SerialStream:
    """A serial port, read as the event loop says that bytes are there."""

    def __init__(self, port: serial.Serial, name: str) -> None:
        self._port, self._name = port, name
        self._fd: int = port.fileno()
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._is_open = True

    @classmethod
    def open(cls, address: SerialPort) -> SerialStream:
        """Open a port, for nobody else.

        Raises: TransientError where that fails.
        """
        import serial  # noqa: PLC0415 - loaded with the first serial port

        settings = address.settings
        try:
            port = serial.Serial(
                address.port,
                settings.baud_rate,
                bytesize=settings.data_bits,
                parity=settings.parity,
                stopbits=settings.stop_bits,
                timeout=0,
                exclusive=True,
            )
        except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError, termios.error none
            raise TransientError(f"{address.port}: {why_no_port(address.port)}") from error
        return cls(port, address.port)

    async def read(self) -> bytes:
        """Wait for bytes."""
        while True:
            await self._ready(self._loop.add_reader, self._loop.remove_reader)
            try:
                data = os.read(self._fd, CHUNK)
            except BlockingIOError:
                continue
            except OSError as error:
                raise TransientError(f"{self._name}: gone ({_why(error)})") from error
            if not data:  # ready, and empty: unplugged
                raise TransientError(f"{self._name}: gone")
            return data

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until the last has left the port."""
        rest = memoryview(data)
        try:
            async with asyncio.timeout(WRITE_S):
                while rest:
                    try:
                        rest = rest[os.write(self._fd, rest) :]
                    except BlockingIOError:
                        await self._ready(self._loop.add_writer, self._loop.remove_writer)
                while self._port.out_waiting:  # noqa: ASYNC110 - no event says when the last bit has left
                    await asyncio.sleep(0.002)
        except TimeoutError as error:
            raise TransientError(f"{self._name}: takes nothing for {WRITE_S:g} s") from error
        except OSError as error:
            raise TransientError(f"{self._name}: gone ({_why(error)})") from error

    def discard(self) -> None:
        """Forget what has come."""
        with contextlib.suppress(OSError, termios.error):
            self._port.reset_input_buffer()

    def set(self, settings: LineSettings) -> None:
        """Go on with other settings."""
        try:
            self._port.apply_settings(
                {
                    "baudrate": settings.baud_rate,
                    "bytesize": settings.data_bits,
                    "parity": settings.parity,
                    "stopbits": settings.stop_bits,
                }
            )
        except (OSError, ValueError, termios.error) as error:
            raise TransientError(f"{self._name}: does not take {settings}: {_why(error)}") from error

    def close(self) -> None:
        """Close the port."""
        if not self._is_open:
            return
        self._is_open = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        with contextlib.suppress(OSError):
            self._port.close()

    async def _ready(self, add: _Add, remove: _Remove) -> None:
        if not self._is_open:
            raise TransientError(f"{self._name}: closed")
        self._waiting = waiting = self._loop.create_future()
        add(self._fd, _done, waiting)
        try:
            await waiting
        finally:
            if self._is_open:
                remove(self._fd)


def _done(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _why(error: Exception) -> str:
    number = error.args[0] if isinstance(error, termios.error) else getattr(error, "errno", None)
    if number:
        return os.strerror(number)
    return str(error)


if TYPE_CHECKING:
    from collections.abc import Callable

    _Add: TypeAlias = Callable[[int, Callable[[asyncio.Future[None]], None], asyncio.Future[None]], None]
    _Remove: TypeAlias = Callable[[int], bool]
