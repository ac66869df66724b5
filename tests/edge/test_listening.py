"""A device that speaks by itself: opened, heard, lost, opened anew."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from base.errors import TransientError
from base.retry import Backoff
from edge import kept_line, listening, speaking
from edge.interface import Measured, NoAnswerError, ParkedError, Traffic
from edge.listening import Garbled, ListeningBus, ListeningPlan, ListeningTarget, Said
from edge.stream import LineSettings, SerialPort, TcpEndpoint
from edge.thinning import Rule, Thinner
from wire.readings import Reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.listening import Word
    from edge.stream import LineAddress

LINE = SerialPort("/dev/head", LineSettings())


class Lines:
    """Says a number for each byte; `x` is none, `!` breaks the decoder."""

    def __init__(self) -> None:
        self.resets = 0

    def feed(self, data: bytes) -> list[Word]:
        """Take bytes."""
        if b"!" in data:
            raise ZeroDivisionError
        return [
            Garbled("a letter") if byte == ord("x") else Said((Reading("active_power", float(byte - 48), "W"),))
            for byte in data
        ]

    def reset(self) -> None:
        """Count."""
        self.resets += 1


class Wire:
    """A line that the test plays: what is put in comes out, an error ends it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | TransientError] = asyncio.Queue()
        self.written: list[bytes] = []
        self.is_open = True

    async def read(self) -> bytes:
        """Wait for what the test puts in."""
        item = await self.queue.get()
        if isinstance(item, TransientError):
            raise item
        return item

    async def write(self, data: bytes) -> None:
        """Keep it."""
        self.written.append(data)

    def discard(self) -> None:
        """Nothing."""

    def set(self, settings: LineSettings) -> None:
        """Nothing."""

    def close(self) -> None:
        """Note it."""
        self.is_open = False


