"""What a device says is judged in its order: nothing is dropped, what cannot be believed is flagged, and explained."""

from __future__ import annotations

import logging
import math
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.modbus import profile as modbus_profiles
from edge.modbus.registers import number
from edge.plausibility import rules as rules_of
from edge.plausibility.encoding import Encoding
from edge.plausibility.hints import TEXTS
from edge.plausibility.judge import Judge
from wire.profile import Limits, Profile, Source
from wire.readings import Flag, Reading, is_suspect
from wire.vocabulary import Label, quantities

if TYPE_CHECKING:
    from collections.abc import Iterable

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
RANGE, STEP, STUCK, RESET = (int(flag) for flag in (Flag.RANGE, Flag.STEP, Flag.STUCK, Flag.RESET))


def _judge(
    *names: str,
    limits: dict[str, Limits] | None = None,
    encodings: dict[str, Encoding] | None = None,
    interval_s: float = 10.0,
    parameters: dict[str, float] | None = None,
) -> Judge:
    profile = Profile(
        profile="test/meter",
        label=Label(de="Zähler", en="Meter"),
        driver="modbus",
        measurement="electricity",
        interval_s=interval_s,
        readings=list(names),
        limits=limits or {},
        sources=[Source(what="a test", where="here", retrieved="2026-11-22")],
    )
    given_ = parameters or {}
    rules = rules_of.of_profile(profile, given_, encodings or {})
    return Judge("meter", rules, interval_s, tuple(given_.values()))


def _reading(name: str, value: float) -> Reading:
    quantity, _, channel = name.partition("/")
    return Reading(quantity, value, quantities()[quantity].unit, channel)


def _play(judge: Judge, name: str, values: Iterable[tuple[float, float]]) -> list[int]:
    """Judge values (seconds, value) of one reading; returns their flags."""
    return [judge.judged((_reading(name, value),), at_s)[0].flags for at_s, value in values]


def _every(seconds: float, values: Iterable[float]) -> list[tuple[float, float]]:
    return [(number_ * seconds, value) for number_, value in enumerate(values)]


def _kinds(judge: Judge) -> list[str]:
    return [suspicion.kind for suspicion in judge.suspicions()]


def test_what_is_well_passes_as_it_is() -> None:
    """Without a flag, and without a new object for each reading."""
    readings = (_reading("voltage/L1", 230.1), _reading("active_power", -5.0), _reading("reachable", 1.0))
    judge = _judge("voltage/L1", "active_power")
    assert judge.judged(readings, 0.0) is readings
    assert judge.suspicions() == []


def test_a_value_beyond_the_range_is_flagged_and_kept() -> None:
    """The value stays what the device said; the next good one is believed at once."""
    judge = _judge("voltage")
    found = judge.judged((_reading("voltage", 532.0),), 0.0)[0]
    assert (found.value, found.flags) == (532.0, RANGE)
    assert judge.suspicions()[0].text == "outside 0 to 500"
    assert _play(judge, "voltage", [(10, 231.0)]) == [0]
    assert judge.suspicions() == []


def test_a_profile_may_know_a_narrower_range() -> None:
    """In the quantity's unit, times the parameter that the value is multiplied by."""
    limits = {"active_power": Limits(range=(-100.0, 100.0), multiply_by="ct_ratio")}
    judge = _judge("active_power", limits=limits, parameters={"ct_ratio": 40.0})
    assert _play(judge, "active_power", _every(10, [3999.0, 4001.0, -4001.0])) == [0, RANGE, RANGE]


def test_a_little_more_than_all_is_all() -> None:
    """102 % humidity is what sensors say in fog: set to 100 %, marked as substituted, and believed."""
    judge = _judge("humidity")
    found = judge.judged((_reading("humidity", 102.0),), 0.0)[0]
    assert (found.value, found.flags) == (100.0, Flag.SUBSTITUTED)
    assert judge.suspicions() == []
    assert _play(judge, "humidity", [(10, 104.0), (20, 99.0)]) == [RANGE, 0]


def test_a_value_that_is_no_number_is_out_of_range() -> None:
    """Drivers leave it out; one that slipped through stops nothing."""
    assert _play(_judge("voltage", "frequency"), "voltage", [(0, math.nan), (1, math.inf), (2, 230.0)]) == [1, 1, 0]


def test_a_step_too_fast_is_flagged_and_the_old_level_believed_again() -> None:
    """One reading of nonsense between good ones costs one flag."""
    assert _play(_judge("temp_air"), "temp_air", _every(10, [20.0, 20.1, 35.0, 20.2])) == [0, 0, STEP, 0]


