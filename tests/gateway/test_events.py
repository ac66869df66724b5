"""Samples that come by themselves: who takes them, what time they carry, when their source may forget them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest
from clocks import START_MS, Clocks

from base.errors import TransientError
from edge.interface import Heard, Measured, NoAnswerError, ParkedError, Traffic
from gateway.config import SpoolConfig
from gateway.device import DeviceState
from gateway.poller import Poller
from gateway.sealer import Sealer, SpoolThread
from gateway.stamps import AHEAD_MS, OLDEST_MS, Stamp, Stamps
from gateway.timekeeper import Timekeeper
from gateway.uplink import Uplink
from wire.readings import Flag, Reading, Sample
from wire.town import DeviceEntry

from buses import BusDouble, Device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEVEL = (Reading("level", 1.5, "m"),)
HIGHER = (Reading("level", 1.6, "m"),)
NOW_MS = 1_795_000_000_000


@dataclass
class TalkingBus(BusDouble):
    """A bus whose device speaks when it wants."""

    words: list[Heard | Exception] = field(default_factory=list)
    devices: tuple[Device, ...] = (Device("gauge", 0.05),)
    news: Exception = field(default_factory=lambda: ParkedError("nothing yet"))
    listens = True

    async def read(self, device: str) -> Measured:
        """Say whether it is there."""
        raise type(self.news)(f"{device}: {self.news}")

    async def heard(self) -> Heard:
        """Say the next word; then nothing more."""
        if not self.words:
            await asyncio.Event().wait()
        word = self.words.pop(0)
        if isinstance(word, Exception):
            raise word
        return word


def _hear(bus: TalkingBus, samples: int) -> tuple[list[Sample], list[str]]:
    """Run a poller until so many samples were delivered; returns them, and what was to be settled, in their order."""
    delivered: list[Sample] = []
    order: list[str] = []

    async def play() -> None:
        stop = asyncio.Event()

        def deliver(sample: Sample) -> None:
            delivered.append(sample)
            order.append("delivered")
            if len(delivered) >= samples:
                stop.set()

        poller = Poller(
            bus, Timekeeper("trusted"), deliver, settle=lambda heard: order.append(f"settle {heard.device}")
        )
        await asyncio.wait_for(poller.run(stop), 20)

    asyncio.run(play())
    return delivered, order


def test_what_comes_by_itself_is_delivered_and_then_settled() -> None:
    """The source is told after its readings are on their way to the disk, never before."""
    delivered, order = _hear(TalkingBus([Heard("gauge", Measured(LEVEL, time.monotonic()))]), 1)
    assert delivered[0].readings[0] == LEVEL[0]
    assert order[:2] == ["delivered", "settle gauge"]


def test_a_fault_of_one_message_costs_that_message(caplog: pytest.LogCaptureFixture) -> None:
    """The next one is heard."""
    words: list[Heard | Exception] = [ValueError("of ours"), Heard("gauge", Measured(LEVEL, time.monotonic()))]
    delivered, _ = _hear(TalkingBus(words), 1)
    assert delivered[0].readings[0] == LEVEL[0]
    assert "of ours" in caplog.text


def test_what_a_device_said_that_is_gone_is_settled(caplog: pytest.LogCaptureFixture) -> None:
    """A reload let go of it while its message was decoded: its source may forget it, and nobody is alarmed."""
    said = Measured(LEVEL, time.monotonic())
    delivered, order = _hear(TalkingBus([Heard("gone", said), Heard("gauge", said)]), 1)
    assert [sample.device for sample in delivered] == ["gauge"]
    assert order[:2] == ["settle gone", "delivered"]
    assert not caplog.records


def test_what_cannot_be_taken_is_settled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its source would wait for the word, and stop: what a reload has let go, and what a fault of ours costs."""
    words: list[Heard | Exception] = [
        Heard("gone", Measured(LEVEL, time.monotonic())),
        Heard("gauge", Measured(HIGHER, time.monotonic())),
        Heard("gauge", Measured(LEVEL, time.monotonic())),
    ]
    answered = DeviceState.answered

    def faulty(state: DeviceState, measured: Measured, traffic: Traffic | None = None) -> list[Sample]:
        if measured.readings == HIGHER:
            raise ZeroDivisionError
        return answered(state, measured, traffic)

    monkeypatch.setattr(DeviceState, "answered", faulty)
    delivered, order = _hear(TalkingBus(words), 1)
    assert delivered[0].readings[0] == LEVEL[0]
    assert order[:4] == ["settle gone", "settle gauge", "delivered", "settle gauge"]


