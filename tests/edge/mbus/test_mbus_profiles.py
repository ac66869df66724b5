"""Profiles of wired M-Bus meters, and their cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from base.errors import ConfigError
from edge.mbus import mapping, telegram
from edge.mbus import profile as profiles
from edge.parameters import check
from wire import profile as public

CASES = sorted((Path(profiles.__file__).parent / "cases").iterdir())
NAMES = [name for name in public.names() if public.load(name).driver == "mbus"]


def _given(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "input.json").read_text())
    return loaded


def mapped(folder: Path) -> mapping.Mapped:
    """Apply a case's profile to its telegrams."""
    given = _given(folder)
    profile = profiles.load(given["profile"])
    readings = mapping.compiled(profile, profile.mbus.records, check(given.get("parameters", {}), profile.parameters))
    telegrams = [telegram.decode(bytes.fromhex(each)) for each in given["telegrams"]]
    return readings.apply([record for each in telegrams for record in each.content.records])


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """Telegrams become exactly the expected readings, and what is missing or without value is named."""
    found = mapped(folder)
    shown = {
        "readings": [{"name": r.name, "value": r.value, "unit": r.unit} for r in found.readings],
        "without_value": list(found.without_value),
        "missing": list(found.missing),
    }
    assert shown == json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: str(folder.name))
def test_a_case_says_why_it_is_there(folder: Path) -> None:
    """Who breaks it must learn what was promised."""
    assert len(_given(folder)["why"]) > 20


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case(name: str) -> None:
    """No profile ships without a telegram that was decoded by it."""
    assert name in {_given(folder)["profile"] for folder in CASES}
    assert profiles.load(name).profile == name


def test_a_profile_of_another_driver_is_refused() -> None:
    """With the line that says which it is."""
    with pytest.raises(ConfigError, match="'mbus'"):
        profiles.load("eastron/sdm630")
