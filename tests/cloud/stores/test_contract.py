"""What every store must do, in the words of `cloud.stores.interface`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from cloud.points import Point, Series
from cloud.stores.interface import RejectedPointsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud.points import Fields
    from cloud.stores.interface import Store

T0 = 1_700_000_000_000_000_001  # odd, so that a float could not hold it
ALL = (-(2**63), 2**63)
METER = Series.of("electricity", site="school", device="meter-1")
OTHER = Series.of("electricity", site="school", device="meter-2", phase="L1")


def at(seconds: int, fields: Fields | None = None, series: Series = METER) -> Point:
    """A point so many seconds after T0."""
    return Point(series, T0 + seconds * 10**9, {"active_power": 1.5} if fields is None else fields)


def everything(store: Store, measurement: str = "electricity") -> list[Point]:
    """All points of a measurement."""
    return list(store.series(measurement, *ALL))


def test_a_point_is_read_back_as_it_was_written(store: Store) -> None:
    """Numbers, texts and booleans come back by value and type, times to the nanosecond."""
    point = at(0, {"number": 0.1 + 0.2, "whole": 20.0, "text": 'hä, "x" = \\ 1\n2', "yes": True, "no": False})

    store.write([point])

    assert everything(store) == [point]
    assert {name: type(value) for name, value in everything(store)[0].fields.items()} == {
        "number": float,
        "whole": float,
        "text": str,
        "yes": bool,
        "no": bool,
    }


@pytest.mark.parametrize(
    "number", [0.0, -0.0, 1 / 3, 5e-324, -1.7976931348623157e308, 1e22, 123456789012345680.0, 1e-7, 230.1, 2**53 + 1.0]
)
def test_a_number_keeps_every_digit(store: Store, number: float) -> None:
    """A float is the same float after the round trip."""
    store.write([at(0, {"v": number})])

    assert [point.fields["v"] for point in everything(store)] == [number]


def test_a_whole_number_is_stored_as_a_float(store: Store) -> None:
    """Else the first `20` would make the field an integer, and refuse every 20.5 after it."""
    store.write([at(0, {"v": 20})])
    store.write([at(1, {"v": 20.5})])

    values = [point.fields["v"] for point in everything(store)]

    assert values == [20.0, 20.5]
    assert [type(value) for value in values] == [float, float]


def test_points_come_in_order_of_time(store: Store) -> None:
    """Whatever order they were written in, and across all series of the measurement."""
    store.write([at(4, series=OTHER), at(1), at(5)])
    store.write([at(0, series=OTHER), at(3), at(2, series=OTHER)])

    assert [point.time_ns for point in everything(store)] == [T0 + second * 10**9 for second in range(6)]


def test_two_series_may_have_a_point_at_the_same_time(store: Store) -> None:
    """Same time, other tags: two points."""
    store.write([at(0), at(0, {"active_power": 7.0}, OTHER)])

    assert sorted(everything(store), key=str) == sorted([at(0), at(0, {"active_power": 7.0}, OTHER)], key=str)


def test_a_range_has_its_start_and_lacks_its_end(store: Store) -> None:
    """A point at the start is in, one at the end is not, to the nanosecond."""
    store.write([Point(METER, T0 + offset, {"v": float(offset)}) for offset in range(5)])

    found = list(store.series("electricity", T0 + 1, T0 + 3))

    assert [point.fields["v"] for point in found] == [1.0, 2.0]
    assert list(store.series("electricity", T0 + 3, T0 + 3)) == []
    assert list(store.series("electricity", T0 + 3, T0 + 1)) == []


def test_only_points_with_all_tags_are_given(store: Store) -> None:
    """Several tags must all fit; a tag that no point has fits none."""
    store.write([at(0), at(1, series=OTHER)])

    def devices(**tags: str) -> list[str]:
        return [point.series.tag("device") for point in store.series("electricity", *ALL, tags)]

    assert devices(site="school") == ["meter-1", "meter-2"]
    assert devices(site="school", device="meter-2") == ["meter-2"]
    assert devices(site="elsewhere", device="meter-2") == []
    assert devices(lane="1") == []
    assert devices(phase="") == ["meter-1"]


def test_a_tag_without_a_value_is_left_out(store: Store) -> None:
    """A series made by hand with an empty tag is the series without it, in any order of tags."""
    store.write([at(0, series=Series("electricity", (("site", "school"), ("lane", ""), ("device", "meter-1"))))])
    store.write([at(1)])

    assert everything(store) == [at(0), at(1)]


def test_writing_again_changes_nothing(store: Store) -> None:
    """The same batch sent twice is stored once."""
    points = [at(second, {"v": float(second), "s": "x"}, series) for second in range(3) for series in (METER, OTHER)]
    store.write(points)
    before = everything(store), store.latest("electricity")

    store.write(points)

    assert len(before[0]) == 6
    assert (everything(store), store.latest("electricity")) == before


def test_fields_of_one_point_merge(store: Store) -> None:
    """A later write replaces the fields that it names, and leaves the others."""
    store.write([at(0, {"kept": 1.0, "replaced": 1.0})])

    store.write([at(0, {"replaced": 2.0, "added": "new"})])

    assert everything(store) == [at(0, {"kept": 1.0, "replaced": 2.0, "added": "new"})]


def test_within_one_write_the_later_value_counts(store: Store) -> None:
    """The same point twice in one write is one point."""
    store.write([at(0, {"a": 1.0}), at(0, {"a": 2.0, "b": 1.0})])

    assert everything(store) == [at(0, {"a": 2.0, "b": 1.0})]


def test_times_long_ago_and_far_ahead_are_kept(store: Store) -> None:
    """A clock that went wrong, either way, does not lose a point."""
    points = [Point(METER, time_ns, {"v": 1.0}) for time_ns in (-(10**18), -1, 0, 1, 4 * 10**18)]

    store.write(points)

    assert everything(store) == points
    assert [point.time_ns for point in store.latest("electricity")] == [4 * 10**18]


def test_the_latest_of_each_field_is_found(store: Store) -> None:
    """A field that a newer point lacks is found in an older one; series stay apart."""
    store.write([at(0, {"rare": "a", "often": 1.0}), at(1, {"often": 2.0}), at(2, {"often": 3.0})])
    store.write([at(1, {"often": 9.0, "on": True}, OTHER)])

    found = store.latest("electricity")

    assert sorted(found, key=str) == sorted(
        [
            at(2, {"often": 3.0}),
            at(0, {"rare": "a"}),
            at(1, {"often": 9.0}, OTHER),
            at(1, {"on": True}, OTHER),
        ],
        key=str,
    )


def test_late_data_is_not_the_latest(store: Store) -> None:
    """What a gateway sends after an outage does not hide what is newer."""
    store.write([at(10, {"v": 10.0})])

    store.write([at(5, {"v": 5.0})])

    assert store.latest("electricity") == [at(10, {"v": 10.0})]


def test_the_latest_can_be_asked_by_tags(store: Store) -> None:
    """Only series with all of the tags."""
    store.write([at(0), at(1, series=OTHER)])

    assert store.latest("electricity", {"site": "school", "device": "meter-1"}) == [at(0)]
    assert store.latest("electricity", {"device": "meter-9"}) == []


def test_a_tag_value_may_hold_backslashes(store: Store) -> None:
    """Wherever they stand but at the end, where InfluxDB would change them."""
    series = Series.of("heat", site="\\\\server\\share, a\\ b\\=c\\,d")
    store.write([at(0, series=series)])

    assert list(store.series("heat", *ALL, dict(series.tags))) == [at(0, series=series)]


def test_tag_values_are_sorted_and_never_empty(store: Store) -> None:
    """One value for each that a tag has, not for those that lack it."""
    store.write([at(0, series=OTHER), at(0), at(1), at(0, series=Series.of("heat", phase="L9"))])

    assert store.tag_values("electricity", "device") == ["meter-1", "meter-2"]
    assert store.tag_values("electricity", "phase") == ["L1"]
    assert store.tag_values("electricity", "lane") == []


def test_measurements_are_sorted(store: Store) -> None:
    """Names of all measurements that hold points."""
    store.write([at(0, series=Series.of(name)) for name in ("weather", "air_1h", "heat_suspect", "heat")])

    assert store.measurements() == ["air_1h", "heat", "heat_suspect", "weather"]


def test_an_empty_store_gives_nothing(store: Store) -> None:
    """Nothing written, nothing found, and no error; writing no points is no error either."""
    store.write([])

    assert store.measurements() == []
    assert everything(store) == []
    assert store.latest("electricity") == []
    assert store.tag_values("electricity", "device") == []


def test_measurements_stay_apart(store: Store) -> None:
    """Same tags, same time, same field: other points."""
    good, suspect = Series.of("heat", device="m"), Series.of("heat_suspect", device="m")
    store.write([at(0, {"v": 1.0}, good), at(0, {"v": 2.0}, suspect)])

    assert everything(store, "heat") == [at(0, {"v": 1.0}, good)]
    assert store.latest("heat_suspect") == [at(0, {"v": 2.0}, suspect)]


@pytest.mark.parametrize(
    ("measurement", "tag", "field"),
    [
        ("plain", "site", "v"),
        ("with blank", "my site", "my field"),
        ("a,b=c", "a,b=c", "a,b=c"),
        ('say "yes"', 'say "yes"', 'say "yes"'),
        ("it's", "it's", "it's"),
        ("Straße", "Höhe", "größe_m²"),
        ("select", "where", "from"),
    ],
)
def test_names_of_all_kinds_are_kept(store: Store, measurement: str, tag: str, field: str) -> None:
    """Nothing that has a meaning in line protocol or in a query language comes back changed."""
    series = Series(measurement, ((tag, f"{measurement} {tag}"),))
    point = Point(series, T0, {field: 1.0, f"{field} text": f"{measurement}'s"})

    store.write([point])

    assert list(store.series(measurement, *ALL, dict(series.tags))) == [point]
    assert len(store.latest(measurement, dict(series.tags))) == 2
    assert store.tag_values(measurement, tag) == [f"{measurement} {tag}"]
    assert store.measurements() == [measurement]


BAD: dict[str, tuple[Any, ...]] = {
    "not a number": (METER, T0, {"v": math.nan}),
    "infinite": (METER, T0, {"v": math.inf}),
    "too great": (METER, T0, {"v": 10**400}),
    "no field": (METER, T0, {}),
    "a field without a name": (METER, T0, {"": 1.0}),
    "a field that belongs to the store": (METER, T0, {"time": 1.0}),
    "a field with a line feed": (METER, T0, {"a\nb": 1.0}),
    "a text that is none": (METER, T0, {"v": "\ud800"}),
    "a time out of range": (METER, 2**63, {"v": 1.0}),
    "a field with a backslash": (METER, T0, {"a\\b": 1.0}),
    "a measurement with a backslash": (Series.of("a\\b"), T0, {"v": 1.0}),
    "a measurement without a name": (Series.of(""), T0, {"v": 1.0}),
    "a measurement that makes a comment": (Series.of("#heat"), T0, {"v": 1.0}),
    "a tag that ends with a backslash": (Series.of("heat", site="C:\\"), T0, {"v": 1.0}),
    "a tag with a backslash in its name": (Series("heat", (("a\\b", "c"),)), T0, {"v": 1.0}),
    "a tag with a tabulator": (Series.of("heat", site="a\tb"), T0, {"v": 1.0}),
    "a tag that belongs to the store": (Series.of("heat", time="now"), T0, {"v": 1.0}),
    "a tag that is no text": (Series.of("heat", site="\udc80"), T0, {"v": 1.0}),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_stored_is_refused(store: Store, bad: tuple[Any, ...]) -> None:
    """It is named as rejected, it leaves nothing behind, and the next good write goes through."""
    with pytest.raises(RejectedPointsError):
        store.write([Point(*bad)])

    assert store.measurements() == []
    store.write([at(0)])
    assert everything(store) == [at(0)]


def test_what_was_written_outlives_the_store(store: Store, open_again: Callable[[], Store]) -> None:
    """Another store on the same file or database finds it; preparing again harms nothing."""
    store.write([at(0), at(1, series=OTHER)])
    store.prepare()

    second = open_again()
    second.prepare()
    seen_beside = everything(second)
    store.close()
    second.write([at(2)])
    second.close()
    third = open_again()
    third.prepare()

    assert seen_beside == [at(0), at(1, series=OTHER)]
    assert everything(third) == [at(0), at(1, series=OTHER), at(2)]
    third.close()


def test_many_points_are_all_given_in_order(store: Store) -> None:
    """More points than one request, one chunk or one page holds; none is lost at a seam."""
    several = [Series.of("electricity", device=f"meter-{number}") for number in range(3)]
    points = [Point(several[number % 3], T0 + number, {"v": float(number)}) for number in range(25_000)]

    store.write(points)

    assert everything(store) == points


def test_a_read_that_is_given_up_disturbs_nothing(store: Store) -> None:
    """Who stops in the midst of a long read can write, read again, and close."""
    points = [Point(METER, T0 + number, {"v": float(number)}) for number in range(12_000)]
    store.write(points)
    reading = store.series("electricity", *ALL)

    assert next(reading) == points[0]
    del reading
    store.write([at(1)])

    assert everything(store) == [*points, at(1)]
