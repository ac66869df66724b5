"""What others want of a bus: done between two polls, by the task that owns it, and never left without an answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from base.errors import PermanentError, TransientError
from edge.interface import Measured
from gateway import requests
from gateway.poller import Poller
from gateway.requests import Requests
from gateway.timekeeper import Timekeeper
from wire.command import Configure, Downlink
from wire.readings import Reading

from buses import BusDouble, Device
from orders import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wire.readings import Sample

HOUR_S = 3600.0


@dataclass
class FakeBus(BusDouble):
    """A bus that notes whether two ever read it at once."""

    devices: tuple[Device, ...] = (Device("meter", HOUR_S),)
    at_once: int = 0
    most_at_once: int = 0
    asked: list[str] = field(default_factory=list)

    async def read(self, device: str) -> Measured:
        """Answer after a moment."""
        self.asked.append(device)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        if device == "dead":
            raise TransientError("no answer")
        return Measured((Reading("voltage", 230.0, "V"),), time.monotonic())


class TalkingBus(FakeBus):
    """One whose driver can tell a device something."""

    async def carry_out(self, command: Configure | Downlink) -> dict[str, Any]:
        """Say what it was."""
        return {"did": type(command).__name__}


def _with_poller(bus: FakeBus, play: Callable[[Poller], Awaitable[None]]) -> list[Sample]:
    """Run a poller, and something beside it; returns what was delivered."""
    delivered: list[Sample] = []

    async def run() -> None:
        stop = asyncio.Event()
        poller = Poller(bus, Timekeeper("trusted"), delivered.append)
        polling = asyncio.create_task(poller.run(stop))
        await asyncio.sleep(0)
        try:
            await play(poller)
        finally:
            stop.set()
            await polling

    asyncio.run(asyncio.wait_for(run(), 20))
    return delivered


def test_a_device_is_read_between_two_polls() -> None:
    """At once, though it is not due for an hour any more; its sample is kept like any other."""
    samples: list[Sample] = []

    bus = FakeBus()

    async def play(poller: Poller) -> None:
        await until(lambda: bus.asked == ["meter"] and not bus.at_once)
        samples.append(await poller.read("meter"))

    assert _with_poller(bus, play)[1:] == samples
    assert samples[0].readings[0].value == 230.0


def test_nobody_else_is_on_the_line_meanwhile() -> None:
    """However many ask, and whatever is due; and what is due is read as well."""
    bus = FakeBus(devices=(Device("meter", 0.1), Device("other", 0.1)))

    async def play(poller: Poller) -> None:
        for _ in range(10):
            await asyncio.gather(*(poller.read("meter") for _ in range(requests.MOST_WAITING)))
        await until(lambda: "other" in bus.asked)

    _with_poller(bus, play)
    assert bus.most_at_once == 1


def test_requests_never_starve_the_schedule() -> None:
    """One request, then what is due."""
    bus = FakeBus(devices=(Device("meter"), Device("scheduled", 0.1)))

    async def play(poller: Poller) -> None:
        async def ask() -> None:
            while True:
                await poller.read("meter")

        askers = [asyncio.create_task(ask()) for _ in range(3)]
        await until(lambda: bus.asked.count("scheduled") >= 5)
        for asker in askers:
            asker.cancel()

    _with_poller(bus, play)


def test_what_a_device_answers_goes_to_who_asked() -> None:
    """Its failure too; the bus goes on."""

    async def play(poller: Poller) -> None:
        with pytest.raises(TransientError, match="no answer"):
            await poller.read("dead")
        assert (await poller.read("meter")).readings

    _with_poller(FakeBus(devices=(Device("meter"), Device("dead"))), play)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (Configure(device="meter", setting="x", value=1), "configure"),
        (Downlink(device="meter", payload="00"), "downlink"),
    ],
)
def test_a_driver_that_cannot_says_so(command: Configure | Downlink, name: str) -> None:
    """Modbus is one: there is no code that writes to a device."""

    async def play(poller: Poller) -> None:
        with pytest.raises(PermanentError, match=f"the driver of bus cellar cannot {name} a device"):
            await poller.carry_out(command)

    _with_poller(FakeBus(), play)


def test_a_driver_that_can_is_asked() -> None:
    """And its answer is handed back."""

    async def play(poller: Poller) -> None:
        assert await poller.carry_out(Downlink(device="meter", payload="00")) == {"did": "Downlink"}

    _with_poller(TalkingBus(), play)


def test_modbus_cannot_write() -> None:
    """Its bus has no such method, whoever asks."""
    from edge.interface import CommandableBus  # noqa: PLC0415 - of this test alone
    from edge.modbus.bus import ModbusBus  # noqa: PLC0415 - of this test alone

    assert not issubclass(ModbusBus, CommandableBus)
    assert issubclass(TalkingBus, CommandableBus)


def test_no_asker_waits_for_ever() -> None:
    """A poller that ends lets go of those who wait; one that does not run takes none."""

    async def play() -> None:
        waiting: Requests[None] = Requests("bus cellar")
        with pytest.raises(TransientError, match="bus cellar is not polled"):
            await waiting.ask(_nothing)
        with waiting:
            asked = [asyncio.create_task(waiting.ask(_nothing)) for _ in range(requests.MOST_WAITING)]
            await asyncio.sleep(0)
            with pytest.raises(TransientError, match="8 requests waiting; try later"):
                await waiting.ask(_nothing)
        for each in asked:
            with pytest.raises(TransientError, match="not polled any more"):
                await each

    asyncio.run(asyncio.wait_for(play(), 20))


def test_who_has_given_up_is_passed_over() -> None:
    """The bus does not work for nobody."""
    done: list[int] = []

    async def play() -> None:
        waiting: Requests[None] = Requests("bus cellar")

        async def job(_bus: None) -> None:
            done.append(1)

        with waiting:
            first, second = (asyncio.create_task(waiting.ask(job)) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            await waiting.serve_one(None)
            await second

    asyncio.run(asyncio.wait_for(play(), 20))
    assert done == [1]


async def _nothing(_bus: None) -> None:
    return None
