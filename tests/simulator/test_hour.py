"""An hour over a bad line, as short as a test may be, and the judgement of it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from simulator.hour import Report, play
from simulator.ports import Noise, Port
from simulator.spoken import Spoken
from simulator.subjects import LESS_NOISE, SUBJECTS

if TYPE_CHECKING:
    from pathlib import Path

MINUTES = "MESSNETZ_HOUR_MINUTES"
"""How long they are played; `python -m simulator.hour PROTOCOL --minutes 60` does the same for one."""
LEAST_MINUTES = "5"
"""A radar counts by the minute, and leaves out the minutes in which its port was pulled."""


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(4000)
def test_a_bad_line_makes_no_wrong_value(tmp_path: Path) -> None:
    """Noise is counted, the port pulled out and put back, and readings come again by themselves; in all at once."""
    seconds = 60 * float(os.environ.get(MINUTES, LEAST_MINUTES))

    async def play_one(protocol: str) -> Report:
        directory = tmp_path / protocol
        directory.mkdir()
        return await play(protocol, seconds, directory, noise=LESS_NOISE.get(protocol, 0.3), seed=1)

    async def play_all() -> list[Report]:
        return await asyncio.gather(*map(play_one, SUBJECTS))

    for protocol, report in zip(SUBJECTS, asyncio.run(play_all()), strict=True):
        assert report.complaints() == [], f"{protocol}: {report}"
        assert report.spoiled, protocol
        assert report.recoveries_s, protocol


def test_what_must_not_be_is_complained_of() -> None:
    """A check that cannot fail is none."""
    good = Report(10, 2, samples=5, errors=1, recoveries_s=[3.0])
    assert good.complaints() == []
    for bad, word in (
        (Report(10, 2, samples=0, errors=1), "not a single sample"),
        (Report(10, 2, samples=5), "no error was counted"),
        (Report(10, 2, samples=5, errors=1, recoveries_s=[float("inf")]), "port's return"),
        (Report(10, 2, samples=5, errors=1, wrong=["x"]), "wrong: x"),
    ):
        assert word in bad.complaints()[0]


def test_a_reading_must_have_been_said_just_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean lies between what was said; a value of before, or of nobody, is wrong."""
    now = [100.0]
    monkeypatch.setattr("simulator.spoken.time.time", lambda: now[0])
    spoken = Spoken()
    for value in (1.0, 3.0, 5.0):
        spoken.note({"active_power": value})
        now[0] += 10
    assert spoken.allows("active_power", 2.0, 100, 115)
    assert not spoken.allows("active_power", 5.0, 100, 115)
    assert not spoken.allows("active_power", 2.0, 200, 300)
    assert not spoken.allows("voltage", 2.0, 100, 115)


def test_noise_spoils_its_share_and_the_same_each_time() -> None:
    """The same seed, the same noise; no share, none."""
    data = bytes(range(200))
    first, second = Noise(0.5, 3), Noise(0.5, 3)
    spoiled = [first.spoil(data) for _ in range(200)]
    assert spoiled == [second.spoil(data) for _ in range(200)]
    assert first.spoiled == sum(each != data for each in spoiled)
    assert 60 < first.spoiled < 140
    assert Noise(0.0).spoil(data) == data
    assert Noise(0.0).between() == b""


def test_a_port_comes_back_under_its_name(tmp_path: Path) -> None:
    """As another pseudo-terminal; twice in or out is no error."""

    async def story() -> None:
        port = Port(tmp_path / "line", lambda _: None)
        port.unplug()
        port.plug()
        port.plug()
        assert (tmp_path / "line").resolve().is_char_device()
        port.unplug()
        assert not (tmp_path / "line").exists()
        port.send(b"nobody hears it")
        port.plug()
        assert (tmp_path / "line").resolve().is_char_device()
        port.unplug()

    asyncio.run(story())
