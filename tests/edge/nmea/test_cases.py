"""Profiles of devices that speak NMEA 0183, and their cases."""

from __future__ import annotations

from pathlib import Path

import pytest
import text_cases

from edge.nmea import profile as profiles
from edge.nmea.decoder import NmeaDecoder
from edge.parameters import check
from wire import profile as public

CASES = Path(profiles.__file__).parent / "cases"


def _decoder(name: str, parameters: dict[str, float]) -> NmeaDecoder:
    profile = profiles.load(name)
    return NmeaDecoder(profile.nmea, check(parameters, profile.parameters))


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """Sentences become exactly the expected readings, and the expected errors."""
    text_cases.check_case(folder, _decoder)


@pytest.mark.parametrize("name", public.names_of("nmea"))
def test_every_profile_has_a_case_with_all_its_values(name: str) -> None:
    """No profile ships without sentences that were decoded by it."""
    assert text_cases.readings_of(CASES, name) == set(profiles.load(name).nmea.values)