def test_a_level_that_lasts_is_accepted() -> None:
    """After three readings that fit each other, over a minute: somebody carried the sensor outdoors."""
    values = [20.0, 5.0, 5.1, 5.0, 5.0, 4.9, 4.9, 4.9, 4.9]
    flags = _play(_judge("temp_air"), "temp_air", _every(10, values))
    assert flags == [0, STEP, STEP, STEP, STEP, STEP, STEP, 0, 0]


def test_two_levels_in_turn_are_never_confirmed() -> None:
    """A bad contact: what disagrees with the level believed is flagged, for as long as it lasts."""
    flags = _play(_judge("temp_air"), "temp_air", _every(10, [20.0, 50.0, -10.0] * 20))
    assert flags == [0, STEP, STEP] * 20


def test_a_long_interval_allows_a_long_way() -> None:
    """3 °C a minute are 45 °C in a quarter of an hour."""
    assert _play(_judge("temp_air", interval_s=900), "temp_air", _every(900, [-5.0, 30.0])) == [0, 0]


def test_a_gap_is_no_step() -> None:
    """Nobody knows how a value went while nobody looked."""
    assert _play(_judge("temp_air"), "temp_air", [(0, -5.0), (10, -5.1), (2 * HOUR, 30.0)]) == [0, 0, 0]


def test_polling_faster_than_a_minute_does_not_shrink_a_step() -> None:
    """50 V at once are as plausible as in a minute; 51 are not."""
    assert _play(_judge("voltage"), "voltage", _every(1, [180.0, 230.0, 281.0])) == [0, 0, STEP]


def test_a_value_without_change_is_stuck_after_its_hours() -> None:
    """And believed again with the first change."""
    values = [230.1] * (7 * 60) + [230.2]
    flags = _play(_judge("voltage"), "voltage", _every(MINUTE, values))
    assert flags == [0] * 360 + [STUCK] * 60 + [0]


def test_where_nothing_flows_nothing_is_stuck() -> None:
    """An idle machine draws 0 W for weeks, fog has 100 %, a counter of an empty house stands still."""
    for name, value in [("active_power", 0.0), ("humidity", 100.0), ("active_energy_import", 4711.0), ("leak", 0.0)]:
        assert not any(_play(_judge(name), name, _every(MINUTE, [value] * 60 * 80)))


def test_what_was_not_read_was_not_stuck() -> None:
    """The same value after ten hours without an answer begins anew."""
    values = [(0, 230.1), (10, 230.1), (10 * HOUR, 230.1), (10 * HOUR + 10, 230.1)]
    assert _play(_judge("voltage"), "voltage", values) == [0, 0, 0, 0]


def test_a_daily_value_is_not_stuck_between_its_days() -> None:
    """Intervals longer than the hours to stuck are no gap; days without change are."""
    flags = _play(_judge("pressure_water", interval_s=DAY), "pressure_water", _every(DAY, [4000.0] * 5))
    assert flags == [0, 0, 0, STUCK, STUCK]


def test_a_value_written_coarsely_may_stay() -> None:
    """50.0 Hz with one decimal stands for hours; with two it does not."""
    for scale, expected in ((0.1, 0), (0.01, STUCK)):
        judge = _judge("frequency", encodings={"frequency": Encoding("uint16", scale)})
        assert _play(judge, "frequency", _every(MINUTE, [50.0] * 120))[-1] == expected


def test_a_state_is_0_or_1() -> None:
    """Half a leak is none."""
    assert _play(_judge("leak"), "leak", _every(1, [0, 1, 0.5, 2, 0])) == [0, 0, RANGE, RANGE, 0]


def test_a_counter_that_falls_is_flagged_until_it_comes_back() -> None:
    """The rules are `wire.counters`'; the technician reads what they mean."""
    judge = _judge("active_energy_import")
    assert _play(judge, "active_energy_import", _every(900, [13423.7, 13423.7, 0.0])) == [0, 0, RESET]
    assert judge.suspicions()[0].text == "the counter falls from 13423.7: reset or exchanged?"
    assert _play(judge, "active_energy_import", [(2700, 13423.8)]) == [0]


def test_a_counter_goes_over_the_top_of_its_encoding() -> None:
    """Sixteen bits, unless the profile knows better; and that is no suspicion."""
    judge = _judge("pulses", encodings={"pulses": Encoding("uint16")})
    assert _play(judge, "pulses", _every(900, [65530.0, 4.0])) == [0, int(Flag.ROLLOVER)]
    limited = _judge("pulses", limits={"pulses": Limits(modulus=100000)}, encodings={"pulses": Encoding("uint32")})
    assert _play(limited, "pulses", _every(900, [99990.0, 4.0])) == [0, int(Flag.ROLLOVER)]
    assert judge.suspicions() == []


