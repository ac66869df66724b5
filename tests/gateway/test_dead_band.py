"""What is left out, and what never is."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import ConfigError
from gateway.config import load
from gateway.dead_band import JITTER, DeadBand
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from pathlib import Path


def _reading(value: float, quantity: str = "temp_air", channel: str = "", flags: int = 0) -> Reading:
    return Reading(quantity, value, "Cel", channel, flags)


def test_small_changes_are_left_out_until_they_add_up() -> None:
    """Measured against the last recorded value, not the last value."""
    band = DeadBand({"temp_air": 0.5}, 900, 60)
    kept = [bool(band.sift([_reading(value)], 60.0 * n)) for n, value in enumerate((20, 20.2, 20.4, 20.5, 20.1, 20.0))]
    assert kept == [True, False, False, True, False, True]


def test_channels_have_memories_of_their_own() -> None:
    """One band for the quantity."""
    band = DeadBand({"temp_air": 1}, 900, 60)
    band.sift([_reading(1, channel="a"), _reading(5, channel="b")], 0)
    assert band.sift([_reading(1.5, channel="a"), _reading(1.5, channel="b")], 60) == (_reading(1.5, channel="b"),)


def test_a_quantity_without_a_band_is_always_recorded() -> None:
    """Only what is named is thinned out."""
    band = DeadBand({"temp_air": 1}, 900, 60)
    for at_s in (0, 60):
        assert _reading(50, "humidity") in band.sift([_reading(20), _reading(50, "humidity")], at_s)


def test_a_flagged_reading_is_recorded() -> None:
    """Whatever its value."""
    band = DeadBand({"temp_air": 1}, 900, 60)
    band.sift([_reading(20)], 0)
    assert band.sift([_reading(20, flags=1)], 60) == (_reading(20, flags=1),)


def test_after_a_silence_everything_is_recorded() -> None:
    """Else the value would seem to have stood there all the time."""
    band = DeadBand({"temp_air": 1}, 900, 60)
    band.sift([_reading(20)], 0)
    band.forget()
    assert band.sift([_reading(20)], 60)


@given(st.floats(1, 120), st.floats(1, 900), st.lists(st.floats(-JITTER / 2, JITTER / 2), min_size=20, max_size=20))
def test_nothing_is_left_out_for_too_long(interval_s: float, max_s: float, jitter: list[float]) -> None:
    """However the polls jitter: at least every `max_s`, or every poll where these are rarer."""
    band = DeadBand({"temp_air": 1}, max_s, interval_s)
    times = [interval_s * (n + late) for n, late in enumerate(jitter)]
    recorded = [at_s for at_s in times if band.sift([_reading(20)], at_s)]
    longest_s = max((b - a for a, b in pairwise(recorded)), default=0.0)
    assert longest_s <= max(max_s, interval_s) + 2 * JITTER * interval_s
    assert times[-1] - recorded[-1] <= max(max_s, interval_s) + 2 * JITTER * interval_s


GOOD = """\
gateway: gw
mqtt: {host: broker.example}
buses:
  - id: cellar
    driver: modbus
    serial: /dev/ttyS0
    devices:
      - {id: room, profile: xy/xy-md02, site: s, unit: 1, urgent: true,
         dead_band: {temp_air: 0.2}, dead_band_max_s: 600}
"""


def test_the_settings_reach_the_agent(tmp_path: Path) -> None:
    """As the file has them."""
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD)
    room = load(file).devices["room"]
    assert (room.urgent, room.dead_band, room.dead_band_max_s) == (True, {"temp_air": 0.2}, 600)


@pytest.mark.parametrize(
    ("old", "new", "column", "found", "expected"),
    [
        ("temp_air: 0.2", "co2: 5", 22, "'co2', which xy/xy-md02 does not measure", "one of: temp_air, humidity"),
        ("temp_air: 0.2", "temp_air: 0", 32, "0", "a number > 0"),
        ("temp_air: 0.2", "temp_air: much", 32, "'much'", "a number"),
        ("max_s: 600", "max_s: 0", 55, "0", "a number >= 1"),
    ],
)
def test_a_band_that_makes_no_sense_is_refused(
    old: str, new: str, column: int, found: str, expected: str, tmp_path: Path
) -> None:
    """At its place, with what would be right."""
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert (caught.value.at.line, caught.value.at.column) == (9, column)
    assert caught.value.found.startswith(found)
    assert caught.value.expected.startswith(expected)


def test_a_state_has_no_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its changes is news, and each of a count's values: none may be left out."""
    file = tmp_path / "gw.yaml"
    known = quantities()
    monkeypatch.setitem(known, "temp_air", msgspec.structs.replace(known["temp_air"], kind="state"))
    file.write_text(GOOD)
    with pytest.raises(ConfigError, match=r"'temp_air', of which every value counts \(a state\); .* one of: humidity"):
        load(file)
