"""Meters that are asked, over a pseudo-terminal: question, speed, answer, checksum."""

from __future__ import annotations

import asyncio
import contextlib
import math
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base import strict_yaml
from base.errors import ConfigError, PermanentError, TransientError
from edge import drivers
from edge.d0 import readout
from edge.d0.driver import ReadoutPlan
from edge.d0.readout import ReadoutBus
from edge.interface import NoAnswerError, ParkedError, Traffic
from edge.listening import ListeningPlan
from simulator import d0 as encoder
from simulator.d0 import AskedLine, AskedMeter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edge.interface import BusPlan
    from edge.stream import LineSettings

LINES = ["0.0.0( 20000)", "1.8.0(001234.5*kWh)", "1.8.0*01(000100.0*kWh)", "2.8.0(000000.0*kWh)", "32.7.0(231*V)"]


def _plan(serial: str, devices: str = "{id: m, profile: d0/read, site: s}", more: str = "") -> BusPlan:
    text = f"buses:\n  - {{id: b, driver: d0, serial: {serial}, {more}devices: [{devices}]}}\n"
    return drivers.plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ("buses", 0))


@asynccontextmanager
async def _world(
    tmp_path: Path, *meters: AskedMeter, devices: str = "{id: m, profile: d0/read, site: s}"
) -> AsyncIterator[tuple[AskedLine, ReadoutBus]]:
    line = AskedLine(tmp_path / "line", meters)
    line.port.plug()
    plan = _plan(line.port.address, devices)
    assert isinstance(plan, ReadoutPlan)
    bus = ReadoutBus(plan)
    try:
        yield line, bus
    finally:
        await bus.close()
        line.port.unplug()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a meter that is not there."""
    monkeypatch.setattr(readout, "ANSWER_S", 0.3)
    monkeypatch.setattr(readout, "REACTION_S", 0.01)
    monkeypatch.setattr(readout, "PAUSE_S", 0.01)


@pytest.mark.parametrize(
    ("speed", "answer"),
    [("5", b"\x06050"), ("6", b"\x06050"), ("3", b"\x06030"), ("0", b"\x06000"), ("E", None), ("X", None)],
)
def test_a_meter_is_asked_in_its_mode(speed: str, answer: bytes | None, tmp_path: Path) -> None:
    """Mode C agrees on its speed, or on the fastest that the head can; B and A wait for no answer."""

    async def story() -> None:
        async with _world(tmp_path, AskedMeter(lambda: LINES, speed=speed)) as (line, bus):
            measured = await bus.read("m")
            assert {r.name: r.value for r in measured.readings} == {
                "active_energy_import": 1234.5,
                "active_energy_export": 0.0,
                "voltage/L1": 231.0,
            }
            assert line.heard == [b"/?!", *([answer] if answer else [])]
            assert bus.traffic("m") == Traffic(1, 0)

    asyncio.run(story())


def test_the_line_changes_its_speed_and_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 baud for each question, the agreed speed for its answer; 7E1 is opened as 8N1, and checked here."""
    set_to: list[str] = []

    async def story() -> None:
        async with _world(tmp_path, AskedMeter(lambda: LINES)) as (_, bus):
            await bus.read("m")
            assert bus._line is not None
            before = bus._line.set

            def change(settings: LineSettings) -> None:
                set_to.append(str(settings))
                before(settings)

            monkeypatch.setattr(bus._line, "set", change)
            await bus.read("m")

    asyncio.run(story())
    assert set_to == ["300 8N1", "9600 8N1"]


def test_several_meters_share_a_line(tmp_path: Path) -> None:
    """Each is called by its address; one that is not there costs the other nothing but its time."""
    devices = "{id: a, profile: d0/read, site: s, address: '1'}, {id: b, profile: d0/read, site: s, address: '2'}"
    meter = AskedMeter(lambda: ["1.8.0(2*kWh)"], address="2")

    async def story() -> None:
        async with _world(tmp_path, meter, devices=devices) as (line, bus):
            for _ in range(2):
                with pytest.raises(NoAnswerError, match="no answer from device a"):
                    await bus.read("a")
            assert (await bus.read("b")).readings[0].value == 2.0
            with pytest.raises(ParkedError):
                await bus.read("a")
            assert bus.parked_s("a") is not None
            assert (bus.traffic("a"), bus.traffic("b")) == (Traffic(2, 2), Traffic(1, 0))
            assert line.heard.count(b"/?1!") == 2

    asyncio.run(story())


