"""Profiles of particulate and CO2 sensors, and their cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from far_end import PlayedTime

from base import strict_yaml
from base.errors import ConfigError
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


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("sensor: sds011", "sensor: sds99", "'sds99'; expected one of: "),
        ("{pm25: pm25,", "{pm1: pm25,", "'pm1'; expected one of those under 'readings'"),
        ("{pm25: pm25,", "{pm25: pm99,", "'pm99'; expected one of: "),
        ("{pm25: pm25, pm10", "{pm10", "'pm25' without a value; expected one under 'pms: values'"),
        ("{pm25: pm25, pm10: pm10}", "{pm10: pm10}\nthinning: {pm25: {by: max}}", "'pm25' without a value"),
        ("\npms:", "\nthinning: {pm1: {by: max}}\npms:", "'pm1'; expected one of those under 'readings'"),
    ],
)
def test_a_profile_is_checked_at_its_line(old: str, new: str, error: str) -> None:
    """Whoever adds a sensor learns what is wrong with it."""
    text = (public.PROFILES / "nova-fitness" / "sds011.yaml").read_text()
    assert old in text
    document = strict_yaml.parse(text.replace(old, new).encode(), Path("sds011.yaml"))
    with pytest.raises(ConfigError) as caught:
        profiles.check(document, document.convert(profiles.PmsProfile))
    assert error in str(caught.value)
