"""An interval of a radar is whole or it is not said; and no single passage can be made out."""

from __future__ import annotations

import math

import pytest
from far_end import PlayedTime
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.radar.counting import Counting, TrafficCounter
from edge.radar.reports import Report, ReportReader, UnreadableError
from wire.profile import Channel

COUNTING = Counting(1.0, 10.0, 2, 10.0, 6.5, 5, alive_s=60.0)
READINGS = ("count_vehicles/in", "speed_mean/in", "speed_v85/in", "count_vehicles/out")
CHANNELS = {"in": Channel(direction="in"), "out": Channel(direction="out")}


def _counter(time: PlayedTime, counting: Counting = COUNTING) -> TrafficCounter:
    """A counter amid a whole interval."""
    counter = TrafficCounter(counting, READINGS, CHANNELS, time)
    counter.opened()
    time.now_s += 40
    assert counter.take() is None
    counter.alive()
    return counter


def _pass(counter: TrafficCounter, time: PlayedTime, kmh: float = 50.0) -> None:
    for _ in range(2):
        counter.alive()
        counter.saw(Report(kmh, "in"))
        time.now_s += 0.2
    time.now_s += 2


def _counts(counter: TrafficCounter) -> dict[str, float] | None:
    measured = counter.take()
    return None if measured is None else {reading.name: reading.value for reading in measured.readings}


def test_the_first_interval_is_left_out() -> None:
    """Nobody knows what passed before the agent started."""
    time = PlayedTime()
    counter = TrafficCounter(COUNTING, READINGS, CHANNELS, time)
    counter.opened()
    time.now_s += 50
    _pass(counter, time)
    assert counter.take() is None
    time.now_s += 50
    assert _counts(counter) == {"count_vehicles/in": 0.0, "count_vehicles/out": 0.0}


def test_an_interval_that_begins_soon_after_the_start_is_whole() -> None:
    """The first reading opens the port at any moment; the next comes when the clock's interval ends."""
    time = PlayedTime()
    counter = TrafficCounter(COUNTING, READINGS, CHANNELS, time)
    assert counter.take() is None
    counter.opened()
    time.now_s += 11
    assert counter.take() is None
    _pass(counter, time)
    time.now_s += 50
    assert _counts(counter) == {"count_vehicles/in": 1.0, "count_vehicles/out": 0.0}


def test_an_empty_road_has_no_speed() -> None:
    """0 km/h would be a traffic jam."""
    time = PlayedTime()
    counter = _counter(time)
    time.now_s += 50
    measured = counter.take()
    assert measured is not None
    assert measured.without_value == ("speed_mean/in", "speed_v85/in")


def test_an_interval_in_which_the_port_was_gone_is_left_out() -> None:
    """Half a count would be taken for a whole one; the next whole interval counts again."""
    time = PlayedTime()
    counter = _counter(time)
    _pass(counter, time)
    counter.closed()
    time.now_s += 5
    counter.opened()
    _pass(counter, time)
    time.now_s += 40
    assert counter.take() is None
    _pass(counter, time)
    time.now_s += 40
    assert _counts(counter) == {"count_vehicles/in": 1.0, "count_vehicles/out": 0.0}


def test_while_the_port_is_gone_no_interval_has_a_count() -> None:
    """However many end: 0 vehicles is a claim."""
    time = PlayedTime()
    counter = _counter(time)
    counter.closed()
    for _ in range(3):
        time.now_s += 300
        assert counter.take() is None


def test_a_radar_that_answers_no_question_has_no_count() -> None:
    """An empty road and a dead radar look alike, but for the answer."""
    time = PlayedTime()
    counter = _counter(time)
    time.now_s += 100
    assert counter.take() is None


def test_a_silence_amid_an_interval_is_remembered() -> None:
    """It answers again, and yet for a minute nobody counted."""
    time = PlayedTime()
    counter = _counter(time)
    time.now_s += 100
    counter.alive()
    time.now_s += 10
    assert counter.take() is None


def test_an_interval_of_noise_is_left_out() -> None:
    """Vehicles may be missing from it; two lines that cannot be read are no noise, and the next interval counts."""
    time = PlayedTime()
    counter = _counter(time)
    for garbled, count in ((2, 1.0), (3, None), (0, 1.0)):
        _pass(counter, time)
        for _ in range(garbled):
            counter.garbled()
        time.now_s += 40
        counts = _counts(counter)
        counter.alive()
        assert (counts and counts["count_vehicles/in"]) == count
    for _ in range(200):
        counter.alive()
    for _ in range(20):
        counter.garbled()
    time.now_s += 40
    assert _counts(counter) is not None


