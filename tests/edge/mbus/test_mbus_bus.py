"""A wired M-Bus on a pseudo-terminal: addressing, noise, collisions, silence, and a port that is pulled out."""

from __future__ import annotations

import asyncio
import functools
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import pytest

from base.errors import PermanentError, TransientError
from base.strict_yaml import parse
from edge.drivers import plan_bus
from edge.interface import NoAnswerError, ParkedError
from edge.mbus.driver import MbusPlan
from edge.mbus.errors import DamagedError, RefusedError
from edge.mbus.line import Line
from edge.mbus.reader import MeterReader
from edge.stream import LineSettings, SerialPort
from simulator.devices import Journal
from simulator.heat import HEAT_METER
from simulator.mbus import HeatMeter, MbusLine, Plate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from edge.interface import Bus, Measured

P = ParamSpec("P")
FIXED = "68 13 13 68 08 05 73 78 56 34 12 0a 00 e9 7e 01 00 00 00 35 01 00 00 3c 16"
AT_MS = 1_790_000_000_000
QUANTITIES = tuple(HEAT_METER.addresses)


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test's coroutine."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@asynccontextmanager
async def at_work(line: MbusLine, plan: MbusPlan) -> AsyncIterator[Bus]:
    """Plug the line in and open the bus."""
    await line.plug()
    bus = plan.open()
    try:
        yield bus
    finally:
        await bus.close()
        await line.unplug()


def planned(line: Path, *devices: str, more: str = "timeout_s: 0.2, tries: 2") -> MbusPlan:
    """Check a bus on a pseudo-terminal, which has no parity; `devices` are what stands behind `profile` and `site`."""
    rows = "\n".join(
        f"  - {{id: heat-{number}, profile: generic/mbus-heat, site: town, interval_s: 60, {device}}}"
        for number, device in enumerate(devices, 1)
    )
    settings = f"serial: {line}\nparity: N\nbaud_rate: 38400\n{more.replace(', ', chr(10))}"
    text = f"id: heat\ndriver: mbus\n{settings}\ndevices:\n{rows}\n"
    plan = plan_bus(parse(text.encode(), line), ())
    assert isinstance(plan, MbusPlan)
    return plan


def meter(number: int, journal: Journal | None = None, clock: Callable[[], int] = lambda: AT_MS) -> HeatMeter:
    """Build the meter at a primary address, its own number 6666000<address>."""
    return HeatMeter(f"heat-{number}", number, Plate(f"6666000{number}"), journal or Journal(), clock=clock)


def truth(device: str, at_ms: int = AT_MS) -> dict[str, float]:
    """What a meter truly measured."""
    return {name: HEAT_METER.truth(device, name, at_ms) for name in QUANTITIES}


def values(measured: Measured) -> dict[str, float]:
    """What was read."""
    return {reading.name: reading.value for reading in measured.readings}


async def tried(bus: Bus, device: str) -> dict[str, float] | str:
    """Read a meter; returns its values, or the kind of error."""
    try:
        return values(await bus.read(device))
    except (TransientError, PermanentError) as error:
        return type(error).__name__


@on_a_loop
async def test_meters_are_read_by_primary_and_by_secondary_address(tmp_path: Path) -> None:
    """Each value to the digit, in the town's units, whoever was read before."""
    line = MbusLine([meter(1), meter(2), meter(3)], tmp_path / "line")
    async with at_work(
        line, planned(tmp_path / "line", "address: 1", "secondary: '66660002'", "secondary: '66660003 LUG 07 04'")
    ) as bus:
        for device in ("heat-1", "heat-2", "heat-3", "heat-1", "heat-3"):
            assert values(await bus.read(device)) == truth(device)
            assert bus.traffic(device).errors == 0