def test_the_echo_of_the_head_is_passed_over(tmp_path: Path) -> None:
    """What we send comes back before the answer."""

    async def story() -> None:
        async with _world(tmp_path, AskedMeter(lambda: LINES)) as (line, bus):
            line.echoes = True
            assert len((await bus.read("m")).readings) == 3

    asyncio.run(story())


@pytest.mark.parametrize("at", [0, 1, 30, 60, -2, -1])
@pytest.mark.parametrize("bits", [0x01, 0x03])
def test_a_wrong_bit_is_an_error_and_the_next_answer_is_good(at: int, bits: int, tmp_path: Path) -> None:
    """Two wrong bits pass the parity, and not the checksum."""

    async def story() -> None:
        async with _world(tmp_path, AskedMeter(lambda: LINES)) as (line, bus):
            good = await bus.read("m")
            line.answers[""] = lambda data: data[:at] + bytes([data[at] ^ bits]) + (data[at + 1 :] if at != -1 else b"")
            with pytest.raises(TransientError):
                await bus.read("m")
            line.answers.clear()
            assert (await bus.read("m")).readings == good.readings
            assert bus.traffic("m") == Traffic(3, 1)

    asyncio.run(story())


def test_an_answer_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    """And not half of the values; the meter is there, so it is asked again in its turn, however often that happens."""

    async def story() -> None:
        async with _world(tmp_path, AskedMeter(lambda: LINES)) as (line, bus):
            line.answers[""] = lambda data: data[:-20]
            for _ in range(3):
                with pytest.raises(TransientError, match="breaks off"):
                    await bus.read("m")
            assert bus.parked_s("m") is None
            line.answers.clear()
            assert len((await bus.read("m")).readings) == 3

    asyncio.run(story())


def test_a_port_that_was_pulled_out_is_opened_anew(tmp_path: Path) -> None:
    """The adapter is another one under the same name."""

    async def story() -> None:
        async with _world(tmp_path, AskedMeter(lambda: LINES)) as (line, bus):
            await bus.read("m")
            line.port.unplug()
            with pytest.raises(TransientError):
                await bus.read("m")
            line.port.plug()
            assert len((await bus.read("m")).readings) == 3

    asyncio.run(story())


def test_a_meter_that_never_ends_is_left(tmp_path: Path) -> None:
    """Bounded in memory and in time."""

    async def story() -> None:
        async with _world(tmp_path, AskedMeter(lambda: LINES)) as (line, bus):
            line.answers[""] = lambda _: b"\x82" + b"1.8.0(1)\r\n" * 400
            with pytest.raises(TransientError):
                await bus.read("m")

    asyncio.run(story())


