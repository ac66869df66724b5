"""Profiles of sensors that write lines of text, and their cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.line import profile as profiles
from edge.line.decoder import LineDecoder
from edge.listening import Garbled
from edge.parameters import check
from wire import profile as public
from wire.vocabulary import quantities

CASES = Path(profiles.__file__).parent / "cases"
NAMES = public.names_of("line")


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """Lines become exactly the expected readings, and the expected errors."""
    given = json.loads((folder / "input.json").read_text())
    assert len(given["why"]) > 20
    expected = json.loads((folder / "expected.json").read_text())
    profile = profiles.load(given["profile"])
    decoder = LineDecoder(profile.line, check(given["parameters"], profile.parameters))
    readings: dict[str, float] = {}
    without: list[str] = []
    garbled: list[str] = []
    for word in decoder.feed("".join(line + "\r\n" for line in given["lines"]).encode("latin-1")):
        if isinstance(word, Garbled):
            garbled.append(word.why)
            continue
        assert all(reading.unit == quantities()[reading.quantity].unit for reading in word.readings)
        readings |= {reading.name: reading.value for reading in word.readings}
        without += word.without_value
    assert readings == expected["readings"]
    assert without == expected["without_value"]
    assert garbled == expected["garbled"]


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case_with_all_its_readings(name: str) -> None:
    """No profile ships without lines that were decoded by it."""
    found = set()
    for folder in CASES.iterdir():
        if json.loads((folder / "input.json").read_text())["profile"] == name:
            found |= set(json.loads((folder / "expected.json").read_text())["readings"])
    assert found == set(profiles.load(name).readings)
