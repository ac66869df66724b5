"""Lines of a radar with the times at which they came, and what an interval makes of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from far_end import PlayedTime

from edge.parameters import check
from edge.radar import driver
from edge.radar import profile as profiles
from edge.radar.decoder import RadarDecoder, RadarGatherer
from edge.radar.driver import RadarBusConfig, RadarDevice
from wire import profile as public
from wire.vocabulary import quantities

CASES = Path(profiles.__file__).parent / "cases"
NAMES = public.names_of("radar")


def _played(given: dict[str, object], lines: list[tuple[float, str]]) -> dict[str, float]:
    """Play the lines of an interval of five minutes to the parts that a bus has."""
    time = PlayedTime()
    profile = profiles.load(str(given["profile"]))
    config = RadarBusConfig(
        id="bus",
        driver="radar",
        unit=given.get("unit"),  # type: ignore[arg-type]
        turned=bool(given.get("turned")),
        devices=[RadarDevice(id="r", profile=profile.profile, site="s")],
    )
    decoder, gatherer = driver._make(profile, check({}, profile.parameters), config)
    assert isinstance(decoder, RadarDecoder)
    assert isinstance(gatherer, RadarGatherer)
    counter = decoder._counter
    counter._clock = time
    counter._began_s = time.now_s
    counter.opened()
    time.now_s += 60
    counter.alive()
    assert gatherer.take() is None
    began_s = time.now_s
    for at_s, line in lines:
        while began_s + at_s - time.now_s > 20:
            time.now_s += 20
            counter.alive()
        time.now_s = began_s + at_s
        asyncio.run(_fed(decoder, line))
    while time.now_s < began_s + 300:
        time.now_s = min(time.now_s + 20, began_s + 300)
        counter.alive()
    measured = gatherer.take()
    assert measured is not None
    assert measured.at_s == began_s + 300
    assert all(reading.unit == quantities()[reading.quantity].unit for reading in measured.readings)
    found = {reading.name: reading.value for reading in measured.readings}
    assert {*found, *measured.without_value} == set(profile.readings)
    return found


async def _fed(decoder: RadarDecoder, line: str) -> None:
    list(decoder.feed(line.encode("latin-1") + b"\r\n"))


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """Exactly the expected counts and speeds."""
    given = json.loads((folder / "input.json").read_text())
    assert len(given["why"]) > 20
    assert _played(given, given["lines"]) == json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case(name: str) -> None:
    """No profile ships without lines that were counted by it."""
    assert name in {json.loads((folder / "input.json").read_text())["profile"] for folder in CASES.iterdir()}
