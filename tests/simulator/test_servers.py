"""Simulated meters on real protocols, asked by pymodbus' own clients."""

from __future__ import annotations

import asyncio
import os
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from simulator import servers, town
from simulator.devices import Journal, Meter
from simulator.models import B23, SDM630, Registers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pymodbus.client.base import ModbusBaseClient

SILENCE_S = 0.3
BAUD_RATE = 9600
METERS = [device for device in town.DEVICES if isinstance(device.model, Registers)]


@pytest.fixture(autouse=True)
def quiet() -> None:
    """What pymodbus logs of refused requests is no news here."""
    servers.quiet()


@asynccontextmanager
async def tcp_client(port: int) -> AsyncIterator[ModbusBaseClient]:
    """A connected client for a port of loopback."""
    client = AsyncModbusTcpClient(servers.LOOPBACK, port=port, timeout=5, retries=0)
    assert await client.connect()
    yield client
    client.close()


@asynccontextmanager
async def rtu_client(path: str, timeout_s: float = 5.0) -> AsyncIterator[ModbusBaseClient]:
    """A connected client for a serial port."""
    client = AsyncModbusSerialClient(path, baudrate=BAUD_RATE, timeout=timeout_s, retries=0)
    assert await client.connect()
    yield client
    client.close()


async def read(client: ModbusBaseClient, model: Registers, unit: int) -> list[int]:
    """The whole map of a meter, in one request."""
    ask = client.read_input_registers if model.function_code == 4 else client.read_holding_registers
    answer = await ask(model.first, count=model.size, device_id=unit)
    assert not answer.isError(), answer
    return list(answer.registers)


def floats(model: Registers, registers: list[int]) -> dict[str, float]:
    """Decode a map by hand."""
    words = {quantity: registers[address - model.first :][:2] for quantity, address in model.addresses.items()}
    return {quantity: struct.unpack(">f", struct.pack(">HH", *pair))[0] for quantity, pair in words.items()}


def check_truth(journal: Journal, model: Registers, answer: list[int], sector: str = "") -> None:
    """Compare an answer with the truth of the journal's last poll."""
    device, at_ms, *_ = journal.polls[-1]
    carried = {quantity: model.carried(device, quantity, at_ms, sector) for quantity in model.addresses}
    assert floats(model, answer) == carried


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Tell a story in an event loop of its own."""

    async def told() -> None:
        await story()

    asyncio.run(told())


@pytest.mark.parametrize("model", [SDM630, B23], ids=lambda model: model.profile)
def test_a_meter_answers_on_tcp_what_was_true_at_the_poll(model: Registers) -> None:
    """Register by register, for the poll that the journal noted."""

    async def story() -> None:
        journal = Journal()
        async with servers.tcp({1: Meter("m", model, journal)}) as port, tcp_client(port) as client:
            check_truth(journal, model, await read(client, model, 1))

    run(story)


def test_two_models_share_a_serial_line() -> None:
    """Each unit id answers for its own meter, with a poll of its own."""

    async def story() -> None:
        journal = Journal()
        meters = {1: Meter("a", SDM630, journal), 2: Meter("b", B23, journal)}
        async with servers.rtu(meters, BAUD_RATE) as path, rtu_client(path) as client:
            for unit, meter in meters.items():
                check_truth(journal, meter.model, await read(client, meter.model, unit))
        assert [poll.device for poll in journal.polls] == ["a", "b"]

    run(story)


def test_a_serial_port_may_be_closed_and_opened_again() -> None:
    """An agent that is started anew finds the line as it was."""

    async def story() -> None:
        journal = Journal()
        async with servers.rtu({1: Meter("m", SDM630, journal)}, BAUD_RATE) as path:
            for _ in range(3):
                async with rtu_client(path) as client:
                    check_truth(journal, SDM630, await read(client, SDM630, 1))

    run(story)


def test_a_unit_that_is_not_there_is_silent_on_a_line() -> None:
    """Nobody answers in its place, and the next request finds its meter."""

    async def story() -> None:
        journal = Journal()
        async with servers.rtu({1: Meter("m", SDM630, journal)}, BAUD_RATE) as path:
            async with rtu_client(path, SILENCE_S) as client:
                with pytest.raises(ModbusIOException):
                    await read(client, SDM630, 9)
            async with rtu_client(path) as client:
                check_truth(journal, SDM630, await read(client, SDM630, 1))

    run(story)


@pytest.mark.parametrize(
    ("address", "count", "code"),
    [(0x0000, SDM630.size + 1, 2), (0x1000, 2, 2)],
    ids=["beyond the end", "far away"],
)
def test_a_request_beyond_the_map_is_an_illegal_address(address: int, count: int, code: int) -> None:
    """As a real meter refuses it; and it is no poll."""

    async def story() -> None:
        journal = Journal()
        async with servers.tcp({1: Meter("m", SDM630, journal)}) as port, tcp_client(port) as client:
            answer = await client.read_input_registers(address, count=count, device_id=1)
            assert (answer.isError(), answer.exception_code) == (True, code)
        assert not journal.polls

    run(story)


def test_a_meter_cannot_be_written_to() -> None:
    """Nothing in the demo may set a register."""

    async def story() -> None:
        async with servers.tcp({1: Meter("m", B23, Journal())}) as port, tcp_client(port) as client:
            answer = await client.write_register(B23.first, 1, device_id=1)
            assert (answer.isError(), answer.exception_code) == (True, 1)

    run(story)


def test_the_null_modem_carries_every_byte_both_ways() -> None:
    """Raw: no byte means anything to the terminal."""

    async def story() -> None:
        with servers.null_modem() as paths:
            ends = [os.open(path, os.O_RDWR | os.O_NOCTTY) for path in paths]
            loop = asyncio.get_running_loop()
            for source, target in (ends, reversed(ends)):
                os.write(source, bytes(range(256)))
                received = b""
                while len(received) < 256:
                    received += await loop.run_in_executor(None, os.read, target, 256)
                assert received == bytes(range(256))
            for end in ends:
                os.close(end)

    run(story)


def test_a_null_modem_that_nobody_reads_does_not_stop_the_town() -> None:
    """What does not fit is dropped, as on a wire."""

    async def story() -> None:
        with servers.null_modem() as (ours, theirs):
            writer, reader = (os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) for path in (ours, theirs))
            left = 50
            async with asyncio.timeout(20):
                while left:
                    with suppress(BlockingIOError):  # the kernel hands bytes on in its own time
                        os.write(writer, bytes(1000))
                        left -= 1
                    await asyncio.sleep(0)
            os.close(reader)
            os.close(writer)

    run(story)


def test_the_town_serves_all_its_meters() -> None:
    """Three TCP endpoints and one serial line with four units, each true to its journal."""

    async def story() -> None:
        journal = Journal()
        async with town.serve(journal) as where:
            for device in METERS:
                address = where[device.bus]
                is_line = device.bus in town.LINES
                connect = rtu_client(address) if is_line else tcp_client(int(address.rpartition(":")[2]))
                async with connect as client:
                    assert isinstance(device.model, Registers)
                    answer = await read(client, device.model, device.unit)
                    check_truth(journal, device.model, answer, town.DEMO.sectors[device.id])
        assert [poll.device for poll in journal.polls] == [device.id for device in METERS]
        assert where.keys() == {device.bus for device in town.DEVICES}

    run(story)
