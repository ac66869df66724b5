from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cloud.points import Point, Series
from cloud.stores import line_protocol
from cloud.stores.influx1 import Influx1Store
from cloud.stores.interface import RejectedPointsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from cloud.points import Fields

    from servers import Influx1

LINES: dict[str, tuple[Series, Fields, str]] = {
    "plain": (Series.of("heat", site="school", device="m"), {"v": 1.5}, "heat,device=m,site=school v=1.5 7"),
    "no tags": (Series.of("heat"), {"v": 1.5}, "heat v=1.5 7"),
    "empty tag": (Series("heat", (("a", ""), ("b", "x"))), {"v": 1.5}, "heat,b=x v=1.5 7"),
    "two fields": (Series.of("heat"), {"b": 1.0, "a": 2.0}, "heat b=1.0,a=2.0 7"),
    "whole number": (Series.of("heat"), {"v": 20}, "heat v=20 7"),
    "great number": (Series.of("heat"), {"v": 1e300}, "heat v=1e300 7"),
    "small number": (Series.of("heat"), {"v": -5e-324}, "heat v=-5e-324 7"),
    "greater than 64 bits": (Series.of("heat"), {"v": 2**70}, "heat v=1180591620717411303424 7"),
    "boolean": (Series.of("heat"), {"v": True, "w": False}, "heat v=true,w=false 7"),
    "text": (Series.of("heat"), {"v": 'a "b" \\ c,d=e'}, 'heat v="a \\"b\\" \\\\ c,d=e" 7'),
    "empty text": (Series.of("heat"), {"v": ""}, 'heat v="" 7'),
    "text of two lines": (Series.of("heat"), {"v": "a\nb"}, 'heat v="a\nb" 7'),
    "measurement": (Series.of("a b,c=d"), {"v": 1.0}, "a\\ b\\,c=d v=1.0 7"),
    "tag": (Series("m", (("a b,c=d", "e f,g=h"),)), {"v": 1.0}, "m,a\\ b\\,c\\=d=e\\ f\\,g\\=h v=1.0 7"),
    "field": (Series.of("m"), {"a b,c=d": 1.0}, "m a\\ b\\,c\\=d=1.0 7"),
    "umlauts": (Series.of("Wärme", ort="Köln"), {"größe": 1.0}, "Wärme,ort=Köln größe=1.0 7"),
}


@pytest.mark.parametrize(("series", "fields", "line"), LINES.values(), ids=LINES.keys())
def test_a_point_is_one_line(series: Series, fields: Fields, line: str) -> None:
    """Escaped where line protocol asks for it, and nowhere else."""
    assert line_protocol.encode([Point(series, 7, fields)]).decode() == line + "\n"


def test_points_stand_in_their_order() -> None:
    """One line each, in the order given."""
    points = [Point(Series.of("m", d=str(number)), number, {"v": float(number)}) for number in range(3)]

    assert line_protocol.encode(points) == b"m,d=0 v=0.0 0\nm,d=1 v=1.0 1\nm,d=2 v=2.0 2\n"


def test_the_bad_point_is_named() -> None:
    """The error says which measurement and time, and why."""
    points = [Point(Series.of("good"), 1, {"v": 1.0}), Point(Series.of("bad"), 2, {"v": float("nan")})]

    with pytest.raises(RejectedPointsError, match=r"'bad' at 2 ns: the field 'v' is nan"):
        line_protocol.encode(points)


