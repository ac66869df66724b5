"""pymodbus' own servers for simulated meters: Modbus TCP on loopback, Modbus RTU over a pty pair."""

from __future__ import annotations

import asyncio
import logging
import os
import tty
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, cast

from pymodbus.server import ModbusBaseServer, ModbusSerialServer, ModbusTcpServer

from simulator.devices import Meter, nobody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 4096


def quiet() -> None:
    """Keep pymodbus' log to what ends the process: a client that went away is no news here."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


@asynccontextmanager
async def tcp(meters: Mapping[int, Meter]) -> AsyncIterator[int]:
    """Serve meters by their unit ids on a free TCP port of loopback; yields the port."""
    server = ModbusTcpServer(
        [meter.sim_device(unit) for unit, meter in meters.items()] + [nobody()],
        address=(LOOPBACK, 0),
    )
    await server.serve_forever(background=True)
    try:
        listening = cast("asyncio.Server", server.transport)
        yield int(listening.sockets[0].getsockname()[1])
    finally:
        await _stop(server)


@asynccontextmanager
async def rtu(meters: Mapping[int, Meter], baud_rate: int) -> AsyncIterator[str]:
    """Serve meters by their unit ids on one RTU line; yields the path of the other end's serial port.

    A unit id that no meter has is met with silence, as on a real line.
    """
    async with AsyncExitStack() as stack:
        ours, theirs = stack.enter_context(null_modem())
        server = ModbusSerialServer(
            [meter.sim_device(unit) for unit, meter in meters.items()] + [nobody()],
            port=ours,
            baudrate=baud_rate,
            ignore_missing_devices=True,
        )
        await server.serve_forever(background=True)
        stack.push_async_callback(_stop, server)
        yield theirs


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
    data = os.read(source, CHUNK_BYTES)
    try:
        os.write(target, data)
    except BlockingIOError:
        return  # nobody reads at the other end; a wire drops what nobody hears
