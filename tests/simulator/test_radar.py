"""A simulated radar: what it says is counted as its truth has it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from far_end import PlayedTime, until

from edge.parameters import check
from edge.radar import driver
from edge.radar import profile as profiles
from edge.radar.decoder import RadarDecoder
from edge.radar.driver import RadarBusConfig, RadarDevice
from simulator.devices import Journal
from simulator.faults import Faults
from simulator.kinds import Rig
from simulator.ports import Noise
from simulator.radar import ANSWER, OPS243, RADAR, RadarLine, RadarModel
from simulator.spec import Device

if TYPE_CHECKING:
    from pathlib import Path

    from edge.interface import Measured

FIRST_MS = 1_700_000_040_000
MINUTE_MS = 60_000


def _counted(intervals: int, noise: Noise | None = None) -> list[Measured | None]:
    """Let so many minutes of the radar's reports be counted by the parts that a bus has."""
    time = PlayedTime()
    profile = profiles.load(OPS243.profile)
    devices = [RadarDevice(id="r", profile=profile.profile, site="s")]
    config = RadarBusConfig(id="road", driver="radar", devices=devices)
    decoder, gatherer = driver._make(profile, check({}, profile.parameters), config)
    assert isinstance(decoder, RadarDecoder)
    counter = decoder._counter
    counter._clock = time
    counter._began_s = time.now_s - 100
    counter.opened()
    assert gatherer.take() is None
    found = []
    for minute in range(intervals):
        began_s = time.now_s
        said = OPS243.reports("r", FIRST_MS + minute * MINUTE_MS)
        for after_s, line in sorted([*said, *((float(at_s), ANSWER) for at_s in range(0, 60, 20))]):
            time.now_s = began_s + after_s
            spoiled = noise.between() + noise.spoil(line) + b"\r\n" if noise is not None else line
            list(decoder.feed(spoiled))
        time.now_s = began_s + 60
        found.append(gatherer.take())
    return found


def test_an_hour_is_counted_as_it_was() -> None:
    """Every count, every mean, every v85 of sixty intervals."""
    for minute, measured in enumerate(_counted(60)):
        assert measured is not None
        at_ms = FIRST_MS + minute * MINUTE_MS
        values = {reading.name: reading.value for reading in measured.readings}
        assert values == {name: OPS243.truth("r", name, at_ms) for name in OPS243.names}
        assert len(values) == OPS243.count("r", at_ms)


def test_an_hour_of_noise_moves_no_count() -> None:
    """Few reports are spoiled; a vehicle has four, and its middle one stands. Where it is many, nothing is said."""
    said = 0
    for minute, measured in enumerate(_counted(60, Noise(0.03, seed=3))):
        if measured is None:
            continue
        said += 1
        at_ms = FIRST_MS + minute * MINUTE_MS
        values = {reading.name: reading.value for reading in measured.readings}
        for direction in ("in", "out"):
            name = f"count_vehicles/{direction}"
            assert values[name] == pytest.approx(OPS243.truth("r", name, at_ms), abs=1)
            name = f"speed_v85/{direction}"
            assert values[name] == pytest.approx(OPS243.truth("r", name, at_ms), rel=0.1)
    assert said > 40
    assert _counted(20, Noise(0.2, seed=3)) == [None] * 20


def _rig(tmp_path: Path) -> Rig:
    return Rig(Journal(), Faults(), {"r": "traffic"}, tmp_path, 2.0)


DEVICE = Device("r", RadarModel(interval_s=1.0), "s", "road")


def test_a_question_is_answered_and_makes_it_count(tmp_path: Path) -> None:
    """Whoever asks anew in the middle has not counted what was before."""

    async def play() -> None:
        rig = _rig(tmp_path)
        line = RADAR.bus("road", [DEVICE], rig)
        assert isinstance(line, RadarLine)
        sent: list[bytes] = []
        line._port.send = sent.append  # type: ignore[method-assign, assignment]
        line._hear(b"?V")
        assert sent == [ANSWER]
        counted_from_ms = line._counted_from_ms
        assert counted_from_ms is not None
        line._note(counted_from_ms - 500, counted_from_ms + 500)
        line._note(counted_from_ms + 2000, counted_from_ms + 3000)
        assert [poll.is_certain for poll in rig.journal.polls] == [False, True]
        rig.faults.set("r", "silent")
        line._hear(b"?V")
        assert sent == [ANSWER]

    asyncio.run(play())


def test_its_port_can_be_pulled_and_put_back(tmp_path: Path) -> None:
    """At the same address."""

    async def play() -> None:
        line = RADAR.bus("road", [DEVICE], _rig(tmp_path))
        assert RADAR.section("road", line.address, tmp_path) == {"driver": "radar", "serial": line.address}
        for _ in range(2):
            await line.plug()
            await until((tmp_path / "road").exists)
            await line.unplug()
            assert not (tmp_path / "road").is_symlink()

    asyncio.run(play())