def test_long_writes_go_in_several_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each body holds at most so many points, and none is lost or repeated at a seam."""
    monkeypatch.setattr(line_protocol, "POINTS_PER_BODY", 2)
    points = [Point(Series.of("m"), number, {"v": 1.0}) for number in range(5)]

    bodies = list(line_protocol.bodies(points))

    assert [body.count(b"\n") for body in bodies] == [2, 2, 1]
    assert b"".join(bodies) == line_protocol.encode(points)


def is_encoded(point: Point) -> bool:
    """Whether a point is encoded, and not refused."""
    try:
        line_protocol.encode([point])
    except RejectedPointsError:
        return False
    return True


def is_name(text: str, reserved: Collection[str] = ("time", "_field", "_measurement")) -> bool:
    """Whether InfluxDB can keep a name, by its documentation and by trial."""
    return text not in reserved and not any(letter < " " or letter in "\x7f\\" for letter in text)


def is_tag_value(text: str) -> bool:
    """Whether InfluxDB can keep the value of a tag."""
    return not text.endswith("\\") and not any(letter < " " or letter == "\x7f" for letter in text)


ANY = st.characters(exclude_categories=["Cs"])
AWKWARD = st.sampled_from(" ,=\"'#äöüß€😀\u2028.;:/*~_ab01")
NAMES = st.text(st.one_of(AWKWARD, st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\")), min_size=1)
VALUES = st.text(st.one_of(AWKWARD, st.just("\\"), st.characters(exclude_categories=["Cs", "Cc"])), min_size=1)
TEXTS = st.text(st.one_of(AWKWARD, st.sampled_from('\\"\n\r\t\x00'), ANY))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)

numbers = itertools.count()


@given(
    st.lists(
        st.dictionaries(
            st.one_of(st.sampled_from(["power", "q", "t1"]), NAMES, st.text(max_size=3)),
            st.one_of(FLOATS, st.floats(), st.integers(), st.booleans(), TEXTS, st.sampled_from(["null", ":t", '"'])),
            max_size=3,
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0, 2**63 - 2, 2**63 - 1]),
)
@example([{"power": 1.5}, {"power": "1.5"}], 0)
@example([{"power": 1.5}, {"power": float("nan")}], 0)
@example([{"power": 1.5}, {"power": True}], 0)
@example([{"power": 1.5}, {}], 0)
@example([{"time": 1.5}], 0)
@example([{"power": 1.5}, {"power": 10**400}], 0)
def test_the_quick_way_says_what_the_long_one_says(several: list[Fields], time_ns: int) -> None:
    """Where it says anything: the same lines, but for how a number is written; and it never lets pass what is bad."""
    points = [Point(Series.of("m", d="x y"), time_ns, fields) for fields in several]
    quick = line_protocol._encode_numbers(points)
    if quick is None:
        return
    for line, point in zip(quick.decode().splitlines(), points, strict=True):
        head, fields, at = line_protocol._line(point).rstrip("\n").rsplit(" ", 2)
        assert line.startswith(f"{head} ")
        assert line.endswith(f" {at}")
        said = dict(field.split("=") for field in line.removeprefix(f"{head} ").removesuffix(f" {at}").split(","))
        wanted = dict(field.split("=") for field in fields.split(","))
        assert {name: float(value) for name, value in said.items()} == {n: float(v) for n, v in wanted.items()}


def test_only_what_shares_its_part_with_a_text_goes_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's reading costs its neighbours a little, and no whole write."""
    monkeypatch.setattr(line_protocol, "POINTS_TOGETHER", 2)
    long_way: list[int] = []
    encode_any = line_protocol._encode_any

    def counted(part: Sequence[Point]) -> bytes:
        long_way.append(len(part))
        return encode_any(part)

    monkeypatch.setattr(line_protocol, "_encode_any", counted)
    points = [Point(Series.of("m"), number, {"v": "x" if number == 2 else 1.0}) for number in range(6)]

    assert line_protocol.encode(points).count(b"\n") == 6
    assert long_way == [2]


@pytest.fixture(scope="module")
def influx(influx1: Influx1) -> Iterator[Influx1Store]:
    """One database for all examples; each writes a measurement of its own."""
    store = Influx1Store(influx1.url, f"t{uuid.uuid4().hex}")
    store.prepare()
    yield store
    store.close()


@given(name=st.text(st.one_of(AWKWARD, st.sampled_from("\\\n"), ANY), min_size=1, max_size=5))
@example(name="time")
@example(name="a\\")
def test_a_name_is_encoded_or_refused(name: str) -> None:
    """What InfluxDB would change or lose is refused, and nothing else is."""
    parts = {
        "measurement": (Point(Series.of(name), 7, {"v": 1.0}), not name.startswith("#") and is_name(name, reserved=())),
        "tag": (Point(Series("m", ((name, "x"),)), 7, {"v": 1.0}), is_name(name)),
        "value": (Point(Series("m", (("t", name),)), 7, {"v": 1.0}), is_tag_value(name)),
        "field": (Point(Series.of("m"), 7, {name: 1.0}), is_name(name)),
    }

    assert {part: is_encoded(point) for part, (point, _) in parts.items()} == {
        p: good for p, (_, good) in parts.items()
    }


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    measurement=NAMES,
    tag=NAMES.filter(is_name),
    value=VALUES.filter(is_tag_value),
    fields=st.dictionaries(NAMES.filter(is_name), st.one_of(TEXTS, FLOATS), min_size=1, max_size=4),
)
@example(measurement="m", tag="t", value="C:\\ \\=\\,x", fields={'"': 'a\n"\\', "'": "\x00\r\n"})
@example(measurement=',= "', tag=',= "', value=',= "', fields={',= "': ',= "', "#": 0.1})
@example(measurement="m", tag="same", value="x", fields={"same": 1.0})
def test_what_is_encoded_comes_back_from_a_real_server(
    influx: Influx1Store, measurement: str, tag: str, value: str, fields: dict[str, Any]
) -> None:
    """InfluxDB gives back exactly what was written, however it is asked."""
    middle = len(measurement) // 2  # a measurement of its own, with the first and last letter that were drawn
    measurement = f"{measurement[:middle]}{next(numbers)}{measurement[middle:]}"
    assume(not measurement.startswith("#"))
    point = Point(Series(measurement, ((tag, value),)), 1_700_000_000_000_000_001, fields)

    influx.write([point])

    assert list(influx.series(measurement, 0, 2**63, {tag: value})) == [point]
    assert {name: found.fields[name] for found in influx.latest(measurement) for name in found.fields} == fields
    assert influx.tag_values(measurement, tag) == [value]
