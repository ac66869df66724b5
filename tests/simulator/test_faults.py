"""Faults: chosen by a seed, ended by the clock, and never taken for something else."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException, ModbusIOException

from simulator import control, servers
from simulator.devices import Journal, Meter, Poll
from simulator.faults import HOW, KINDS, Faults, Wrong, check, crc16
from simulator.meters import Meters
from simulator.models import B23, SDM630
from simulator.processes import DemoError
from simulator.town import DEMO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from pymodbus.client.base import ModbusBaseClient

BEGIN_MS = 1_795_345_200_000
TIMEOUT_S = 0.3
ON_TCP, ON_LINE = "town-hall-main", "school-kitchen"
"""Two meters of one model."""
TELEGRAM = bytes.fromhex("010302c8a2") + struct.pack("<H", crc16(bytes.fromhex("010302c8a2")))


@pytest.fixture(autouse=True)
def quiet() -> None:
    """What pymodbus logs of spoiled answers is no news here."""
    servers.quiet()


def test_the_checksum_is_that_of_modbus() -> None:
    """The example of the serial line's specification: 02 07 gives 41 12."""
    assert struct.pack("<H", crc16(bytes.fromhex("0207"))) == bytes.fromhex("4112")


def test_a_fault_ends_when_its_time_is_over() -> None:
    """And only then; one without a time stays until it is cleared."""
    now_s = 100.0
    faults = Faults(clock=lambda: now_s)
    faults.set("a", "silent", for_s=60)
    faults.set("b", "silent")
    now_s = 159.9
    assert faults.of("a") is not None
    now_s = 160.0
    assert faults.of("a") is None
    assert faults.of("b") is not None
    faults.clear("b")
    assert faults.of("b") is None


def test_a_seed_gives_the_same_faults_again() -> None:
    """Garbage to the last byte."""
    frames = []
    for _ in range(2):
        faults = Faults(seed=7)
        hows = [faults.set("a", "wrong", since_ms=1).how for _ in range(5)]
        garbage = faults.set("a", "garbage", since_ms=1)
        frames.append((hows, [faults.garble(TELEGRAM, faults.choose(garbage), is_rtu=True) for _ in range(9)]))
    assert frames[0] == frames[1]


@pytest.mark.parametrize(
    ("kind", "how", "delay_s"),
    [("broken", "", 0.4), ("wrong", "checksum", 0.4), ("silent", "very", 0.4), ("slow", "", 61.0), ("slow", "", -1.0)],
)
def test_what_there_is_not_is_refused(kind: str, how: str, delay_s: float) -> None:
    """With a sentence."""
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        check(kind, how, delay_s)


@pytest.mark.parametrize("how", HOW["garbage"])
@pytest.mark.parametrize("is_rtu", [True, False], ids=["rtu", "tcp"])
def test_garbage_is_never_a_right_frame(how: str, *, is_rtu: bool) -> None:
    """Its unit and checksum, or its transaction, protocol and length, do not all fit."""
    tcp = bytes.fromhex("000700000005") + TELEGRAM[:-2]
    for seed in range(200):
        spoiled = Faults(seed).garble(TELEGRAM if is_rtu else tcp, how, is_rtu=is_rtu)
        if is_rtu:
            is_right = spoiled[:1] == TELEGRAM[:1] and struct.pack("<H", crc16(spoiled[:-2])) == spoiled[-2:]
        else:
            is_right = spoiled[:4] == tcp[:4] and int.from_bytes(spoiled[4:6]) == len(spoiled) - 6
        assert not is_right, (seed, spoiled.hex())


@pytest.mark.parametrize("how", HOW["wrong"])
def test_wrong_values_are_sent_as_the_account_expects_them(how: str) -> None:
    """What the registers carry, decoded by hand, is what `distorted` says; and it is not the truth."""
    wrong, now_ms = Wrong(how, BEGIN_MS), BEGIN_MS + 3_600_000
    registers = B23.registers("a", now_ms, wrong)
    for name, address in B23.addresses.items():
        words = registers[address - B23.first : address - B23.first + 2]
        (carried,) = struct.unpack(">f", struct.pack(">HH", *words))
        expected = B23.distorted("a", name, now_ms, wrong)
        scale = 1000 if name.startswith("active_energy") else 1
        assert (expected is None) == (carried != carried), name  # noqa: PLR0124 - how NaN shows
        if expected is not None:
            assert carried / scale == pytest.approx(expected, rel=1e-6)
            assert expected != B23.truth("a", name, now_ms), name