def test_a_device_that_is_silent_for_too_long_is_said_to_be_away() -> None:
    """Nobody asks it, and still it is missed."""
    delivered, _ = _hear(TalkingBus(news=NoAnswerError("nothing heard for 9 s")), 1)
    assert delivered[0].readings == (Reading("reachable", 0.0, "/"),)


def _state() -> DeviceState:
    entry = DeviceEntry(id="gauge", profile="eastron/sdm630", site="s")
    return DeviceState(Device("gauge", 60), Timekeeper("trusted", Clocks()).stamp, "lora", entry)


def test_readings_carry_the_time_of_their_source() -> None:
    """What the agent says beside them carries its own."""
    at_ms = START_MS - 5000
    own, about = _state().answered(Measured(LEVEL, 0.0, at_ms=at_ms))
    assert (own.measured_at_ms, own.readings) == (at_ms, LEVEL)
    assert (about.measured_at_ms, about.readings[0].quantity) == (START_MS, "reachable")


def _stamps(arrived_ms: int = NOW_MS) -> Stamps:
    return Stamps(lambda _: Stamp(arrived_ms))


def test_the_same_message_again_falls_on_the_same_point() -> None:
    """A broker that delivers twice counts nothing twice; other readings at that time move on."""
    stamps = _stamps()
    assert [stamps.of_source(NOW_MS, 1.0, said).at_ms - NOW_MS for said in (LEVEL, LEVEL, HIGHER)] == [0, 0, 1]


def test_no_two_samples_of_a_source_fall_on_one_point() -> None:
    """A source that tells seconds says three in one; each is known again when it comes again."""
    stamps, highest = _stamps(), (Reading("level", 1.7, "m"),)
    said = [(LEVEL, 0), (HIGHER, 0), (highest, 0), (LEVEL, 1), (HIGHER, 0), (highest, 0), (LEVEL, 0)]
    times = [stamps.of_source(NOW_MS + at_ms, 1.0, readings).at_ms - NOW_MS for readings, at_ms in said]
    assert times == [0, 1, 2, 3, 1, 2, 0]


def test_what_comes_late_is_no_reset() -> None:
    """A counter's former values come behind newer ones, or a second time: nothing is flagged, nothing forgotten."""
    entry = DeviceEntry(id="gauge", profile="eastron/sdm630", site="s")
    state = DeviceState(Device("gauge", 60), Timekeeper("trusted", Clocks()).stamp, "lora", entry)

    def says(kwh: float, minutes: int) -> int:
        readings = (Reading("active_energy_import", kwh, "kWh"),)
        return state.answered(Measured(readings, 0.0, at_ms=START_MS + 60_000 * minutes))[0].readings[0].flags

    assert [says(100.0, -10), says(101.0, -9), says(100.5, -11), says(100.0, -10), says(102.0, -8)] == [0] * 5
    assert state.latest["active_energy_import"].value == 102.0
    assert says(1e12, -9) == Flag.RANGE
    assert says(7.0, -7) == Flag.RESET


@pytest.mark.parametrize("off_ms", [AHEAD_MS + 1, -OLDEST_MS - 1, -NOW_MS], ids=["ahead", "old", "none"])
def test_a_source_with_a_wrong_clock_is_not_believed(off_ms: int) -> None:
    """Its readings carry the time of their arrival, and a flag that says so."""
    own = _stamps().of_source(NOW_MS + off_ms, 1.0, LEVEL)
    assert (own.at_ms, own.flags) == (NOW_MS, Flag.TIME_ESTIMATED)


