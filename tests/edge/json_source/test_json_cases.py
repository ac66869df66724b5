"""Profiles of what speaks JSON, and their cases."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import edge
from edge.json_source import profile as profiles
from edge.json_source.model import Model
from edge.parameters import check
from wire import profile as public

FOLDERS = sorted(
    folder for driver in ("mqtt_json", "http_json") for folder in (Path(edge.__path__[0]) / driver / "cases").iterdir()
)
NAMES = public.names_of(profiles.DRIVER)


def _given(folder: Path) -> dict[str, Any]:
    given: dict[str, Any] = json.loads((folder / "input.json").read_text())
    return given


def _model(given: dict[str, Any]) -> Model:
    profile = profiles.load(given["profile"])
    declared = profile.json.parts
    parts = {name: given.get("parts", {}).get(name, part.default or "x") for name, part in declared.items()}
    return Model(profile, check(given.get("parameters", {}), profile.parameters), parts)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """A message becomes exactly the expected readings, or exactly the expected error."""
    given = _given(folder)
    expected, error = folder / "expected.json", folder / "error.txt"
    assert expected.exists() != error.exists(), "a case has either expected.json or error.txt"
    payload = given["text"].encode() if "text" in given else json.dumps(given["payload"]).encode()
    if error.exists():
        with pytest.raises(ValueError, match=rf"^{re.escape(error.read_text().strip())}$"):
            _model(given).said(payload, given["now_ms"], given.get("topic"))
        return
    said = _model(given).said(payload, given["now_ms"], given.get("topic"))
    assert json.loads(expected.read_text()) == {
        "at_ms": said.at_ms,
        "values": {reading.name: reading.value for reading in said.readings},
        "without_value": list(said.without_value),
        "fault": said.fault,
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_a_case_says_why_it_is_there(folder: Path) -> None:
    """Who breaks it must learn what was promised."""
    assert len(_given(folder)["why"]) > 20


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case(name: str) -> None:
    """No profile ships without a message that was decoded by it."""
    assert name in {_given(folder)["profile"] for folder in FOLDERS if (folder / "expected.json").exists()}
