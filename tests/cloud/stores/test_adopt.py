"""Adoption, on every store: what the registry learns later lies where it would lie had it always been known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloud import registry, town
from cloud.adopt import Choice, adopt
from cloud.export import readings
from cloud.outcomes import Kind, Outcome, Tally
from cloud.routing import NS_PER_MS, route
from wire.readings import Flag, Reading, Sample

import towns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cloud.points import Point
    from cloud.registry import Registry
    from cloud.stores.interface import Store

AT_MS = 1_795_000_000_123  # 2026-11-18
ALL = (0, 9_000_000_000_000)
ALL_NS = (ALL[0] * NS_PER_MS, ALL[1] * NS_PER_MS)
EVERYTHING = Choice(*ALL)
NEW = "      - {id: school-new, profile: eastron/sdm630, site: school, unit: 3, since: 2026-11-01}\n"


@pytest.fixture
def registries(tmp_path: Path) -> tuple[Registry, Registry]:
    """The registry before somebody registered `school-new`, and after."""
    directory = towns.make(tmp_path / "town")
    town.write_registry(directory, tmp_path / "registry.yaml", today="2026-11-02")
    before = registry.load(tmp_path / "registry.yaml")
    gateway = directory / "gateways" / "school-gw.yaml"
    gateway.write_text(gateway.read_text().replace("    devices:\n", "    devices:\n" + NEW))
    town.write_registry(directory, tmp_path / "registry.yaml", today="2026-11-20")
    return before, registry.load(tmp_path / "registry.yaml")


def minute(number: int, device: str = "school-new") -> Sample:
    """What a meter says in one minute: good readings, a suspect one, and one that is marked."""
    return Sample(
        device,
        AT_MS + number * 60_000,
        (
            Reading("active_power", 1000.0 + number, "W"),
            Reading("voltage", 230.0, "V", "L1"),
            Reading("voltage", 9e9, "V", "L2", Flag.RANGE),
            Reading("frequency", 50.0, "Hz", flags=Flag.MANUAL),
        ),
    )


def write(store: Store, known: Registry, *batches: list[Sample]) -> None:
    """Store batches as a collector does; they count from 1."""
    for number, samples in enumerate(batches, start=1):
        store.write(route("school-gw", number, samples, known))


def placed(store: Store) -> list[Point]:
    """Every point that has a place."""
    names = ("electricity", "electricity_suspect")
    return [point for name in names for point in store.series(name, *ALL_NS)]


def run(store: Store, known: Registry, choice: Choice = EVERYTHING, *, is_dry: bool = False) -> Tally:
    """Adopt."""
    return adopt(store, known, choice, is_dry=is_dry, looked=lambda _readings, _at_ms: None)


def waiting(store: Store) -> int:
    """Readings that count as unregistered."""
    return len(list(readings(store, *ALL, only=["unregistered"])))


def test_what_is_adopted_lies_where_it_would_have_lain(
    store: Store, open_again: Callable[[], Store], registries: tuple[Registry, Registry]
) -> None:
    """The same points, to the millisecond, tag and flag; and nothing of them counts as unregistered."""
    before, after = registries
    batches = [[minute(0), minute(0, "school-main")], [minute(1), minute(2)]]
    write(store, before, *batches)
    assert waiting(store) == 12

    tally = run(store, after)

    assert [(device, outcome.kind, count.readings) for _, device, outcome, count in tally] == [
        ("school-new", Kind.ADOPTED, 12)
    ]
    expected = [point for samples in batches for point in route("school-gw", 1, samples, after)]
    again = open_again()
    again.prepare()
    assert by_place(placed(again)) == by_place(expected)
    assert waiting(again) == 0
    again.close()


def by_place(points: list[Point]) -> list[tuple[object, ...]]:
    """Points in one order."""
    return sorted((p.series.measurement, p.series.tags, p.time_ns, sorted(p.fields.items())) for p in points)


def test_a_second_run_finds_nothing_to_do(store: Store, registries: tuple[Registry, Registry]) -> None:
    """Nothing is there twice, and the marks stay."""
    before, after = registries
    write(store, before, [minute(0), minute(1)])
    run(store, after)
    held = by_place(placed(store))

    assert run(store, after).total() == 0

    assert by_place(placed(store)) == held


def test_what_arrives_again_stays_adopted(store: Store, registries: tuple[Registry, Registry]) -> None:
    """A collector that still has the older registry writes the original once more: it is the same point."""
    before, after = registries
    write(store, before, [minute(0)])
    run(store, after)
    write(store, before, [minute(0)])
    assert waiting(store) == 0


def test_what_was_sent_again_to_its_place_is_only_marked(store: Store, registries: tuple[Registry, Registry]) -> None:
    """It counts once."""
    before, after = registries
    write(store, before, [minute(0)])
    write(store, after, [minute(0)])
    held = by_place(placed(store))

    assert run(store, after).total(Kind.PRESENT) == 4

    assert by_place(placed(store)) == held
    assert waiting(store) == 0


def test_derived_data_is_told(store: Store, registries: tuple[Registry, Registry]) -> None:
    """Each device and hour that was written to is named, so that its rollups are computed again."""
    before, after = registries
    write(store, before, [minute(0), minute(59), minute(61)])
    run(store, after)
    hour_ns = 3600 * 10**9
    touched = list(store.series("touched", *ALL_NS))
    assert [point.series.tag("device") for point in touched] == ["school-new"] * len(touched)
    hours = {(AT_MS + number * 60_000) * NS_PER_MS // hour_ns * hour_ns for number in (0, 59, 61)}
    assert {point.time_ns for point in touched} == hours
    assert all(point.fields.keys() == {"written_at_ms"} for point in touched)


def test_a_look_writes_nothing(store: Store, registries: tuple[Registry, Registry]) -> None:
    """And says the same as the run that follows."""
    before, after = registries
    write(store, before, [minute(0), minute(1, "nobody")])
    names = store.measurements()
    look = run(store, after, is_dry=True)
    assert (look.total(Kind.TO_ADOPT), look.total(Kind.UNKNOWN)) == (4, 4)
    assert (store.measurements(), waiting(store)) == (names, 8)
    assert run(store, after).total(Kind.ADOPTED) == 4


@pytest.mark.parametrize(
    ("sample", "outcome"),
    [
        (minute(0, "nobody"), Outcome(Kind.UNKNOWN)),
        (minute(0, "plant-pump"), Outcome(Kind.OTHER_GATEWAY, "plant-gw")),
        (minute(-30 * 24 * 60), Outcome(Kind.BEFORE, "2026-11-01")),
        (Sample("school-new", AT_MS, (Reading("temp_air", 1.0, "Cel"),)), Outcome(Kind.QUANTITY, "eastron/sdm630")),
        (
            Sample("school-new", AT_MS, (Reading("voltage", 1.0, "V", "L9"),)),
            Outcome(Kind.QUANTITY, "eastron/sdm630"),
        ),
        (Sample("school-new", AT_MS, (Reading("active_power", 1.0, "kW"),)), Outcome(Kind.UNIT, "kW, not W")),
    ],
    ids=["unknown", "other gateway", "before its entry", "quantity", "channel", "unit"],
)
def test_what_has_no_place_stays_and_says_why(
    sample: Sample, outcome: Outcome, store: Store, registries: tuple[Registry, Registry]
) -> None:
    """Whole, as it came."""
    before, after = registries
    write(store, before, [sample])
    ((gateway, device, found, count),) = run(store, after)
    assert (gateway, device, found, count.readings) == ("school-gw", sample.device, outcome, len(sample.readings))
    assert waiting(store) == len(sample.readings)
    assert placed(store) == []


def test_a_value_in_its_place_is_never_replaced(store: Store, registries: tuple[Registry, Registry]) -> None:
    """Two readings of one device, time, quantity and channel: as routing does, the second keeps no place."""
    before, after = registries
    second = Sample("school-new", AT_MS, (Reading("active_power", -1.0, "W"),))
    write(store, before, [minute(0), Sample("x", AT_MS, (Reading("magic", 1.0, "W"),)), second])

    for _ in range(2):
        tally = run(store, after)
        assert tally.total(Kind.TAKEN) == 1

    points = placed(store)
    assert [point.fields["active_power"] for point in points if "active_power" in point.fields] == [1000.0]
    assert waiting(store) == 2


def test_flags_of_one_point_come_together(store: Store, registries: tuple[Registry, Registry]) -> None:
    """Those of readings that were there, and of those that are adopted beside them."""
    before, after = registries
    there = Sample("school-new", AT_MS, (Reading("active_power", 1.0, "W", flags=Flag.CLOCK_UNSYNCED),))
    late = Sample("school-new", AT_MS, (Reading("frequency", 50.0, "Hz", flags=Flag.MANUAL),))
    write(store, after, [there])
    write(store, before, [late])
    run(store, after)
    (point,) = placed(store)
    assert point.fields == {
        "active_power": 1.0,
        "frequency": 50.0,
        "q": float(Flag.CLOCK_UNSYNCED | Flag.MANUAL),
    }


def test_only_what_was_chosen(store: Store, registries: tuple[Registry, Registry]) -> None:
    """By device, gateway and time, the end left out."""
    before, after = registries
    write(store, before, [minute(0), minute(1), minute(2), minute(1, "nobody")])
    span = (AT_MS + 60_000, AT_MS + 120_000)
    assert run(store, after, Choice(*ALL, gateway="plant-gw")).total() == 0
    assert run(store, after, Choice(*ALL, device="nobody")).total(Kind.UNKNOWN) == 4
    assert run(store, after, Choice(*span)).total() == 8
    assert run(store, after).total(Kind.ADOPTED) == 8


def test_long_and_sparse_data_comes_in_pieces(
    store: Store, registries: tuple[Registry, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days without any reading and pieces that end in the midst of a millisecond lose nothing."""
    monkeypatch.setattr("cloud.adopt.MOST_READINGS", 7)
    before, after = registries
    samples = [minute(number * 24 * 60 * (1 if number < 3 else 40)) for number in range(6)]
    samples += [minute(number) for number in range(1, 9)]
    write(store, before, *([sample] for sample in samples))
    seen: list[int] = []
    tally = adopt(store, after, EVERYTHING, is_dry=False, looked=lambda count, _at_ms: seen.append(count))
    assert tally.total(Kind.ADOPTED) == sum(seen) == 4 * len(samples)
    assert max(seen) == 7
    expected = [point for sample in samples for point in route("school-gw", 1, [sample], after)]
    assert by_place(placed(store)) == by_place(expected)


def test_many_devices_are_found_in_their_places(
    store: Store, tmp_path: Path, registries: tuple[Registry, Registry]
) -> None:
    """Also where they are too many to be asked for one by one."""
    before, _ = registries
    names = [f"school-{number}" for number in range(30)]
    directory = tmp_path / "town"
    lines = "".join(
        f"      - {{id: {name}, profile: eastron/sdm630, site: school, unit: {unit}, since: 2026-11-01}}\n"
        for unit, name in enumerate(names, start=10)
    )
    gateway = directory / "gateways" / "school-gw.yaml"
    gateway.write_text(gateway.read_text().replace("    devices:\n", "    devices:\n" + lines))
    town.write_registry(directory, tmp_path / "registry.yaml", today="2026-11-20")
    after = registry.load(tmp_path / "registry.yaml")
    samples = [minute(0, name) for name in names]
    write(store, before, samples)
    write(store, after, samples[:10])
    tally = run(store, after)
    assert (tally.total(Kind.PRESENT), tally.total(Kind.ADOPTED)) == (40, 80)
    assert by_place(placed(store)) == by_place(route("school-gw", 1, samples, after))
