"""Where each reading goes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import registry, town
from cloud.routing import route
from cloud.unregistered import sample_of
from wire import gaps
from wire.gaps import Gap
from wire.readings import Flag, Reading, Sample

import towns

if TYPE_CHECKING:
    from pathlib import Path

    from cloud.points import Point
    from cloud.registry import Registry
    from wire.gaps import Reason

AT_MS = 1_795_000_000_123  # 2026-11-18


@pytest.fixture(scope="module")
def town_registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The registry of the small town."""
    directory: Path = tmp_path_factory.mktemp("town")
    town.write_registry(towns.make(directory / "town"), directory / "registry.yaml")
    return registry.load(directory / "registry.yaml")


def _route(registry: Registry, *readings: Reading, device: str = "school-main", at_ms: int = AT_MS) -> list[Point]:
    return route("school-gw", 7, [Sample(device, at_ms, readings)], registry)


POWER = Reading("active_power", 3515.8, "W")


def test_tags_come_from_the_registry(town_registry: Registry) -> None:
    """Site, sector, gateway and device are the town's word, not the gateway's."""
    (point,) = _route(town_registry, POWER)
    assert point.series.measurement == "electricity"
    assert dict(point.series.tags) == {
        "device": "school-main",
        "gateway": "school-gw",
        "sector": "buildings",
        "site": "school",
    }
    assert (point.time_ns, point.fields) == (AT_MS * 1_000_000, {"active_power": 3515.8})


def test_a_channel_and_its_parts_are_tags(town_registry: Registry) -> None:
    """A phase can be asked for by itself."""
    (point,) = _route(town_registry, Reading("voltage", 230.2, "V", "L1"))
    assert (point.series.tag("channel"), point.series.tag("phase")) == ("L1", "L1")


def test_readings_of_one_series_share_a_point(town_registry: Registry) -> None:
    """Sixteen readings of a three-phase meter make four points."""
    readings = [POWER, Reading("frequency", 50.0, "Hz")]
    readings += [Reading("voltage", 230.0, "V", phase) for phase in ("L1", "L2", "L3")]
    points = _route(town_registry, *readings)
    assert [point.fields for point in points] == [
        {"active_power": 3515.8, "frequency": 50.0},
        {"voltage": 230.0},
        {"voltage": 230.0},
        {"voltage": 230.0},
    ]


@pytest.mark.parametrize("flag", [Flag.RANGE, Flag.STEP, Flag.STUCK, Flag.TIME_ESTIMATED, Flag.RESET, 256, 2048])
def test_what_cannot_be_believed_is_kept_apart(flag: int, town_registry: Registry) -> None:
    """Suspect flags, and bits that this version does not know, lead to `<name>_suspect`, marked."""
    suspect = Reading("active_power", -9e9, "W", flags=flag)
    points = _route(town_registry, suspect, Reading("frequency", 50.0, "Hz"))
    assert [(p.series.measurement, p.fields) for p in points] == [
        ("electricity_suspect", {"active_power": -9e9, "q": float(flag)}),
        ("electricity", {"frequency": 50.0}),
    ]


@pytest.mark.parametrize("flag", [Flag.ROLLOVER, Flag.CLOCK_UNSYNCED, Flag.SUBSTITUTED, Flag.MANUAL])
def test_other_flags_stand_beside_the_value(flag: int, town_registry: Registry) -> None:
    """They are marked and still counted."""
    (point,) = _route(town_registry, Reading("active_power", 1.0, "W", flags=flag))
    assert (point.series.measurement, point.fields["q"]) == ("electricity", float(flag))


def test_any_device_may_tell_of_itself(town_registry: Registry) -> None:
    """Whether it answers, and how its bus fares, stands beside what it measures; no profile has to list it."""
    (point,) = _route(town_registry, POWER, Reading("reachable", 1.0, "/"), Reading("bus_error_rate", 0.5, "/100"))
    assert point.series.measurement == "electricity"
    assert point.fields == {"active_power": 3515.8, "reachable": 1.0, "bus_error_rate": 0.5}


STRANGERS = [
    ("an unknown device", "nobody", POWER),
    ("a device of another gateway", "plant-pump", POWER),
    ("an unknown quantity", "school-main", Reading("magic", 1.0, "W")),
    ("a quantity that the profile does not have", "school-main", Reading("temp_air", 1.0, "Cel")),
    ("an undeclared channel", "school-main", Reading("voltage", 1.0, "V", "L4")),
    ("a wrong unit", "school-main", Reading("active_power", 3.5, "kW")),
]


@pytest.mark.parametrize(("_why", "device", "reading"), STRANGERS, ids=[why for why, *_ in STRANGERS])
def test_a_stranger_is_kept_whole(_why: str, device: str, reading: Reading, town_registry: Registry) -> None:
    """Nothing is thrown away because somebody forgot an entry."""
    (point,) = _route(town_registry, reading, device=device)
    assert point.series.measurement == "unregistered"
    assert dict(point.series.tags) == {"gateway": "school-gw"}
    assert point.fields == {
        "device": device,
        "quantity": reading.quantity,
        "channel": reading.channel,
        "unit": reading.unit,
        "value": reading.value,
        "flags": 0.0,
        "time_ms": float(AT_MS),
    }
    assert point.time_ns // 10**9 == AT_MS // 1000
    assert sample_of(point) == Sample(device, AT_MS, (reading,))