@on_a_loop
async def test_each_reading_is_measured_anew(tmp_path: Path) -> None:
    """The frame count bit: a meter that thinks that it is asked again would repeat what it said an hour ago."""
    times = iter(range(AT_MS, AT_MS + 10 * 3_600_000, 3_600_000))
    line = MbusLine([meter(1, clock=lambda: next(times))], tmp_path / "line")
    await line.plug()
    for address in ("address: 1", "secondary: '66660001'"):
        bus = planned(tmp_path / "line", address).open()
        read = [values(await bus.read("heat-1"))["heat_energy"] for _ in range(3)]
        assert read == sorted(set(read))
        await bus.close()
    await line.unplug()


@pytest.mark.parametrize("telegrams", [2, 4])
@on_a_loop
async def test_an_answer_in_several_telegrams_is_put_together(tmp_path: Path, telegrams: int) -> None:
    """As long as the meter has more, and readings are missing; the next reading begins with the first one again."""
    times = iter(range(AT_MS, AT_MS + 100_000, 1000))
    journal = Journal()
    split = HeatMeter("heat-1", 1, Plate("66660001"), journal, clock=lambda: next(times), telegrams=telegrams)
    line = MbusLine([split], tmp_path / "line")
    async with at_work(line, planned(tmp_path / "line", "address: 1", "secondary: '66660001'")) as bus:
        for number, device in enumerate(("heat-1", "heat-2", "heat-1")):
            assert values(await bus.read(device)) == truth("heat-1", AT_MS + 1000 * number)
    assert [poll.polled_at_ms for poll in journal.polls] == [AT_MS, AT_MS + 1000, AT_MS + 2000]


@on_a_loop
async def test_a_wildcard_selects_and_two_answers_collide(tmp_path: Path) -> None:
    """One digit F too many, and both meters answer at once: an error of that device alone, and no wrong value."""
    line = MbusLine([meter(1), meter(2), HeatMeter("x", 3, Plate("77770003"), Journal())], tmp_path / "line")
    async with at_work(
        line, planned(tmp_path / "line", "secondary: 777FFFFF", "secondary: 6666FFFF", "address: 1")
    ) as bus:
        assert (await bus.read("heat-1")).readings
        with pytest.raises(DamagedError):
            await bus.read("heat-2")
        assert "heat_energy" in values(await bus.read("heat-3"))


@on_a_loop
async def test_another_meters_answer_is_not_taken(tmp_path: Path) -> None:
    """An answer with the address of another meter, its checksum right: refused."""
    wrong = meter(1)
    line = MbusLine([wrong], tmp_path / "line")
    async with at_work(line, planned(tmp_path / "line", "address: 1")) as bus:
        wrong.faults.set("heat-1", "garbage", how="number")
        with pytest.raises(DamagedError, match="an answer of the meter at address"):
            await bus.read("heat-1")
        wrong.faults.clear("heat-1")
        assert (await bus.read("heat-1")).readings


@pytest.mark.parametrize(("number", "is_its_own"), [("12345678", True), ("1234567F", True), ("12345679", False)])
@on_a_loop
async def test_an_old_meter_that_was_selected_says_whose_its_answer_is(number: str, *, is_its_own: bool) -> None:
    """The fixed data structure has a number, too: the late answer of another meter at 253 is refused."""

    class Answers:
        """A line on which the meter 12345678 answers, whoever was selected."""

        address, asked_at_s = "line", 1.0

        async def ask(self, question: bytes) -> bytes:
            """Acknowledge, or answer."""
            return bytes.fromhex(FIXED) if question[:2] == b"\x10\x7b" else b"\xe5"

    target = planned(Path("line"), f"secondary: '{number}'").devices[0]
    reading = MeterReader(target, tries=1).read(Answers())  # type: ignore[arg-type]
    if is_its_own:
        assert (await reading).readings
        return
    with pytest.raises(DamagedError, match="an answer of the meter 12345678"):
        await reading


