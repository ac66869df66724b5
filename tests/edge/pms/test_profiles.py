"""Profiles of particulate and CO2 sensors, and their cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from far_end import PlayedTime

from edge.listening import Garbled
from edge.pms import profile as profiles
from edge.pms.decoder import PmsDecoder, Working
from wire import profile as public
from wire.vocabulary import quantities

CASES = Path(profiles.__file__).parent / "cases"
NAMES = public.names_of("pms")


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """Bytes of a line become exactly the expected readings, and the expected errors."""
    given = json.loads((folder / "input.json").read_text())
    assert len(given["why"]) > 20
    expected = json.loads((folder / "expected.json").read_text())
    profile = profiles.load(given["profile"])
    decoder = PmsDecoder(profile.sensor, profile.pms.values, Working(is_asked=False, warm_up_s=0), PlayedTime())
    decoder.reset()
    readings: dict[str, float] = {}
    without: tuple[str, ...] = ()
    garbled = []
    for word in decoder.feed(bytes.fromhex(given["frames"])):
        if isinstance(word, Garbled):
            garbled.append(word.why)
            continue
        assert all(reading.unit == quantities()[reading.quantity].unit for reading in word.readings)
        readings |= {reading.name: reading.value for reading in word.readings}
        without = word.without_value or without
    assert readings == pytest.approx(expected["readings"], rel=1e-5)
    assert list(without) == expected["without_value"]
    assert garbled == expected["garbled"]


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case_with_all_its_readings(name: str) -> None:
    """No profile ships without a frame that was decoded by it."""
    found = set()
    for folder in CASES.iterdir():
        if json.loads((folder / "input.json").read_text())["profile"] == name:
            found |= set(json.loads((folder / "expected.json").read_text())["readings"])
    assert found == set(profiles.load(name).readings)