def test_an_entry_holds_from_its_day_on(town_registry: Registry) -> None:
    """`since` decides by the time of the reading, not by the time of writing."""
    first_ms = round(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
    before, after = (
        _route(town_registry, POWER, device="school-gym", at_ms=at_ms)[0] for at_ms in (first_ms - 1, first_ms)
    )
    assert (before.series.measurement, after.series.measurement) == ("unregistered", "electricity")


readings_anywhere = st.builds(
    Reading,
    quantity=st.sampled_from(["active_power", "voltage", "magic"]),
    value=st.floats(allow_nan=False, allow_infinity=False),
    unit=st.sampled_from(["W", "V", ""]),
    channel=st.sampled_from(["", "L1", "L9"]),
    flags=st.integers(0, 4095),
)
samples_anywhere = st.builds(
    Sample,
    device=st.sampled_from(["school-main", "plant-pump", "nobody", "stranger"]),
    measured_at_ms=st.sampled_from([AT_MS, AT_MS + 1]),
    readings=st.lists(readings_anywhere, min_size=1, max_size=6).map(tuple),
)


@given(st.lists(samples_anywhere, min_size=1, max_size=8))
def test_every_reading_has_a_place_of_its_own(town_registry: Registry, samples: list[Sample]) -> None:
    """No two readings fall on one field of one point, nothing is lost, and a second time gives the same."""
    points = route("school-gw", 7, samples, town_registry)
    assert points == route("school-gw", 7, samples, town_registry)
    assert len({(point.series, point.time_ns) for point in points}) == len(points)
    placed = sum(1 if p.series.measurement == "unregistered" else len(p.fields.keys() - {"q"}) for p in points)
    assert placed == sum(len(sample.readings) for sample in samples)


def test_a_second_value_at_one_time_overwrites_nothing(town_registry: Registry) -> None:
    """A pack that says two things of one device and time, apart from each other: both are kept."""
    second = Reading("active_power", 2.0, "W")
    samples = [Sample("school-main", AT_MS, (POWER,)), Sample("x", AT_MS, ()), Sample("school-main", AT_MS, (second,))]
    good, stranger = route("school-gw", 7, samples, town_registry)
    assert good.fields == {"active_power": POWER.value}
    assert (stranger.series.measurement, stranger.fields["value"]) == ("unregistered", 2.0)


def test_batches_that_meet_in_one_millisecond_stay_apart(town_registry: Registry) -> None:
    """Two unregistered devices of one gateway at one time, in two batches: two points, however far these are apart."""
    sample = Sample("nobody", AT_MS, (POWER, POWER))
    numbers = [*range(1, 101), *range(101, 100_000, 100)]
    points = [point for number in numbers for point in route("school-gw", number, [sample], town_registry)]
    assert len({point.time_ns for point in points}) == 2 * len(numbers)
    assert {sample_of(point).measured_at_ms for point in points} == {AT_MS}


@pytest.mark.parametrize("reason", gaps.REASONS)
@pytest.mark.parametrize("flags", [0, Flag.TIME_ESTIMATED])
def test_a_gap_has_a_measurement_of_its_own(reason: Reason, flags: int, town_registry: Registry) -> None:
    """With its reason as a tag; one whose time was estimated is a gap all the same."""
    carried = gaps.sample(Gap("school-main", AT_MS, AT_MS + 90_500, reason, 12))
    readings = [msgspec.structs.replace(reading, flags=flags) for reading in carried.readings]
    (point,) = _route(town_registry, *readings)
    assert point.series.measurement == "gap"
    assert dict(point.series.tags) == {
        "device": "school-main",
        "gateway": "school-gw",
        "reason": reason,
        "sector": "buildings",
        "site": "school",
    }
    q = {"q": float(flags)} if flags else {}
    assert point.fields == {"gap_until": (AT_MS + 90_500) / 1000, "gap_readings": 12.0, **q}
    assert point.time_ns // 1_000_000 == AT_MS


@pytest.mark.parametrize(
    "reading",
    [
        Reading("gap_until", 1.0, "s", "boredom"),
        Reading("gap_until", 1.0, "s"),
        Reading("gap_until", 1.0, "min", "quota"),
    ],
    ids=["a reason of a later release", "no reason", "a wrong unit"],
)
def test_a_gap_that_this_release_does_not_know_is_kept_whole(reading: Reading, town_registry: Registry) -> None:
    """As any stranger."""
    (point,) = _route(town_registry, reading)
    assert (point.series.measurement, point.fields["channel"]) == ("unregistered", reading.channel)


def test_gaps_of_two_reasons_stand_beside_readings_of_the_same_moment(town_registry: Registry) -> None:
    """Each its own point."""
    both = [
        gaps.sample(Gap("school-main", AT_MS, AT_MS + 1, "quota")).readings[0],
        gaps.sample(Gap("school-main", AT_MS, AT_MS + 1, "disk")).readings[0],
    ]
    points = _route(town_registry, POWER, *both)
    assert [(p.series.measurement, p.series.tag("reason")) for p in points] == [
        ("electricity", ""),
        ("gap", "quota"),
        ("gap", "disk"),
    ]
