"""Profiles of sensors that write lines of text, and their cases."""

from __future__ import annotations

from pathlib import Path

import pytest
import text_cases

from edge.line import profile as profiles
from edge.line.decoder import LineDecoder
from edge.parameters import check
from wire import profile as public

CASES = Path(profiles.__file__).parent / "cases"


def _decoder(name: str, parameters: dict[str, float]) -> LineDecoder:
    profile = profiles.load(name)
    return LineDecoder(profile.line, check(parameters, profile.parameters))


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """Lines become exactly the expected readings, and the expected errors."""
    text_cases.check_case(folder, _decoder)


@pytest.mark.parametrize("name", public.names_of("line"))
def test_every_profile_has_a_case_with_all_its_readings(name: str) -> None:
    """No profile ships without lines that were decoded by it."""
    assert text_cases.readings_of(CASES, name) == set(profiles.load(name).readings)