def test_a_radar_that_cannot_be_asked_counts_while_its_port_is_open() -> None:
    """Nothing better is known of it."""
    time = PlayedTime()
    counter = _counter(time, COUNTING._replace(alive_s=None))
    time.now_s += 1000
    assert _counts(counter) == {"count_vehicles/in": 0.0, "count_vehicles/out": 0.0}


def test_asking_often_does_not_take_an_interval_apart() -> None:
    """Whoever may ask for a reading now would else see single passages."""
    time = PlayedTime()
    counter = _counter(time)
    _pass(counter, time)
    assert counter.take() is None
    _pass(counter, time)
    time.now_s += 40
    assert _counts(counter) == {"count_vehicles/in": 2.0, "count_vehicles/out": 0.0}


def test_a_passage_under_way_belongs_to_the_next_interval() -> None:
    """It is counted once, when it has ended."""
    time = PlayedTime()
    counter = _counter(time)
    time.now_s += 40
    counter.alive()
    counter.saw(Report(50, "in"))
    time.now_s += 0.2
    counter.saw(Report(50, "in"))
    assert _counts(counter) == {"count_vehicles/in": 0.0, "count_vehicles/out": 0.0}
    time.now_s += 0.2
    counter.saw(Report(50, "in"))
    time.now_s += 50
    assert _counts(counter) == {"count_vehicles/in": 1.0, "count_vehicles/out": 0.0}


@given(st.lists(st.floats(10, 200), max_size=12))
@settings(max_examples=200, derandomize=True)
def test_speeds_are_of_five_vehicles_or_none(speeds: list[float]) -> None:
    """And v85 is the speed at the nearest rank."""
    time = PlayedTime()
    counter = _counter(time)
    for kmh in speeds:
        _pass(counter, time, kmh)
    time.now_s += 40
    found = _counts(counter)
    assert found is not None
    assert found["count_vehicles/in"] == len(speeds)
    assert ("speed_v85/in" in found) == ("speed_mean/in" in found) == (len(speeds) >= 5)
    if len(speeds) >= 5:
        assert found["speed_v85/in"] == round(sorted(speeds)[math.ceil(0.85 * len(speeds)) - 1], 1)
        assert min(speeds) - 0.1 <= found["speed_mean/in"] <= max(speeds) + 0.1


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.floats(0, 250), st.sampled_from(["in", "out"]), st.booleans(), st.floats(0, 50)),
        max_size=60,
    )
)
@settings(max_examples=200, derandomize=True)
def test_any_reports_are_counted(reports: list[tuple[float, float, str, bool, float]]) -> None:
    """Never more vehicles than reports, and no exception."""
    time = PlayedTime()
    counter = _counter(time)
    for wait_s, kmh, direction, is_passage, length_m in reports:
        time.now_s += wait_s
        counter.alive()
        counter.saw(Report(kmh, "in" if direction == "in" else "out", length_m, is_passage, is_passage))
    time.now_s += 50
    found = _counts(counter)
    assert found is not None
    assert found["count_vehicles/in"] + found["count_vehicles/out"] <= len(reports)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@settings(max_examples=400, derandomize=True)
def test_any_line_is_read_or_refused(line: bytes) -> None:
    """With the one documented exception."""
    try:
        report = ReportReader("m/s").read(line)
    except UnreadableError:
        return
    assert report is None or 0 < report.speed_kmh <= 250


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@given(
    st.dictionaries(
        st.sampled_from(
            ["speed", "unit", "direction", "classifier", "length_m", "max_speed_mps", "DetectedObjectVelocity"]
        ),
        _JSON,
    )
)
@settings(max_examples=400, derandomize=True)
def test_any_json_is_read_or_refused(found: dict[str, object]) -> None:
    """Whatever stands under the names that mean something."""
    import json  # noqa: PLC0415

    try:
        report = ReportReader("m/s").read(json.dumps(found).encode())
    except UnreadableError:
        return
    assert report is None or 0 < report.speed_kmh <= 250


@pytest.mark.parametrize("line", [b'{"speed":"14.0', b"14.0.1", b'{"speed":1e99}', b"[" * 500, b'{"a":' * 100])
def test_what_is_refused_is_not_repeated(line: bytes) -> None:
    """Not in the log either: it would be a single passage."""
    with pytest.raises(UnreadableError) as caught:
        ReportReader("m/s").read(line)
    assert "14" not in str(caught.value)
    assert "1e99" not in str(caught.value)