@pytest.mark.parametrize("off_ms", [AHEAD_MS, -OLDEST_MS, 0])
def test_a_source_whose_message_was_under_way_for_long_is_believed(off_ms: int) -> None:
    """A network keeps what it cannot deliver for days; counters are judged at the time at which they were read."""
    own = _stamps().of_source(NOW_MS + off_ms, 1.0, LEVEL)
    assert (own.at_ms, own.flags, own.at_s) == (NOW_MS + off_ms, 0, 1.0 + off_ms / 1000)


def test_a_gateway_without_time_believes_its_source() -> None:
    """The network's clock is the only one there is."""
    own = _stamps(arrived_ms=5000).of_source(NOW_MS, 1.0, LEVEL)
    assert (own.at_ms, own.flags, own.at_s) == (NOW_MS, 0, 1.0)


def _seal(tmp_path: Path, *plays: Callable[[Sealer, list[str]], None]) -> list[str]:
    """Let each play do something with a sealer and seal after it; returns what happened."""
    happened: list[str] = []

    async def run() -> None:
        thread = await SpoolThread.open(tmp_path / "spool.sqlite", SpoolConfig(floor_mb=1))
        sealer = Sealer(
            thread,
            Uplink(window=4, timeout_s=10),
            SpoolConfig(),
            Timekeeper("trusted"),
            lambda: happened.append("sealed"),
        )
        for play in plays:
            play(sealer, happened)
            await sealer.seal()
        await thread.close()

    asyncio.run(run())
    return happened


def test_hooks_stand_around_the_commit(tmp_path: Path) -> None:
    """First what must not be done twice, then the readings, then the source is told; and each once."""

    def play(sealer: Sealer, happened: list[str]) -> None:
        sealer.add(Sample("gauge", NOW_MS, LEVEL))
        sealer.with_next_seal(lambda: happened.append("before"), lambda: happened.append("after"))

    assert _seal(tmp_path, play, lambda *_: None) == ["before", "after", "sealed"]


def test_a_source_that_cannot_write_down_is_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The readings of all others are sealed all the same; it is asked again with the next seal, and said in a line."""
    tries: list[str] = []

    def refuse() -> None:
        tries.append("tried")
        if len(tries) == 1:
            raise TransientError("its disk is full")

    def play(sealer: Sealer, happened: list[str]) -> None:
        sealer.add(Sample("gauge", NOW_MS, LEVEL))
        sealer.with_next_seal(refuse, lambda: happened.append("after"))

    assert _seal(tmp_path, play, lambda *_: None) == ["sealed", "after"]
    assert len(tries) == 2
    assert "its disk is full" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_a_disk_that_refuses_for_days_costs_a_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of those who want to be told are not."""
    monkeypatch.setattr("gateway.sealer.MAX_HOOKS", 3)

    def play(sealer: Sealer, happened: list[str]) -> None:
        for number in range(5):
            sealer.with_next_seal(None, partial(happened.append, f"after {number}"))

    assert _seal(tmp_path, play) == ["after 2", "after 3", "after 4"]


def test_a_seal_that_failed_tells_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not on disk must come again."""

    def full(*_: object, **__: object) -> None:
        raise TransientError("disk full")

    def play(sealer: Sealer, happened: list[str]) -> None:
        sealer.add(Sample("gauge", NOW_MS, LEVEL))
        sealer.with_next_seal(None, lambda: happened.append("after"))
        monkeypatch.setattr("gateway.spool.Spool.seal", full)

    def mend(_sealer: Sealer, happened: list[str]) -> None:
        happened.append("mended")
        monkeypatch.undo()

    assert _seal(tmp_path, play, mend) == ["mended", "after", "sealed"]
