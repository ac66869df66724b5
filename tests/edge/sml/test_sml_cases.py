"""Telegrams of real meters, by the profiles, and by a second opinion."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
import sml

from edge.listening import Garbled, Said, Word
from edge.obis import Map
from edge.parameters import check
from edge.sml import driver, telegram
from edge.sml import profile as profiles
from edge.sml.decoder import SmlDecoder
from edge.sml.frames import Frame, Frames
from wire import profile as public

CASES = sorted((Path(driver.__file__).parent / "cases").iterdir())
NAMES = [name for name in public.names() if public.load(name).driver == "sml"]
EVERY = pytest.mark.parametrize("folder", CASES, ids=lambda folder: str(folder.name))


def _input(folder: Path) -> dict[str, str]:
    given: dict[str, str] = json.loads((folder / "input.json").read_text())
    return given


def _words(profile: str, data: bytes) -> list[Word]:
    loaded = profiles.load(profile)
    return SmlDecoder("meter", Map(loaded.sml.registers, check({}, loaded.parameters))).feed(data)


@EVERY
def test_case(folder: Path) -> None:
    """A telegram becomes exactly the expected readings, or exactly the expected error."""
    given = _input(folder)
    (word,) = _words(given["profile"], bytes.fromhex(given["telegram"]))
    expected, error = folder / "expected.json", folder / "error.txt"
    assert expected.exists() != error.exists()
    if error.exists():
        assert isinstance(word, Garbled)
        assert word.why == error.read_text().strip()
        return
    assert isinstance(word, Said)
    said = [{"quantity": r.quantity, "channel": r.channel, "value": r.value, "unit": r.unit} for r in word.readings]
    assert said == json.loads(expected.read_text())


@EVERY
def test_a_case_says_why_it_is_there_and_whose_it_is(folder: Path) -> None:
    """Who breaks it must learn what was promised."""
    assert len(_input(folder)["why"]) > 10
    assert len(_input(folder)["source"]) > 10


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case(name: str) -> None:
    """No profile ships without a telegram that was read by it."""
    assert name in {_input(folder)["profile"] for folder in CASES}


@EVERY
def test_another_decoder_finds_the_same_numbers(folder: Path) -> None:
    """Code by code, in the meter's own units; the sign of DZG's power is a matter of the map, and is left out."""
    data = bytes.fromhex(_input(folder)["telegram"])
    try:
        _, messages = sml.SmlBase.find_frame(data)
    except sml.SmlParserError:
        assert (folder / "error.txt").exists()
        return
    (frame,) = Frames().feed(data)
    assert isinstance(frame, Frame)
    ours = {entry.obis: entry.value for entry in telegram.parse(frame.body).entries if entry.value}
    (listed,) = [body["valList"] for each in messages if "valList" in (body := each["messageBody"])]
    theirs = {row["objName"]: row["value"] for row in listed if isinstance(row.get("value"), (int, float))}
    assert set(ours) == set(theirs)
    for obis, value in theirs.items():
        if not ("dzg" in folder.name and obis == "1-0:16.7.0*255"):
            assert ours[obis].number == pytest.approx(Decimal(str(value)))