def test_zeros_wake_a_meter_on_a_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its question."""
    written: list[bytes] = []

    async def story() -> None:
        async with _world(tmp_path, AskedMeter(lambda: LINES)) as (_, bus):
            await bus.read("m")
            (sleepy,) = bus._plan.devices
            half = msgspec.structs.replace(sleepy.half, wake_up=True)
            bus.follow(replace(bus._plan, devices=(replace(sleepy, half=half),)))
            assert bus._line is not None
            before = bus._line.write

            async def write(data: bytes) -> None:
                written.append(data)
                await before(data)

            monkeypatch.setattr(bus._line, "write", write)
            await bus.read("m")

    asyncio.run(story())
    assert written[0] == bytes(68)


def test_the_cost_is_that_of_the_speeds() -> None:
    """1500 characters of ten bits at 9600 and forty at 300, and what both wait."""
    plan = _plan("/dev/x")
    assert plan.cost_s("m") == pytest.approx(1.0 + 40 * 10 / 300 + 1500 * 10 / 9600)
    slow = _plan("/dev/x", more="fastest_baud_rate: 300, ")
    assert slow.cost_s("m") == pytest.approx(1.0 + 40 * 10 / 300 + 1500 * 10 / 300)
    assert slow.faster(0.11) == "`fastest_baud_rate: 4800`, where the head can go along"
    assert not plan.is_same_line(slow)
    assert plan.is_same_line(_plan("/dev/x"))
    assert not plan.listens


WRONG = [
    ("{id: m, profile: d0/read, site: s}, {id: n, profile: d0/read, site: s}", "no 'address'"),
    ("{id: m, profile: d0/read, site: s, address: '1'}, {id: n, profile: d0/read, site: s, address: '1'}", "of 'm'"),
    ("{id: m, profile: d0/push, site: s}, {id: n, profile: d0/push, site: s}", "speaks by itself beside"),
    ("{id: m, profile: d0/push, site: s, address: '1'}", "'address' of a meter that speaks"),
    ("{id: m, profile: sml/meter, site: s}", "driver 'sml'"),
    ("{id: m, profile: d0/nothing, site: s}", "no profile"),
    ("{id: m, profile: d0/read, site: s, parameters: {ratio: 2}}", "unknown parameter"),
    ("{id: m, profile: d0/read, site: s, address: 'a!b'}", "a!b"),
]


@pytest.mark.parametrize(("devices", "found"), WRONG)
def test_a_line_that_cannot_be_is_refused_at_the_desk(devices: str, found: str) -> None:
    """With file, line and remedy."""
    with pytest.raises(ConfigError, match=r"gw\.yaml:2:") as caught:
        _plan("/dev/x", devices)
    assert found in str(caught.value)


def test_a_meter_that_speaks_is_listened_to() -> None:
    """On a line of 8N1, whose parity is checked here."""
    plan = _plan("/dev/x", "{id: m, profile: easymeter/q3d, site: s}")
    assert isinstance(plan, ListeningPlan)
    assert str(getattr(plan.line, "settings", "")) == "9600 8N1"
    assert plan.open() is not None


class _Meter:
    """A line on which whatever was drawn answers the question."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers

    async def read(self) -> bytes:
        if not self._answers:
            await asyncio.sleep(3600)
        return self._answers.pop(0)

    async def write(self, data: bytes) -> None:
        """Nobody hears it."""

    def discard(self) -> None:
        """Nothing came before."""

    def set(self, settings: LineSettings) -> None:
        """At any speed."""

    def close(self) -> None:
        """It goes."""


BLOCKS = st.one_of(
    st.binary(min_size=1, max_size=200),
    st.lists(st.sampled_from([*LINES, "(", "1.8.0(1e999*kWh)", "1.8.0(-)", "\x03", "!"]), max_size=8).map(
        encoder.block
    ),
)


@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    ident=st.sampled_from([b"/XYZ5METER\r\n", b"/XYZEMETER\r\n", b"/?!\r\n/XYZ0\r\n", b"/"]),
    blocks=st.lists(BLOCKS, max_size=4),
)
def test_whatever_answers_it_is_a_reading_or_our_error(
    ident: bytes, blocks: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise, a block cut anywhere, two of them, numbers that are none: said in words, and never later than agreed."""
    monkeypatch.setattr(readout, "ANSWER_S", 0.005)
    monkeypatch.setattr(readout, "REACTION_S", 0.0)
    plan = _plan("/dev/x")
    assert isinstance(plan, ReadoutPlan)

    async def opened(_line: object) -> _Meter:
        return _Meter([encoder.even(ident), *blocks])

    async def story() -> None:
        bus = ReadoutBus(plan, opened)
        with contextlib.suppress(TransientError, PermanentError):
            async with asyncio.timeout(1.0):
                assert all(math.isfinite(reading.value) for reading in (await bus.read("m")).readings)
        await bus.close()

    asyncio.run(story())