def test_a_profile_may_know_what_can_flow() -> None:
    """A meter of 60 A cannot count 1 MWh in a quarter of an hour."""
    judge = _judge("active_energy_import", limits={"active_energy_import": Limits(step=0.7)})
    assert _play(judge, "active_energy_import", _every(900, [100.0, 1100.0, 1100.1])) == [0, STEP, STEP]
    assert _kinds(judge) == ["jump"]


@pytest.mark.parametrize(("value", "swapped"), [(230.0, 2.4e-41), (230.1, 1.6e-23), (49.98, None)])
def test_swapped_words_are_found(value: float, swapped: float | None) -> None:
    """Golden case 11: 230.0 reads as 2.4e-41, which is within the range of a voltage; the hint names what it is."""
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    read = number("float32")((low, high))
    assert read is not None
    assert swapped is None or read == pytest.approx(swapped, rel=0.1)
    judge = _judge("voltage", encodings={"voltage": Encoding("float32")})
    assert _play(judge, "voltage", [(0, read)]) == [RANGE]
    said = judge.suspicions()[0]
    assert said.kind == "word_order"
    assert said.values["other"] == pytest.approx(value)


@pytest.mark.parametrize("value", [0.0, 1e-3, 3.1e-15, -2.2e-13, 230.0])
def test_small_values_of_honest_firmware_pass(value: float) -> None:
    """A rest of arithmetic where nothing flows is no swapped word."""
    judge = _judge("active_power", encodings={"active_power": Encoding("float32")})
    assert _play(judge, "active_power", [(0, value)]) == [0]


def test_a_number_that_no_device_computes_is_flagged_without_its_encoding() -> None:
    """A subnormal float32 comes of swapped words or a wrong type, whoever read it."""
    judge = _judge("active_power")
    assert _play(judge, "active_power", [(0, 2.4e-41)]) == [RANGE]
    assert _kinds(judge) == ["tiny"]


@pytest.mark.parametrize(
    ("quantity", "kind", "scale", "raw"),
    [
        ("temp_air", "int16", 0.1, 0x7FFF),
        ("temp_air", "int16", 0.1, -0x8000),
        ("active_power", "int16", 1.0, -0x8000),
        ("active_power", "int16", 10.0, 0x7FFF),
        ("active_power", "uint16", 1.0, 0xFFFF),
        ("co2_indoor", "uint16", 0.1, 0xFFFF),
    ],
)
def test_a_bit_pattern_that_means_no_value_is_found(quantity: str, kind: str, scale: float, raw: int) -> None:
    """Also where it lies within the range: 32767 W is a power, but not from an int16."""
    judge = _judge(quantity, encodings={quantity: Encoding(kind, scale)})
    assert _play(judge, quantity, [(0, raw / round(1 / scale) if scale < 1 else raw * scale)]) == [RANGE]
    assert _kinds(judge) == ["no_value"]


@pytest.mark.parametrize(
    ("quantity", "encoding", "value"),
    [
        ("active_power", Encoding("int16"), -1.0),
        ("active_power", Encoding("int32"), 65535.0),
        ("active_power", Encoding("float32"), 32767.0),
        ("active_power", Encoding(""), 32767.0),
        ("active_power", Encoding("uint16"), 32768.0),
        ("pulses", Encoding("uint16"), 65535.0),
        ("temp_water_flow", Encoding("int16", 0.1), 85.0),
    ],
)
def test_a_value_that_only_looks_like_none_passes(quantity: str, encoding: Encoding, value: float) -> None:
    """-1 W, 65535 W of 32 bits, the last pulse of sixteen bits, 85 °C of a heating."""
    assert _play(_judge(quantity, encodings={quantity: encoding}), quantity, [(0, value)]) == [0]


def test_a_counter_with_the_top_bit_set_is_named() -> None:
    """Read as int32, 2147483649 is negative; golden case 6 is the right reading."""
    assert number("uint32")((0x8000, 0x0001)) == 2147483649
    judge = _judge("active_energy_import", encodings={"active_energy_import": Encoding("int32", 0.001)})
    assert _play(judge, "active_energy_import", [(0, -2147483.647)]) == [RANGE]
    said = judge.suspicions()[0]
    assert said.kind == "unsigned"
    assert said.values["other"] == pytest.approx(2147483.649)


