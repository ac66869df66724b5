"""Polling a bus: one dead device costs the others nothing, and no time is used twice."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from clocks import START_MS, Clocks

from base.errors import PermanentError, TransientError
from base.retry import Backoff
from edge.interface import Measured, NoAnswerError, Traffic
from gateway import clock
from gateway.poller import Poller
from gateway.schedule import Schedule
from gateway.timekeeper import Timekeeper
from wire.readings import Reading

from buses import BusDouble, Device

if TYPE_CHECKING:
    from edge.interface import BusPlan
    from wire.readings import Sample

VOLTAGE = (Reading("voltage", 230.0, "V"),)


@dataclass
class FakeBus(BusDouble):
    """A bus on which some devices fail, each in its own way."""

    faults: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_closed: bool = False
    devices: tuple[Device, ...] = (Device("good"), Device("bad"))

    async def read(self, device: str) -> Measured:
        """Answer, or fail as told."""
        self.asked.append(device)
        if device in self.faults:
            raise self.faults[device]
        return Measured(VOLTAGE, time.monotonic())

    def traffic(self, device: str) -> Traffic:
        """Every question counts; who fails, fails on the line."""
        asked = self.asked.count(device)
        return Traffic(asked, asked if device in self.faults else 0)

    def follow(self, plan: BusPlan) -> None:
        """Take the devices of another plan."""
        self.devices = tuple(Device(device.id, device.interval_s) for device in plan.devices)

    async def close(self) -> None:
        """Close the bus."""
        self.is_closed = True


def _poll(bus: FakeBus, samples: int, keeper: Timekeeper | None = None) -> list[Sample]:
    """Run a poller until so many samples were delivered."""
    delivered: list[Sample] = []

    async def play() -> None:
        stop = asyncio.Event()

        def deliver(sample: Sample) -> None:
            delivered.append(sample)
            if len(delivered) >= samples:
                stop.set()

        await asyncio.wait_for(Poller(bus, keeper or Timekeeper("trusted"), deliver).run(stop), 20)

    asyncio.run(play())
    return delivered


FAULTS = [TransientError("busy"), PermanentError("illegal data address"), ValueError("a fault of ours")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_failing_device_costs_the_others_nothing(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong with one, the other is read every time; the fault is logged."""
    bus = FakeBus({"bad": fault})
    delivered = _poll(bus, 6)
    assert {sample.device for sample in delivered if VOLTAGE[0] in sample.readings} == {"good"}
    assert bus.asked.count("bad") >= 4
    assert "bad" in caplog.text
    assert bus.is_closed


class Standing(Clocks):
    """Clocks that stand still."""

    def boot_ms_at(self, monotonic_s: float) -> int:
        """Whenever it was, it was now."""
        return self.boot_ms() + 0 * round(monotonic_s)


def test_a_stopped_clock_uses_no_time_twice() -> None:
    """A tie moves on: two readings of a device never fall on one point."""
    delivered = _poll(FakeBus(devices=(Device("good"),)), 4, Timekeeper("trusted", Standing()))
    assert [sample.measured_at_ms - START_MS for sample in delivered] == [0, 4, 8, 12]


def test_a_sample_has_the_time_of_the_question_not_of_the_answer() -> None:
    """A bus that had to be opened first, or a slow device, does not shift its readings."""
    asked_s = time.monotonic() - 3.0

    async def read(device: str) -> Measured:
        bus.asked.append(device)
        return Measured(VOLTAGE, asked_s)

    bus = FakeBus(devices=(Device("good"),))
    bus.read = read  # type: ignore[method-assign] # this bus took three seconds
    (sample,) = _poll(bus, 1)
    assert sample.measured_at_ms == pytest.approx(time.time() * 1000 - 3000, abs=1000)


