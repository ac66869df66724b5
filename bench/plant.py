"""A plant of simulated meters in a process of its own: Modbus TCP, fast enough to be nobody's limit.

`python -m bench.plant ENDPOINTS` prints the port of each endpoint, then serves every unit id on it until it is ended.
The registers are those of an Eastron SDM630 (float32 at even addresses); its values wander by some percent around
what such a meter shows, with five significant digits.
"""

from __future__ import annotations

import asyncio
import random
import struct
import sys
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PROFILE = "eastron/sdm630"
READINGS = 16
"""Of that profile, and so of one sample."""
REGISTERS = 256
IMAGES = 500
FREQUENCY = 0x46
USUAL = {0: 230.0, 2: 230.0, 4: 230.0, 0x3E: 0.9, FREQUENCY: 50.0}
FIRST_ENERGY, LAST_ENERGY = 0x48, 0x4A
HEADER = struct.Struct(">HHHBBHH")


def images() -> list[bytes]:
    """Make register images: one after the other is what a meter shows as time goes by."""
    chance = random.Random(1)  # noqa: S311 - no secret
    made = []
    for _ in range(IMAGES):
        words = bytearray(2 * REGISTERS)
        for address in range(0, REGISTERS - 1, 2):
            share = 0.005 if address == FREQUENCY else 0.03
            value = float(f"{USUAL.get(address, 1234.0) * chance.uniform(1 - share, 1 + share):.5g}")
            struct.pack_into(">f", words, 2 * address, value)
        made.append(bytes(words))
    return made


def shown(made: list[bytes]) -> Iterator[bytes]:
    """Return the images again and again; energies rise for ever, by less than a meter's largest power."""
    for number, image in enumerate(cycle(made)):
        words = bytearray(image)
        energies = (12_345 + address + number / 10_000 for address in (FIRST_ENERGY, LAST_ENERGY))
        struct.pack_into(">ff", words, 2 * FIRST_ENERGY, *energies)
        yield bytes(words)


class Meter(asyncio.Protocol):
    """One connection; answers each question at once."""

    def __init__(self, made: list[bytes]) -> None:
        self._next = shown(made).__next__
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to answer."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        """Answer every whole request that has come."""
        data = self._pending + data
        at = 0
        while len(data) - at >= HEADER.size:
            number, protocol, _, unit, function, address, count = HEADER.unpack_from(data, at)
            values = self._next()[2 * address : 2 * (address + count)]
            head = struct.pack(">HHHBBB", number, protocol, 3 + len(values), unit, function, len(values))
            self._write(head + values)
            at += HEADER.size
        self._pending = data[at:]


async def serve(endpoints: int) -> None:
    """Serve so many endpoints on free ports."""
    loop, made = asyncio.get_running_loop(), images()
    servers = [await loop.create_server(lambda: Meter(made), "127.0.0.1", 0) for _ in range(endpoints)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


@contextmanager
def running(endpoints: int) -> Iterator[list[int]]:
    """Run a plant; yields the ports of its endpoints."""
    command = [sys.executable, "-m", "bench.plant", str(endpoints)]
    with Popen(command, stdout=PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield [int(port) for port in process.stdout.readline().split()]
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
