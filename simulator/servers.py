"""pymodbus' own servers for simulated meters: Modbus TCP on loopback, Modbus RTU over a pty pair."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import tempfile
import tty
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pymodbus.server import ModbusBaseServer, ModbusSerialServer, ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler

from simulator.devices import Meter, nobody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from pymodbus.simulator import SimDevice

LOOPBACK = "127.0.0.1"
UNIT_IN_TCP = 6
"""Where the unit id stands in a frame of Modbus TCP; in one of RTU it is the first byte."""
CHUNK_BYTES = 4096


def quiet() -> None:
    """Keep pymodbus' log to what ends the process: a client that went away is no news here."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class Bus(Protocol):
    """A bus with meters on it, that can be pulled out and plugged in again at the same address."""

    address: str
    """`HOST:PORT`, or the path of a serial port."""

    async def plug(self) -> None:
        """Let it work."""

    async def unplug(self) -> None:
        """Take it away: nobody listens at its address any more. Harmless where it is away already."""

    async def hush(self) -> None:
        """Say nothing more by itself; what it is asked it still answers."""


class AnswersOnly:
    """A bus whose devices speak only when they are asked."""

    async def hush(self) -> None:
        """Nothing to do."""


class TcpBus(AnswersOnly):
    """Meters by their unit ids behind one Modbus TCP port of loopback."""

    def __init__(self, meters: Mapping[int, Meter], port: int) -> None:
        self.address = f"{LOOPBACK}:{port}"
        self._meters, self._port = meters, port
        self._server: ModbusBaseServer | None = None

    async def plug(self) -> None:
        """Listen.

        Raises: RuntimeError where the port is somebody else's.
        """
        if self._server is None:
            server = _TcpServer(_sim_devices(self._meters), address=(LOOPBACK, self._port))
            server.meters = self._meters
            await server.serve_forever(background=True)
            self._server = server

    async def unplug(self) -> None:
        """Refuse connections, and close those that there are."""
        server, self._server = self._server, None
        if server is not None:
            await _stop(server)


class RtuBus(AnswersOnly):
    """Meters by their unit ids on one RTU line, found under a link that outlives its pseudo-terminals.

    A unit id that no meter has is met with silence, as on a real line.
    """

    def __init__(self, meters: Mapping[int, Meter], baud_rate: int, link: Path) -> None:
        self.address = str(link)
        self._meters, self._baud_rate, self._link = meters, baud_rate, link
        self._plugged = AsyncExitStack()
        self._is_plugged = False

    async def plug(self) -> None:
        """Make the port and put the meters on the line."""
        if self._is_plugged:
            return
        async with AsyncExitStack() as stack:
            ours, theirs = stack.enter_context(null_modem())
            server = _SerialServer(
                _sim_devices(self._meters), port=ours, baudrate=self._baud_rate, ignore_missing_devices=True
            )
            server.meters = self._meters
            await server.serve_forever(background=True)
            stack.push_async_callback(_stop, server)
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(theirs)
            stack.callback(self._link.unlink, missing_ok=True)
            self._plugged = stack.pop_all()
        self._is_plugged = True

    async def unplug(self) -> None:
        """Take the port away, as if the adapter were pulled out."""
        self._is_plugged = False
        await self._plugged.aclose()


class _Handler(ServerRequestHandler):
    """Sends what a meter answers as its fault has it: late, garbled or not at all."""

    def send(self, data: bytes, addr: tuple[str, int] | None = None) -> None:
        is_rtu = isinstance(self.server, _SerialServer)
        meter = self.server.meters.get(data[0 if is_rtu else UNIT_IN_TCP])
        fault = meter.fault if meter else None
        if meter is None or fault is None or fault.kind in ("wrong", "refuse"):
            super().send(data, addr)
        elif fault.kind == "slow":
            self.loop.call_later(fault.delay_s, self._send_late, data)
        elif fault.kind == "garbage":
            super().send(meter.faults.garble(data, meter.faults.choose(fault), is_rtu=is_rtu), addr)

    def _send_late(self, data: bytes) -> None:
        if self.is_active() and not self.transport.is_closing():
            self.transport.write(data)  # type: ignore[attr-defined] # past `send`, which empties the receive buffer


class _TcpServer(ModbusTcpServer):
    meters: Mapping[int, Meter]

    def callback_new_connection(self) -> _Handler:
        return _Handler(self, None, None, None)  # type: ignore[no-untyped-call]


class _SerialServer(ModbusSerialServer):
    meters: Mapping[int, Meter]

    def callback_new_connection(self) -> _Handler:
        return _Handler(self, None, None, None)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def tcp(meters: Mapping[int, Meter]) -> AsyncIterator[int]:
    """Serve meters by their unit ids on a free TCP port of loopback; yields the port."""
    port = free_port()
    bus = TcpBus(meters, port)
    await bus.plug()
    try:
        yield port
    finally:
        await bus.unplug()


@asynccontextmanager
async def rtu(meters: Mapping[int, Meter], baud_rate: int) -> AsyncIterator[str]:
    """Serve meters by their unit ids on one RTU line; yields the path of the other end's serial port."""
    with tempfile.TemporaryDirectory(prefix="messnetz-line-") as directory:
        bus = RtuBus(meters, baud_rate, Path(directory) / "line")
        await bus.plug()
        try:
            yield bus.address
        finally:
            await bus.unplug()


def free_port() -> int:
    """A TCP port of loopback that nobody has at the moment.

    It lies below 32768, from where Linux takes the ports of outgoing connections: so what was stopped or killed
    finds its port still free when it comes back.
    """
    while True:
        port = random.randrange(16_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            return port


def _sim_devices(meters: Mapping[int, Meter]) -> list[SimDevice]:
    return [meter.sim_device(unit) for unit, meter in meters.items()] + [nobody()]


async def _stop(server: ModbusBaseServer) -> None:
    await server.shutdown()  # type: ignore[no-untyped-call] # pymodbus has no annotation there


@contextmanager
def null_modem() -> Iterator[tuple[str, str]]:
    """Link two pseudo-terminals, so that what is written to one port is read from the other.

    Yields the paths of both ports. Both are kept open here: a port may be closed and opened again at will.
    """
    loop = asyncio.get_running_loop()
    ends = [os.openpty(), os.openpty()]
    (master_a, slave_a), (master_b, slave_b) = ends
    try:
        for slave in (slave_a, slave_b):
            tty.setraw(slave)
        for source, target in ((master_a, master_b), (master_b, master_a)):
            os.set_blocking(source, False)
            loop.add_reader(source, _carry, source, target)
        yield os.ttyname(slave_a), os.ttyname(slave_b)
    finally:
        for master, slave in ends:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)


def _carry(source: int, target: int) -> None:
    try:
        os.write(target, os.read(source, CHUNK_BYTES))
    except OSError:
        return  # nobody reads at the other end; a wire drops what nobody hears
