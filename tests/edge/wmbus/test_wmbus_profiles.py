"""Profiles of meters that send by radio, and their cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.parameters import check
from edge.wmbus import profile as profiles
from edge.wmbus.link import parse
from edge.wmbus.meters import Meters, Wanted
from wire import profile as public

CASES = sorted((Path(profiles.__file__).parent / "cases").iterdir())
NAMES = [name for name in public.names() if public.load(name).driver == "wmbus"]


def _given(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "input.json").read_text())
    return loaded


def heard(folder: Path) -> list[dict[str, Any]]:
    """What is said of each telegram of a case, one interval after the other."""
    given = _given(folder)
    telegrams = [bytes.fromhex(each) for each in given["telegrams"]]
    keys = {number: bytes.fromhex(key) for number, key in given.get("keys", {}).items()}
    profile = profiles.load(given["profile"])
    number = parse(telegrams[0]).sender.number
    wanted = Wanted("meter", number, None, profile.interval_s, profile, check({}, profile.parameters))
    meters = Meters([wanted], lambda address: keys.get(address.number))
    shown = []
    for at, telegram in enumerate(telegrams):
        for said in meters.telegram(telegram, at * profile.interval_s):
            readings = said.measured.readings if said.measured else ()
            values = [{"name": r.name, "value": r.value, "unit": r.unit} for r in readings]
            shown.append({"readings": values, "garbled": said.garbled})
    return shown


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """Telegrams become exactly the expected readings, or exactly the expected reason why not."""
    assert heard(folder) == json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: str(folder.name))
def test_a_case_says_why_it_is_there(folder: Path) -> None:
    """Who breaks it must learn what was promised."""
    assert len(_given(folder)["why"]) > 20


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case(name: str) -> None:
    """No profile ships without a telegram that was decoded by it."""
    assert name in {_given(folder)["profile"] for folder in CASES}


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_loads(name: str) -> None:
    """Both halves, and every reading has a record."""
    assert set(profiles.load(name).wmbus.records) == set(public.load(name).readings)