class World:
    """A bus whose lines are played."""

    def __init__(self, interval_s: float = 1.0, wakes: bytes = b"") -> None:
        self.decoder = Lines()
        self.wires: list[Wire] = []
        self.refusals: list[str] = []
        thinner = Thinner([Rule("active_power", "active_power", "mean")])
        target = ListeningTarget("meter", interval_s, ("p",))
        self.plan = ListeningPlan("b", LINE, target, lambda: (self.decoder, thinner), wakes=wakes)
        self.bus = ListeningBus(self.plan, self._open)

    async def _open(self, address: LineAddress) -> Wire:
        assert address == LINE
        if self.refusals:
            raise TransientError(self.refusals.pop())
        self.wires.append(Wire())
        return self.wires[-1]

    async def say(self, item: bytes | TransientError) -> None:
        """Put something on the newest line, and let it be heard."""
        self.wires[-1].queue.put_nowait(item)
        for _ in range(5):
            await asyncio.sleep(0)

    async def begin(self) -> None:
        """Read once, in vain: the line is opened by that."""
        with pytest.raises(ParkedError):
            await self.bus.read("meter")
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a line is opened again."""
    monkeypatch.setattr(kept_line, "Backoff", partial(Backoff, chance=lambda: 0.0))


def _run(story: Callable[[World], object], world: World | None = None) -> None:
    async def run() -> None:
        nonlocal world
        world = world or World()
        await story(world)  # type: ignore[misc]
        await world.bus.close()
        assert not any(wire.is_open for wire in world.wires)

    asyncio.run(run())


def test_words_of_an_interval_are_one_sample() -> None:
    """And a good word is a request, a garbled one an error."""

    async def story(world: World) -> None:
        await world.begin()
        await world.say(b"13")
        await world.say(b"5x")
        measured = await world.bus.read("meter")
        assert isinstance(measured, Measured)
        assert [r.value for r in measured.readings] == [3.0]
        with pytest.raises(ParkedError, match="has said nothing"):
            await world.bus.read("meter")
        assert world.bus.traffic("meter") == Traffic(4, 1)
        assert world.bus.parked_s("meter") is None

    _run(story)


def test_the_port_is_opened_with_the_first_reading() -> None:
    """Not before: `open` touches nothing."""

    async def story(world: World) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        assert world.wires == []
        await world.begin()
        assert len(world.wires) == 1

    _run(story)


def test_a_line_that_is_gone_is_opened_anew_and_half_a_word_forgotten() -> None:
    """The adapter was pulled out and put back."""

    async def story(world: World) -> None:
        await world.begin()
        await world.say(b"1")
        world.refusals = ["/dev/head: no such port"] * 3
        await world.say(TransientError("/dev/head: gone"))
        await asyncio.sleep(0.01)
        assert len(world.wires) == 2
        assert not world.wires[0].is_open
        assert world.decoder.resets == 2
        await world.say(b"3")
        assert [r.value for r in (await world.bus.read("meter")).readings] == [2.0]

    _run(story)


def test_who_speaks_only_when_woken_is_woken_with_every_opening() -> None:
    """The first bytes on the line are ours."""

    async def story(world: World) -> None:
        await world.begin()
        await world.say(TransientError("gone"))
        await asyncio.sleep(0.01)
        assert [wire.written for wire in world.wires] == [[b"wake"], [b"wake"]]

    _run(story, World(wakes=b"wake"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock as `listening` sees it."""
    now = [1000.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(listening, "time", Time)
    return now


def test_silence_beyond_patience_is_no_answer(clock: list[float]) -> None:
    """Two and a half intervals, ten seconds at least."""

    async def story(world: World) -> None:
        await world.begin()
        await world.say(b"1")
        await world.bus.read("meter")
        clock[0] += 24.9
        with pytest.raises(ParkedError):
            await world.bus.read("meter")
        clock[0] += 0.2
        with pytest.raises(NoAnswerError, match="/dev/head: nothing heard for 25 s"):
            await world.bus.read("meter")
        await world.say(b"2")
        assert (await world.bus.read("meter")).readings[0].value == 2.0

    _run(story, World(interval_s=10.0))


def test_the_reason_of_no_answer_is_the_last_one(clock: list[float]) -> None:
    """That nothing can be read is another fault than that nothing comes; a port that is gone is a third."""

    async def story(world: World) -> None:
        await world.begin()
        await world.say(b"x")
        clock[0] += 26
        with pytest.raises(NoAnswerError, match="/dev/head: a letter"):
            await world.bus.read("meter")
        world.refusals = ["/dev/head: no such port"] * 1000
        await world.say(TransientError("/dev/head: gone"))
        with pytest.raises(NoAnswerError, match="no such port"):
            await world.bus.read("meter")
        world.refusals = []

    _run(story, World(interval_s=10.0))


def test_a_line_that_hangs_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter may fall silent though its device speaks."""
    monkeypatch.setattr(listening, "REOPEN_S", 0.05)
    monkeypatch.setattr(speaking, "LEAST_PATIENCE_S", 0.05)

    async def story(world: World) -> None:
        await world.begin()
        await asyncio.sleep(0.2)
        assert len(world.wires) >= 2

    _run(story, World(interval_s=0.01))


def test_a_decoder_that_breaks_its_promise_is_loud_and_begins_again() -> None:
    """The reader hears of it once; the next reading opens the line anew."""

    async def story(world: World) -> None:
        await world.begin()
        await world.say(b"!")
        with pytest.raises(ZeroDivisionError):
            await world.bus.read("meter")
        await world.begin()
        await world.say(b"7")
        assert (await world.bus.read("meter")).readings[0].value == 7.0

    _run(story)


def test_a_reload_may_change_the_interval_and_nothing_else() -> None:
    """What is open goes on."""
    world = World()
    make = world.plan.make
    slower = ListeningPlan("b", LINE, ListeningTarget("meter", 60.0, ("p",)), make)
    assert world.plan.is_same_line(slower)
    for other in (
        ListeningPlan("b", LINE, ListeningTarget("other", 1.0, ("p",)), make),
        ListeningPlan("b", LINE, ListeningTarget("meter", 1.0, ("q",)), make),
        ListeningPlan("b", LINE._replace(port="/dev/y"), world.plan.device, make),
        ListeningPlan("b", LINE, world.plan.device, make, settings=(1,)),
        ListeningPlan("b", LINE, world.plan.device, make, wakes=b"w"),
    ):
        assert not world.plan.is_same_line(other)
    world.bus.follow(slower)
    assert world.bus._plan.device.patience_s == 150.0


def test_a_plan_costs_the_line_nothing(tmp_path: Path) -> None:
    """Nobody else waits for it; and two buses on one port are found by its one spelling."""
    world = World()
    assert (world.plan.cost_s("meter"), world.plan.faster(0.5), world.plan.listens) == (0.0, "", True)
    assert world.plan.place.address == "/dev/head"
    other = ListeningPlan("b", TcpEndpoint("Head.Example", 5), world.plan.device, world.plan.make)
    assert tuple(other.place) == ("tcp", "head.example:5")
    del tmp_path


def test_a_disturbed_line_is_logged_once_a_minute(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Good words between do not begin it anew; after a minute without a garbled one the log says that all is well."""
    caplog.set_level("INFO", "edge.listening")

    async def story(world: World) -> None:
        await world.begin()
        for _ in range(20):
            clock[0] += 1
            await world.say(b"3x5")
        assert caplog.text.count("cannot be read") == 1
        clock[0] += listening.CLEAN_S + 1
        await world.say(b"3")
        assert caplog.text.count("works again after 20 failures") == 1

    _run(story)