@pytest.mark.parametrize("secondary", ["66660002", "66660001 KAM", "66660001 LUG 08", "66660001 LUG 07 06"])
@on_a_loop
async def test_an_answer_of_a_meter_that_was_not_selected_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secondary: str
) -> None:
    """Whatever of number, maker, version and medium is another's: it is refused, though it comes from 253."""
    monkeypatch.setattr(Plate, "is_meant", lambda *_: True)
    line = MbusLine([meter(1)], tmp_path / "line")
    async with at_work(line, planned(tmp_path / "line", f"secondary: '{secondary}'")) as bus:
        with pytest.raises(DamagedError, match="an answer of the meter 66660001 LUG"):
            await bus.read("heat-1")


@on_a_loop
async def test_a_silent_meter_is_parked_and_costs_the_others_nothing(tmp_path: Path) -> None:
    """After two failures it is not asked; its neighbour is read all the while."""
    line = MbusLine([meter(1)], tmp_path / "line")
    async with at_work(
        line, planned(tmp_path / "line", "address: 1", "address: 9", more="timeout_s: 0.05, tries: 1")
    ) as bus:
        for _ in range(2):
            with pytest.raises(NoAnswerError, match=r"meter 9: no answer in 0\.05 s"):
                await bus.read("heat-2")
        with pytest.raises(ParkedError):
            await bus.read("heat-2")
        assert bus.parked_s("heat-2") is not None
        assert bus.traffic("heat-2") == (2, 2)
        assert values(await bus.read("heat-1")) == truth("heat-1")


@on_a_loop
async def test_what_a_meter_refuses_is_said(tmp_path: Path) -> None:
    """It reports an error instead of data, or has nothing to say: no value, and not parked."""
    refusing = meter(1)
    line = MbusLine([refusing], tmp_path / "line")
    async with at_work(line, planned(tmp_path / "line", "address: 1")) as bus:
        refusing.faults.set("heat-1", "refuse")
        with pytest.raises(RefusedError, match="the application is busy"):
            await bus.read("heat-1")
        refusing.faults.set("heat-1", "wrong", how="sentinel")
        measured = await bus.read("heat-1")
        assert (measured.readings, measured.without_value) == ((), QUANTITIES)
        assert bus.parked_s("heat-1") is None


