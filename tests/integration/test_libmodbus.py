"""Reading from a server that others wrote, in C: libmodbus on TCP and on an RTU line."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import libmodbus_server
import pytest
from lacking import lacking

from edge.modbus import profile as profiles
from simulator import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

CASE = Path(profiles.__file__).parent / "cases" / "sdm630-town-hall"


@pytest.fixture(autouse=True)
def _libmodbus() -> None:
    try:
        libmodbus_server.load()
    except OSError:
        lacking("no libmodbus here: apt-get install libmodbus5")


@contextmanager
def _server(*arguments: str) -> Iterator[int]:
    """Start a server that holds the registers of the case; yields its TCP port."""
    registers = json.loads((CASE / "input.json").read_text())["registers"]
    words = json.dumps({int(address, 0): word for address, word in registers.items()})
    command = [sys.executable, libmodbus_server.__file__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(words)
        process.stdin.close()
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def _null_modem() -> Iterator[tuple[str, str]]:
    """Two serial ports that are wired to each other, on a thread of their own."""
    ready, stop = threading.Event(), threading.Event()
    ports: list[str] = []

    async def carry() -> None:
        with servers.null_modem() as ends:
            ports.extend(ends)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(carry()))
    thread.start()
    assert ready.wait(10)
    try:
        yield ports[0], ports[1]
    finally:
        stop.set()
        thread.join(10)


def _read(*where: str) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "messnetz", "device", "read", "eastron/sdm630", *where, "--unit", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=os.environ)
    assert done.returncode == 0, done.stderr
    readings: list[dict[str, object]] = json.loads(done.stdout)["readings"]
    return readings


def test_libmodbus_on_tcp_is_read_right_to_the_digit() -> None:
    """Every quantity of the case, as its expected.json has it."""
    with _server("tcp") as port:
        assert _read("--tcp", f"127.0.0.1:{port}") == json.loads((CASE / "expected.json").read_text())


def test_libmodbus_on_an_rtu_line_is_read_right_to_the_digit() -> None:
    """The same over serial frames."""
    with _null_modem() as (ours, theirs), _server("rtu", theirs):
        assert _read("--serial", ours) == json.loads((CASE / "expected.json").read_text())
