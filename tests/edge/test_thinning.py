"""Of what a device says by itself, one sample an interval is made."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from base import strict_yaml
from base.errors import ConfigError
from edge.interface import Measured
from edge.nmea import profile as nmea
from edge.thinning import By, Rule, ThinnedProfile, Thinner
from wire.readings import Reading
from wire.vocabulary import quantities


def _reading(name: str, value: float, flags: int = 0) -> Reading:
    quantity, _, channel = name.partition("/")
    return Reading(quantity, value, quantities()[quantity].unit, channel, flags)


def _made(rule: Rule, words: list[dict[str, float]]) -> float:
    thinner = Thinner([rule])
    for at_s, word in enumerate(words):
        thinner.add([_reading(name, value) for name, value in word.items()], float(at_s))
    measured = thinner.take()
    assert measured is not None
    (reading,) = measured.readings
    assert reading.name == rule.name
    return reading.value


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        (Rule("active_power", "active_power", "mean"), [1.0, 2.0, 6.0], 3.0),
        (Rule("active_power", "active_power", "last"), [1.0, 2.0, 6.0], 6.0),
        (Rule("active_power", "active_power", "max"), [-1.0, -5.0, -2.0], -1.0),
        (Rule("active_power", "active_power", "min"), [-1.0, -5.0, -2.0], -5.0),
        (Rule("rain", "rain", "sum"), [0.1, 0.2], 0.3),
        (Rule("sound_laeq", "sound_laeq", "energetic"), [60.0, 70.0], 10 * math.log10((1e6 + 1e7) / 2)),
        (Rule("wind_dir", "wind_dir", "vector"), [350.0, 10.0], 0.0),
        (Rule("wind_dir", "wind_dir", "vector"), [80.0, 100.0], 90.0),
        (Rule("wind_dir", "wind_dir", "vector"), [0.0, 180.0], 180.0),
        (Rule("temp_water_return", "temp_water_return", "volume_weighted"), [40.0, 60.0], 50.0),
        (Rule("wind_gust", "wind_speed", "max"), [3.0, 9.0, 4.0], 9.0),
        (Rule("active_power/L1", "active_power/L1", "mean"), [1.0, 2.0], 1.5),
    ],
)
def test_values_of_an_interval_become_one(rule: Rule, values: list[float], expected: float) -> None:
    """By the quantity's rule, or the profile's: directions and sounds have their own means."""
    assert _made(rule, [{rule.of: value} for value in values]) == pytest.approx(expected, abs=1e-9)


def test_a_direction_weighs_as_much_as_the_wind() -> None:
    """A breeze from the east does not turn a storm from the north; a calm has none."""
    rule = Rule("wind_dir", "wind_dir", "vector")
    storm, breeze, calm = ({"wind_dir": d, "wind_speed": s} for d, s in ((0.0, 20.0), (90.0, 0.0), (270.0, 0.0)))
    assert _made(rule, [storm, breeze]) == 0.0
    assert _made(rule, [calm, breeze]) == 90.0


def test_a_temperature_weighs_as_much_as_the_flow() -> None:
    """What stands in the pipe says nothing of the heat that came back; if nothing flowed, the mean."""
    rule = Rule("temp_water_return", "temp_water_return", "volume_weighted")
    flowing, standing = ({"temp_water_return": t, "flow_rate": q} for t, q in ((45.0, 0.001), (20.0, 0.0)))
    assert _made(rule, [flowing, standing]) == 45.0
    assert _made(rule, [standing, {"temp_water_return": 30.0, "flow_rate": 0.0}]) == 25.0


def test_one_word_is_the_sample() -> None:
    """To the digit, whatever the rule."""
    for by in ("mean", "energetic", "vector", "sum", "volume_weighted"):
        assert _made(Rule("sound_laeq", "sound_laeq", by), [{"sound_laeq": 61.7}]) == 61.7


def test_a_sample_is_taken_once() -> None:
    """What comes after belongs to the next interval; where nothing came there is none."""
    thinner = Thinner([Rule("active_power", "active_power", "mean")])
    assert thinner.take() is None
    thinner.add([_reading("active_power", 5.0)], 3.0)
    thinner.add([_reading("active_power", 7.0)], 4.0)
    assert thinner.take() == Measured((_reading("active_power", 6.0),), 4.0)
    assert thinner.take() is None
    thinner.add([_reading("active_power", 1.0)], 9.0)
    assert thinner.take() == Measured((_reading("active_power", 1.0),), 9.0)


def test_flags_of_any_value_are_those_of_the_sample() -> None:
    """A mean with one substituted value is one."""
    thinner = Thinner([Rule("humidity", "humidity", "mean")])
    thinner.add([_reading("humidity", 50.0)], 1.0)
    thinner.add([_reading("humidity", 60.0, 32)], 2.0)
    measured = thinner.take()
    assert measured is not None
    assert measured.readings[0].flags == 32


@pytest.mark.parametrize("by", ["mean", "last", "max", "sum"])
def test_a_value_that_cannot_be_stays_out_of_the_others(by: By) -> None:
    """Hidden in a mean nobody would find it; 102 % humidity can be, and is set to 100 afterwards."""
    rule = Rule("pm25", "pm25", by)
    words = [{"pm25": 8.0}, {"pm25": 4131.2}, {"pm25": -1.0}]
    assert _made(rule, words) == 8.0
    assert _made(Rule("humidity", "humidity", "max"), [{"humidity": 99.0}, {"humidity": 102.0}]) == 102.0


def test_a_value_that_cannot_be_is_the_sample_where_there_is_no_other() -> None:
    """It is flagged then: a sensor that says nothing else is broken, and not silent."""
    assert _made(Rule("pm25", "pm25", "mean"), [{"pm25": 4131.0}, {"pm25": 4133.0}]) == 4132.0


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (Rule("sound_laeq", "sound_laeq", "energetic"), -9999.0),
        (Rule("active_power", "active_power", "mean"), 1.7e308),
        (Rule("rain", "rain", "sum"), 1.7e308),
        (Rule("temp_water_return", "temp_water_return", "volume_weighted"), 1.7e308),
    ],
)
def test_numbers_that_no_arithmetic_can_be_done_with_are_a_sample_too(rule: Rule, value: float) -> None:
    """A faulty sensor says -9999 dB for a whole interval, which have no energy; two such powers have no sum.

    Its sample is there, to be flagged: infinity would cost the rest of it, and an exception every sample after it.
    """
    assert _made(rule, [{rule.of: value}, {rule.of: value}]) == value


def test_a_speed_that_cannot_be_gives_its_direction_no_weight() -> None:
    """One garbled storm turns no day of wind."""
    words = [{"wind_dir": 0.0, "wind_speed": 5.0}, {"wind_dir": 90.0, "wind_speed": 4000.0}]
    assert _made(Rule("wind_dir", "wind_dir", "vector"), words) == 0.0


def test_no_value_is_said_where_there_was_none_all_along() -> None:
    """One good value is one, before or after the device said that it has none."""
    for order in ((True, False), (False, True)):
        thinner = Thinner([Rule("humidity", "humidity", "mean"), Rule("temp_air", "temp_air", "mean")])
        for has_value in order:
            thinner.add([_reading("humidity", 50.0)] if has_value else [], 1.0, () if has_value else ("humidity",))
        thinner.add([], 2.0, ("temp_air",))
        assert thinner.take() == Measured((_reading("humidity", 50.0),), 2.0, ("temp_air",))


def test_what_the_profile_does_not_name_makes_no_sample() -> None:
    """An empty one would look like an answer."""
    thinner = Thinner([Rule("humidity", "humidity", "mean")])
    thinner.add([_reading("temp_air", 5.0)], 1.0)
    assert thinner.take() is None


def test_a_mean_has_no_digits_of_the_arithmetic() -> None:
    """0.1 and 0.2 are 0.3."""
    assert _made(Rule("rain", "rain", "sum"), [{"rain": 0.1}, {"rain": 0.2}]) == 0.3


def test_rules_are_the_quantitys_unless_the_profile_says_otherwise() -> None:
    """Power is a mean, a counter its last value."""
    rules = {rule.name: rule for rule in nmea.load("nmea/wind").rules}
    assert rules["wind_dir"] == Rule("wind_dir", "wind_dir", "vector")


PROFILE = """
profile: test/box
label: {de: Kasten, en: Box}
driver: none
measurement: weather
interval_s: 60
readings: [wind_speed, wind_gust]
sources: [{what: x, where: y, retrieved: 2026-11-22}]
"""


def _rules(thinning: str, *without: str) -> tuple[Rule, ...]:
    document = strict_yaml.parse((PROFILE + thinning).encode(), Path("box.yaml"))
    profile = document.convert(ThinnedProfile)
    profile.check_sources(document, {"wind_speed", "wind_gust"} - set(without), "a value")
    return profile.rules


def test_a_profile_may_keep_the_greatest_of_another_reading() -> None:
    """Beside that one's own mean: the device need not say it."""
    assert _rules("thinning: {wind_gust: {of: wind_speed, by: max}}", "wind_gust") == (
        Rule("wind_speed", "wind_speed", "mean"),
        Rule("wind_gust", "wind_speed", "max"),
    )


@pytest.mark.parametrize(
    ("thinning", "found"),
    [
        ("thinning: {wind_dir: {by: vector}}", "'wind_dir'"),
        ("thinning: {wind_gust: {of: temp_air, by: max}}", "'temp_air'"),
        ("thinning: {wind_gust: {by: median}}", "'median'"),
        ("thinning: {wind_gust: {by: max, over: 3}}", "'over'"),
    ],
)
def test_a_slip_of_the_pen_is_refused_where_it_stands(thinning: str, found: str) -> None:
    """With its line."""
    with pytest.raises(ConfigError, match=r"box\.yaml:9:") as caught:
        _rules(thinning)
    assert found in str(caught.value)


def test_a_reading_that_is_made_of_nothing_is_refused() -> None:
    """Another way of thinning brings no value."""
    with pytest.raises(ConfigError, match="'wind_gust' without a value; expected a value"):
        _rules("thinning: {wind_gust: {by: max}}", "wind_gust")