@on_a_loop
async def test_after_noise_the_line_is_heard_until_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still under way of a garbled answer would else stand before the next one."""

    class Noisy:
        """A line on which pieces of something come one after the other."""

        def __init__(self) -> None:
            self.pieces = [b"\x99", b"\x08\x05", b"\x72", b"\x16"]

        async def read(self) -> bytes:
            """Wait for the next piece."""
            await asyncio.sleep(0.005 if self.pieces else 60)
            return self.pieces.pop(0)

        async def write(self, data: bytes) -> None:
            """Take a question."""

        def discard(self) -> None:
            """Nothing has come yet."""

    noisy = Noisy()

    async def opened(_: object) -> Noisy:
        return noisy

    monkeypatch.setattr("edge.stream.open_line", opened)
    line = Line(SerialPort("line", LineSettings()), LineSettings(), 1.0)
    with pytest.raises(DamagedError, match="byte 99h"):
        await line.ask(b"\x10\x5b\x01\x5c\x16")
    assert noisy.pieces == []


@on_a_loop
async def test_a_late_answer_is_not_the_next_meters(tmp_path: Path) -> None:
    """A meter that answers after the time-out disturbs its neighbour perhaps, but never gives it its values."""
    late = meter(1)
    line = MbusLine([late, meter(2)], tmp_path / "line")
    async with at_work(
        line, planned(tmp_path / "line", "address: 1", "address: 2", more="timeout_s: 0.1, tries: 3")
    ) as bus:
        late.faults.set("heat-1", "slow", delay_s=0.15)
        seen = [await tried(bus, device) for device in ("heat-1", "heat-2", "heat-1", "heat-2", "heat-2")]
        assert all(each in (truth("heat-2"), "DamagedError", "NoAnswerError") for each in (seen[1], seen[3]))
        assert seen[4] == truth("heat-2")


@on_a_loop
async def test_a_pulled_port_comes_back(tmp_path: Path) -> None:
    """No answer while it is away, and values as soon as it is plugged in again."""
    line = MbusLine([meter(1)], tmp_path / "line")
    async with at_work(line, planned(tmp_path / "line", "address: 1")) as bus:
        assert values(await bus.read("heat-1")) == truth("heat-1")
        await line.unplug()
        with pytest.raises(NoAnswerError):
            await bus.read("heat-1")
        await line.plug()
        assert values(await bus.read("heat-1")) == truth("heat-1")


@on_a_loop
async def test_an_echo_is_no_answer(tmp_path: Path) -> None:
    """Some converters send back what they are told: that is skipped, and the answer behind it is read."""
    line = MbusLine([meter(1)], tmp_path / "line")
    answer = line._answer

    def with_echo(frame: bytes) -> None:
        line.say(frame)
        answer(frame)

    line._answer = with_echo  # type: ignore[method-assign]
    async with at_work(line, planned(tmp_path / "line", "address: 1", "secondary: '66660001'")) as bus:
        assert values(await bus.read("heat-1")) == truth("heat-1")
        assert values(await bus.read("heat-2")) == truth("heat-1")


@pytest.mark.parametrize("rounds", [25, pytest.param(360, marks=pytest.mark.slow)])
@on_a_loop
async def test_a_noisy_line_gives_no_wrong_value(tmp_path: Path, rounds: int) -> None:
    """One answer in ten is cut, flipped, another's or noise, and now and then the port is pulled: only errors.

    The meters' time goes on by 10 s with each round: 360 of them are an hour.
    """
    now = [AT_MS]
    journal = Journal()
    line = MbusLine([meter(n, journal, lambda: now[0]) for n in (1, 2)], tmp_path / "line", noise=0.1, seed=7)
    async with at_work(
        line, planned(tmp_path / "line", "address: 1", "secondary: '66660002'", more="timeout_s: 0.05, tries: 3")
    ) as bus:
        good = bad = 0
        for number in range(rounds):
            now[0] += 10_000
            if number % 60 == 20:
                await line.unplug()
                assert await tried(bus, "heat-1") == "NoAnswerError"
                await line.plug()
            for device in ("heat-1", "heat-2"):
                seen = await tried(bus, device)
                if isinstance(seen, dict):
                    assert seen == truth(device, now[0]), number
                    good += 1
                else:
                    assert seen in ("DamagedError", "NoAnswerError", "ParkedError")
                    bad += 1
        assert line.spoiled > rounds / 10
        assert bus.traffic("heat-1").errors + bus.traffic("heat-2").errors >= line.spoiled * 0.8
        assert good > 1.7 * rounds
        now[0] += 10_000
        line.noise = 0.0
        assert await tried(bus, "heat-1") == truth("heat-1", now[0])


@on_a_loop
async def test_a_reading_that_is_cancelled_leaves_a_clean_line(tmp_path: Path) -> None:
    """The answer that nobody waits for any more is not the next one's."""
    line = MbusLine([meter(1), meter(2)], tmp_path / "line", baud_rate=9600)
    async with at_work(line, planned(tmp_path / "line", "address: 1", "address: 2")) as bus:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await bus.read("heat-1")
        assert values(await bus.read("heat-2")) == truth("heat-2")


def test_a_reload_keeps_what_is_known(tmp_path: Path) -> None:
    """A meter that did not change keeps its count of errors; another one under its name begins anew."""
    plan = planned(tmp_path / "line", "address: 1", "address: 2")
    bus = plan.open()
    before = bus._turns.reader("heat-1")  # type: ignore[attr-defined]
    changed = planned(tmp_path / "line", "address: 1", "address: 3")
    assert plan.is_same_line(changed)
    bus.follow(changed)
    assert bus._turns.reader("heat-1") is before  # type: ignore[attr-defined]
    assert bus.traffic("heat-2") == (0, 0)
    assert not plan.is_same_line(planned(tmp_path / "other", "address: 1"))