def test_a_stuck_meter_shows_the_values_of_when_it_stuck() -> None:
    """For ever."""
    wrong = Wrong("stuck", BEGIN_MS)
    assert SDM630.distorted("a", "voltage/L1", BEGIN_MS + 10**7, wrong) == SDM630.truth("a", "voltage/L1", BEGIN_MS)


def test_a_sentinel_makes_no_reading() -> None:
    """Registers of a value that there is not."""
    assert SDM630.count("a", BEGIN_MS, Wrong("sentinel", BEGIN_MS)) == 0
    assert SDM630.count("a", BEGIN_MS) == len(SDM630.addresses)


@asynccontextmanager
async def client_of(meters: Meters, device: str) -> AsyncIterator[ModbusBaseClient]:
    """A client on a device's bus."""
    address = meters.where[next(d.bus for d in DEMO.devices if d.id == device)]
    client: ModbusBaseClient
    if ":" in address:
        client = AsyncModbusTcpClient(
            servers.LOOPBACK, port=int(address.rpartition(":")[2]), timeout=TIMEOUT_S, retries=0
        )
    else:
        client = AsyncModbusSerialClient(address, baudrate=9600, timeout=TIMEOUT_S, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


async def ask(meters: Meters, device: str) -> list[int] | None:
    """Two registers of an SDM630; None where no right answer comes."""
    unit = next(d.unit for d in DEMO.devices if d.id == device)
    async with client_of(meters, device) as client:
        try:
            answer = await client.read_input_registers(0, count=2, device_id=unit)
        except (ModbusIOException, ModbusException, struct.error, IndexError):
            return None
        return None if answer.isError() else list(answer.registers)


def told(story: Callable[[Meters], Awaitable[None]]) -> Journal:
    """Tell a story with the demo town's meters at work; returns their journal."""
    journal = Journal()

    async def tell() -> None:
        async with asyncio.timeout(60), Meters(DEMO, journal) as meters:
            await story(meters)

    asyncio.run(tell())
    return journal


@pytest.mark.parametrize("device", [ON_TCP, ON_LINE])
@pytest.mark.parametrize("kind", ["silent", "refuse"])
def test_a_device_without_an_answer_makes_no_reading_and_comes_back(kind: str, device: str) -> None:
    """Its neighbour is asked meanwhile as ever; what the journal holds for certain is the neighbour's."""

    async def story(meters: Meters) -> None:
        await meters.fault(device, kind)
        assert await ask(meters, device) is None
        await meters.mend(device)
        assert await ask(meters, device) is not None

    journal = told(story)
    assert journal.spoiled == 1
    assert [(poll.device, poll.is_certain) for poll in journal.polls] == [(device, False)]
    assert journal.readings == 0


@pytest.mark.parametrize("how", HOW["garbage"])
def test_garbage_on_a_real_connection_is_no_answer(how: str) -> None:
    """For pymodbus' own client on Modbus TCP and on a line; and the next answer is right again."""

    async def story(meters: Meters) -> None:
        for device in (ON_LINE, *((ON_TCP,) if how != "number" else ())):
            await meters.fault(device, "garbage", how=how)
            assert await ask(meters, device) is None
            await meters.mend(device)
            await asyncio.sleep(0.05)
            assert await ask(meters, device) is not None

    assert told(story).readings == 0


def test_a_wrong_transaction_carries_another_number() -> None:
    """Seen on the wire: a client that does not look would take it."""

    async def story(meters: Meters) -> None:
        await meters.fault(ON_TCP, "garbage", how="number")
        port = int(meters.where["town-hall"].rpartition(":")[2])
        reader, writer = await asyncio.open_connection(servers.LOOPBACK, port)
        writer.write(bytes.fromhex("0007 0000 0006 01 04 0000 0002"))
        answer = await reader.readexactly(13)
        assert answer[2:9] == bytes.fromhex("0000 0007 01 04 04")
        assert answer[:2] == struct.pack(">H", 0x0007 ^ 0x2AAA)
        writer.close()
        await writer.wait_closed()

    told(story)


def test_a_late_answer_arrives_during_the_next_request_with_its_own_number() -> None:
    """As a real device sends it: two requests, and the first one's reply comes first."""

    async def story(meters: Meters) -> None:
        await meters.fault(ON_TCP, "slow", delay_s=0.3)
        port = int(meters.where["town-hall"].rpartition(":")[2])
        reader, writer = await asyncio.open_connection(servers.LOOPBACK, port)
        writer.write(bytes.fromhex("0001 0000 0006 01 04 0000 0002"))
        await asyncio.sleep(0.1)
        writer.write(bytes.fromhex("0002 0000 0006 01 04 0000 0002"))
        numbers = [(await reader.readexactly(13))[:2] for _ in range(2)]
        assert numbers == [b"\x00\x01", b"\x00\x02"]
        writer.close()
        await writer.wait_closed()

    journal = told(story)
    assert [poll.is_certain for poll in journal.polls] == [False, False]


@pytest.mark.parametrize("device", [ON_TCP, ON_LINE])
def test_a_bus_that_is_off_cannot_be_reached_and_is_found_again_at_its_address(device: str) -> None:
    """The port refuses, the serial adapter is gone; after its time it is back where it was."""

    async def story(meters: Meters) -> None:
        before = meters.where
        await meters.fault(device, "off", for_s=0.5)
        with pytest.raises(AssertionError):
            await ask(meters, device)
        await asyncio.sleep(0.8)
        assert await ask(meters, device) is not None
        assert meters.where == before

    told(story)


def test_a_poll_that_a_fault_may_have_cut_short_is_in_doubt() -> None:
    """What was answered a moment before, and the first answers after: certain is only what is clear of it."""
    now_ms = BEGIN_MS
    faults, journal = Faults(), Journal()
    meter = Meter("m", SDM630, journal, lambda: now_ms, faults=faults)
    answer = meter.sim_device(1).action
    assert answer is not None

    def poll(at_ms: int) -> None:
        nonlocal now_ms
        now_ms = at_ms
        asyncio.run(answer(4, SDM630.first, 0, 2, [0] * SDM630.size, None))

    poll(BEGIN_MS)
    poll(BEGIN_MS + 10_000)
    faults.set("m", "silent")
    poll(BEGIN_MS + 10_100)
    faults.clear("m")
    for at_s in (20, 30, 40):
        poll(BEGIN_MS + at_s * 1000)
    assert [poll.is_certain for poll in journal.polls] == [True, False, False, False, True]
    assert (journal.readings, journal.spoiled) == (2 * len(SDM630.addresses), 1)


def test_a_slow_meter_keeps_its_values_until_its_poll_is_over() -> None:
    """Two requests of one poll see the same values, though the second comes late."""
    now_ms = BEGIN_MS
    faults, journal = Faults(), Journal()
    meter = Meter("m", SDM630, journal, lambda: now_ms, faults=faults)
    fault = faults.set("m", "slow", delay_s=0.8)
    assert meter.latch(fault) == BEGIN_MS
    now_ms += 900
    assert meter.latch(fault, 52) == BEGIN_MS
    now_ms += 2000
    assert meter.latch(fault) == now_ms
    assert journal.polls == [Poll("m", BEGIN_MS, is_certain=False), Poll("m", now_ms, is_certain=False)]


@pytest.mark.parametrize(
    ("target", "kind", "error"),
    [
        ("nobody", "silent", "no device 'nobody'; there are town-hall-main"),
        ("nobody", "off", "no bus 'nobody'; there are town-hall"),
        ("nobody", "mend", "no device or bus 'nobody'"),
        ("school-gym", "broken", f"'broken' is no fault; there are {', '.join(KINDS)}"),
    ],
)
def test_an_order_that_cannot_be_followed_is_answered_with_a_sentence(
    tmp_path: Path, target: str, kind: str, error: str
) -> None:
    """Through the socket, as `messnetz demo fault` gives it; and the demo goes on."""

    async def story(meters: Meters) -> None:
        path = tmp_path / control.SOCKET
        async with control.serve(path, meters):
            with pytest.raises(DemoError, match=error):
                await asyncio.to_thread(control.give, path, control.Order(target, kind))
            await asyncio.to_thread(control.give, path, control.Order("school-gym", "wrong", "stuck", for_s=60))
            fault = meters.faults.of("school-gym")
            assert fault is not None
            assert (fault.kind, fault.how) == ("wrong", "stuck")
        with pytest.raises(DemoError, match="no demo runs in"):
            control.give(path, control.Order("school-gym", "mend"))

    told(story)