def test_a_bus_that_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else would poll it, and the other buses must not die with it."""
    bus = FakeBus()
    opened: list[int] = []

    def flaky() -> FakeBus:
        opened.append(1)
        if len(opened) == 1:
            raise RuntimeError("a fault of ours")
        return bus

    monkeypatch.setattr(bus, "open", flaky)
    assert len(_poll(bus, 2)) == 2


def test_a_request_does_not_hurry_a_bus_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits with the bus: else the bus would be opened without a pause for as long as somebody asks."""
    bus = FakeBus()
    opened: list[int] = []

    def broken() -> FakeBus:
        opened.append(1)
        raise RuntimeError("a fault of ours")

    async def play() -> None:
        monkeypatch.setattr(bus, "open", broken)
        poller, stop = Poller(bus, Timekeeper("trusted"), lambda _: None), asyncio.Event()
        poller._backoff = Backoff("", logging.getLogger(), chance=lambda: 1.0)
        polling = asyncio.create_task(poller.run(stop))
        await asyncio.sleep(0)
        asking = asyncio.create_task(poller.read("good"))
        for _ in range(100):
            await asyncio.sleep(0)
        stop.set()
        await polling
        with pytest.raises(TransientError, match="not polled any more"):
            await asking

    asyncio.run(play())
    assert opened == [1]


def test_a_device_without_a_value_makes_no_sample() -> None:
    """All registers NaN is no measurement."""
    bus = FakeBus()

    async def read(device: str) -> Measured:
        bus.asked.append(device)
        return Measured(VOLTAGE if device == "good" else (), time.monotonic())

    bus.read = read  # type: ignore[method-assign] # this bus answers "bad" with nothing
    assert {sample.device for sample in _poll(bus, 3) if VOLTAGE[0] in sample.readings} == {"good"}


def test_polling_does_not_wait_for_the_time() -> None:
    """What is read without one counts from the start of the machine."""
    clocks = Standing(wall_ahead_ms=-START_MS)
    clocks.true_ms += 60_000
    delivered = _poll(FakeBus(devices=(Device("good"),)), 3, Timekeeper("trusted", clocks))
    assert [sample.measured_at_ms for sample in delivered] == [60_000, 60_004, 60_008]


def test_the_kernel_answers() -> None:
    """The call itself works: asked by the same means, the kernel names one of its states (adjtimex(2): 0 to 5)."""
    assert 0 <= clock.kernel_state() <= clock.TIME_ERROR
    assert clock.kernel_is_synchronised() == (clock.kernel_state() != clock.TIME_ERROR)


def test_a_device_that_does_not_answer_is_said_once() -> None:
    """After two failures in a row, and not with each of those that follow."""
    bus = FakeBus({"bad": NoAnswerError("silent")})
    delivered = _poll(bus, 8)
    assert bus.asked.count("bad") > 3
    said = [sample.readings for sample in delivered if sample.device == "bad"]
    assert said == [(Reading("reachable", 0.0, "/"),)]


def test_a_slow_device_shifts_the_others_by_no_more_than_its_own_time() -> None:
    """Nobody's turn is lost: what is overdue comes next, and the slow one waits for its next tick."""
    devices = tuple(Device(name, 1.0) for name in ("a", "slow", "b", "c"))
    schedule, now_s, turns = Schedule(devices, monotonic_s=0.0, wall_s=0.0), 0.0, []
    for _ in range(40):
        due_s, device = schedule.next_due()
        now_s = max(now_s, due_s)
        turns.append((device, now_s - due_s))
        now_s += 0.7 if device == "slow" else 0.0
        schedule.done(now_s)
    assert max(late_s for _, late_s in turns) <= 0.7
    assert {device: sum(name == device for name, _ in turns) for device, _ in turns} == dict.fromkeys(
        ("a", "slow", "b", "c"), 10
    )


def test_a_poller_that_hands_over_leaves_the_bus_open() -> None:
    """And the next one goes on with it, in the same rhythm."""
    bus = FakeBus(devices=(Device("good", 3600.0),))

    async def play() -> tuple[Poller, Poller]:
        stop = asyncio.Event()
        former = Poller(bus, Timekeeper("trusted"), lambda _: None)
        task = asyncio.create_task(former.run(stop))
        await asyncio.sleep(0)
        former.hand_over()
        stop.set()
        await task
        assert not bus.is_closed
        return former, Poller(bus, Timekeeper("trusted"), lambda _: None, former=former)

    former, poller = asyncio.run(play())
    assert poller.bus is bus
    assert former.schedule is not None
    assert poller.schedule is not None
    assert poller.schedule.next_due() == former.schedule.next_due()
