"""Registers a second of CPU, from a C server (libmodbus): ours beside a bare pymodbus client and a bare socket.

The server is another process; what is compared is what the client costs. Ours decodes every value into a reading.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pymodbus.client import AsyncModbusTcpClient

from bench.harness import Row, Scale, main
from edge.modbus import profile as profiles
from edge.modbus.config import Endpoint
from edge.modbus.reader import DeviceReader
from edge.modbus.register_map import Register, RegisterHalf, RegisterProfile
from edge.modbus.transport import Transport
from wire.profile import Channel, Source
from wire.vocabulary import Label

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SERVER = Path(__file__).parent.parent / "tests" / "libmodbus_server.py"
COUNT = 124
SECONDS = 3.0


def profile() -> RegisterProfile:
    """Build a profile of 62 float32 in a row."""
    channels = {f"L{n}": Channel(phase=f"L{n}") for n in range(COUNT // 2)}
    return RegisterProfile(
        profile="bench/meter",
        label=Label(de="Messung", en="Bench"),
        driver="modbus",
        measurement="electricity",
        interval_s=1,
        channels=channels,
        readings=[f"voltage/{channel}" for channel in channels],
        sources=[Source(what="a bench", where="here", retrieved="2026-11-22")],
        modbus=RegisterHalf(
            function_code=3,
            registers={f"voltage/L{n}": Register(address=2 * n, type="float32") for n in range(COUNT // 2)},
        ),
    )


async def rate(call: Callable[[], Awaitable[object]], seconds: float) -> float:
    """Call again and again for some seconds; returns registers a second of CPU."""
    calls, begin = 0, time.process_time()
    while (elapsed := time.process_time() - begin) < seconds:
        await call()
        calls += 1
    return calls * COUNT / elapsed


async def bare_socket(port: int, seconds: float) -> float:
    """Measure a client that only sends and receives bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = bytes([0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, COUNT])

    async def ask() -> None:
        writer.write(request)
        await reader.readexactly(9 + 2 * COUNT)

    result = await rate(ask, seconds)
    writer.close()
    await writer.wait_closed()
    return result


async def bare_pymodbus(port: int, seconds: float) -> float:
    """Measure pymodbus' own client."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    result = await rate(lambda: client.read_holding_registers(0, count=COUNT, device_id=1), seconds)
    client.close()
    return result


async def ours(port: int, seconds: float) -> float:
    """Measure the driver: requests, checks, decoding into readings."""
    transport = Transport(Endpoint("127.0.0.1", port), 1.0)
    reader = DeviceReader("bench", 1, profiles.compile_model(profile(), {}))
    measured = await reader.read(transport)
    assert len(measured.readings) == COUNT // 2
    result = await rate(lambda: reader.read(transport), seconds)
    transport.close()
    return result


def measure(scale: Scale) -> list[Row]:
    """Measure each client against the same server."""
    seconds = scale.seconds(SECONDS, 0.1)
    command = [sys.executable, str(SERVER), "tcp"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        json.dump({str(address): 0x4366 for address in range(COUNT)}, server.stdin)
        server.stdin.close()
        try:
            port = int(server.stdout.readline())
            rates = {name: asyncio.run(call(port, seconds)) for name, call in CLIENTS.items()}
        finally:
            server.kill()
    rows = [
        Row(what=f"modbus: {name}", measured=registers, unit="registers a CPU second", better="more")
        for name, registers in rates.items()
    ]
    ratio = rates[OURS] / rates[BARE]
    return [*rows, Row(what="modbus: ours / bare pymodbus client", measured=ratio, unit="", must=0.5, better="more")]


BARE, OURS = "bare pymodbus client", "ours, decoded into readings"
CLIENTS = {"bare socket": bare_socket, BARE: bare_pymodbus, OURS: ours}

if __name__ == "__main__":
    main(measure)