def test_the_values_of_a_lost_ds18b20_are_named() -> None:
    """85 °C after power-on comes by a jump, and -127 °C without a sensor; a water that is heated to 85 °C does not."""
    judge = _judge("temp_water_flow")
    assert _play(judge, "temp_water_flow", _every(10, [40.0, 85.0])) == [0, RANGE | STEP]
    assert _kinds(judge) == ["power_on"]
    assert _play(judge, "temp_water_flow", [(20, -127.0)]) == [RANGE]
    assert _kinds(judge) == ["gone"]
    heated = [40.0 + 3 * n for n in range(16)]
    assert not any(_play(_judge("temp_water_flow"), "temp_water_flow", _every(10, heated)))


def test_what_is_not_believed_is_logged_once_and_not_with_every_poll(caplog: pytest.LogCaptureFixture) -> None:
    """Device, reading, value and reason in one line."""
    with caplog.at_level(logging.WARNING):
        _play(_judge("voltage/L1"), "voltage/L1", _every(10, [600.0] * 100))
    assert caplog.messages == ["device meter: voltage/L1 600 V is not believed: outside 0 to 500"]


def test_every_hint_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In both languages, with the same places."""
    places = {"low", "high", "before", "hours", "other", "pattern", "energy", "power", "factor"}
    filled = dict.fromkeys(places, 1.0)
    for language in ("de", "en"):
        monkeypatch.setenv("MESSNETZ_LANGUAGE", language)
        assert all("{" not in text.say(**filled) for text in TEXTS.values())


PROFILE = modbus_profiles.load("eastron/sdm630")
NAMES = PROFILE.readings


def _meter() -> Judge:
    return Judge("meter", rules_of.of_profile(PROFILE, {}, PROFILE.encodings({})), 10.0, ())


anything = st.one_of(st.floats(), st.sampled_from([0.0, 230.0, 32767.0, 2.4e-41, -127.0, 85.0]))
script = st.lists(st.tuples(st.sampled_from(NAMES), st.floats(0, 1e5), anything), max_size=60)


@given(script)
def test_nothing_a_device_says_raises(said: list[tuple[str, float, float]]) -> None:
    """Every reading comes out, in its place, with known flags alone."""
    judge, at_s = _meter(), 0.0
    for name, passed_s, value in said:
        at_s += passed_s
        found = judge.judged((_reading(name, value), _reading("voltage/L1", 230.0)), at_s)
        assert [reading.name for reading in found] == [name, "voltage/L1"]
        assert found[0].flags in {0, *(int(f) for f in Flag), RANGE | STEP}
        assert (
            any(said.name == name for said in judge.suspicions()) == is_suspect(found[0].flags) or name == "voltage/L1"
        )


@pytest.mark.parametrize(
    ("before", "after", "flags"),
    [
        ([(0.0, 230.0), (10.0, 231.0)], (20.0, 400.0), STEP),
        ([(0.0, 230.0), (10.0, 231.0)], (20.0, 232.0), 0),
        ([(0.0, 230.0), (10.0, 400.0)], (50.0, 400.5), STEP),
        ([(0.0, 230.0), (10.0, 400.0), (50.0, 400.5)], (70.0, 401.0), 0),
        ([(10.0 * n, 230.0) for n in range(2160)], (6 * HOUR, 230.0), STUCK),
        ([(10.0 * n, 230.0) for n in range(1000)], (10_000.0, 230.0), 0),
    ],
)
@pytest.mark.parametrize("by_s", [0.0, -5e5])
def test_a_gauge_goes_on_over_a_restart(
    before: list[tuple[float, float]], after: tuple[float, float], flags: int, by_s: float
) -> None:
    """It steps from where it was, a new level is counted on, and it has been stuck for as long as it was."""
    judge, restarted = _judge("voltage"), _judge("voltage")
    _play(judge, "voltage", before)
    restarted.recall(judge.remember(), by_s, 0.0)
    assert _play(restarted, "voltage", [(after[0] + by_s, after[1])]) == [flags]


@given(script, st.integers(0, 60), st.floats(-1e6, 1e6))
def test_a_restart_at_any_point_changes_no_flag(said: list[tuple[str, float, float]], at: int, by_s: float) -> None:
    """What a judge remembers is all that it knows, also where the clock of the next run reads differently."""
    by_s = float(round(by_s))
    going_on, restarted, shift_s, now_s = _meter(), _meter(), 0.0, 0.0
    for index, (name, passed_s, value) in enumerate(said):
        now_s += float(round(passed_s))
        if index == at:
            memory = restarted.remember()
            restarted, shift_s = _meter(), by_s
            restarted.recall(memory, by_s, 0.0)
        reading = (_reading(name, value),)
        assert restarted.judged(reading, now_s + shift_s)[0].flags == going_on.judged(reading, now_s)[0].flags
