"""A registry that is carried on never alters what it said."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import messnetz
from base.errors import ConfigError
from cloud import history, registry, town
from cloud.history import Placed
from cloud.registry_file import RegistryEntry, RegistryFile, start_of
from wire.town import Site

import towns

if TYPE_CHECKING:
    from pathlib import Path

MONDAY, TUESDAY, FRIDAY = "2026-11-02", "2026-11-03", "2026-11-06"
GYM = "site: school, unit: 2, interval_s: 60, since: 2026-11-01"


class Desk:
    """A town's directory, and the registry that is built from it day by day."""

    def __init__(self, directory: Path) -> None:
        self.town = towns.make(directory / "town")
        self.output = directory / "registry.yaml"

    def edit(self, old: str, new: str, file: str = "gateways/school-gw.yaml") -> None:
        """Change a file of the town."""
        path = self.town / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def build(self, today: str = MONDAY, *, force: bool = False) -> dict[str, list[RegistryEntry]]:
        """Build the registry; returns its entries by device."""
        town.write_registry(self.town, self.output, today=today, force=force)
        entries: dict[str, list[RegistryEntry]] = {}
        for entry in registry.load(self.output).file.entries:
            entries.setdefault(entry.device, []).append(entry)
        return entries


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A town whose first registry stands."""
    desk = Desk(tmp_path)
    desk.build()
    return desk


def test_an_unchanged_town_gives_the_same_file(desk: Desk) -> None:
    """To the byte, on any later day."""
    before = desk.output.read_bytes()
    desk.build(FRIDAY)
    assert desk.output.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (GYM, GYM.replace("school", "plant"), ("school-gw", "janitza/b23", "plant", "industry")),
        ("profile: janitza/b23", "profile: eastron/sdm630", ("school-gw", "eastron/sdm630", "school", "buildings")),
    ],
    ids=["site", "profile"],
)
def test_a_device_that_moves_gets_a_new_entry_from_its_day_on(
    old: str, new: str, place: tuple[str, ...], desk: Desk
) -> None:
    """What was measured before keeps its tags."""
    before = desk.build()["school-gym"]
    desk.edit(old, new)
    desk.edit("since: 2026-11-01", f"since: {TUESDAY}")
    after = desk.build(FRIDAY)["school-gym"]
    assert after[:-1] == before
    assert (after[-1].since, after[-1].place) == (TUESDAY, place)


def test_a_device_that_changes_its_gateway_keeps_its_history(desk: Desk) -> None:
    """The old gateway's late data still find their place."""
    line = next(line for line in towns.GATEWAY.splitlines(keepends=True) if "school-gym" in line)
    desk.edit(line, "")
    desk.edit("    devices:\n", "    devices:\n" + line.replace("2026-11-01", TUESDAY), "gateways/plant-gw.yaml")
    assert [(e.gateway, e.since) for e in desk.build(FRIDAY)["school-gym"]] == [
        ("school-gw", "2026-11-01"),
        ("plant-gw", TUESDAY),
    ]


@pytest.mark.parametrize(
    "since", ["since: 2026-11-01", "since: 2026-10-01", "unit_: 0"], ids=["same", "before", "none"]
)
def test_a_move_without_a_day_of_its_own_is_refused(since: str, desk: Desk) -> None:
    """At the device's line, with what to write there."""
    before = desk.output.read_bytes()
    changed = GYM.replace("site: school", "site: plant").replace("since: 2026-11-01", since)
    desk.edit(GYM, changed.removesuffix(", unit_: 0"))
    with pytest.raises(ConfigError) as caught:
        desk.build(FRIDAY)
    assert caught.value.at.line == 9
    assert (
        caught.value.found == "'school-gym' changed (site school -> plant, sector buildings -> industry) without a day"
    )
    assert caught.value.expected == "`since: YYYY-MM-DD`, the day of the change, after 2026-11-01"
    assert desk.output.read_bytes() == before


def test_a_site_that_changes_its_sector_moves_its_devices(desk: Desk) -> None:
    """Their tags change, so each of them needs a day, the gateway too."""
    desk.edit("sector: industry", "sector: heat", "sites.yaml")
    with pytest.raises(ConfigError, match=r"plant-pump.*sector industry -> heat"):
        desk.build(FRIDAY)
    desk.edit("site: plant,", f"site: plant, since: {FRIDAY},", "gateways/plant-gw.yaml")
    with pytest.raises(ConfigError, match=r"plant-gw.*sector industry -> heat"):
        desk.build(FRIDAY)
    desk.edit("gateway: plant-gw\n", f"gateway: plant-gw\nsince: {FRIDAY}\n", "gateways/plant-gw.yaml")
    assert [(e.sector, e.since) for e in desk.build(FRIDAY)["plant-pump"]] == [
        ("industry", "1970-01-01"),
        ("heat", FRIDAY),
    ]


@pytest.mark.parametrize("since", ["2026-10-01", "2026-12-01"])
def test_a_day_that_was_written_is_never_moved(since: str, desk: Desk) -> None:
    """Earlier or later: readings that have been written would change their place."""
    desk.edit("2026-11-01", since)
    with pytest.raises(ConfigError, match="the registry has here since 2026-11-01"):
        desk.build(FRIDAY)


def test_what_is_no_tag_follows_at_once(desk: Desk) -> None:
    """Interval and privacy."""
    desk.edit("interval_s: 60", "interval_s: 30, privacy: public")
    (entry,) = desk.build(FRIDAY)["school-gym"]
    assert (entry.interval_s, entry.privacy, entry.since) == (30, "public", "2026-11-01")


@pytest.mark.parametrize(("since", "day"), [("", FRIDAY), (f", since: {MONDAY}", MONDAY)])
def test_a_new_device_counts_from_its_day_or_from_today(since: str, day: str, desk: Desk) -> None:
    """What came from its id before was not registered and stays so."""
    desk.edit(
        "    devices:\n", f"    devices:\n      - {{id: new, profile: janitza/b23, site: school, unit: 3{since}}}\n"
    )
    assert [entry.since for entry in desk.build(FRIDAY)["new"]] == [day]
    assert [entry.since for entry in desk.build("2026-12-24")["new"]] == [day]


def test_a_device_that_is_gone_keeps_its_entries(desk: Desk) -> None:
    """With an end, and with its site: late data still find them. It may come back."""
    (desk.town / "gateways" / "plant-gw.yaml").rename(desk.town / "plant-gw.off")
    desk.edit("plant: {name: Klärwerk, sector: industry}\n", "", "sites.yaml")
    with pytest.raises(ConfigError, match="2 of 5 devices that the town no longer has; expected at most 5 %"):
        desk.build(TUESDAY)
    (gone,) = desk.build(TUESDAY, force=True)["plant-pump"]
    assert (gone.since, gone.until) == ("1970-01-01", TUESDAY)
    assert desk.build(FRIDAY)["plant-pump"] == [gone]
    known = registry.load(desk.output)
    assert (len(known), known.file.sites["plant"].name) == (3, "Klärwerk")
    (desk.town / "plant-gw.off").rename(desk.town / "gateways" / "plant-gw.yaml")
    (desk.town / "sites.yaml").write_text(towns.SITES)
    back = desk.build(FRIDAY)["plant-pump"]
    assert [(e.since, e.until) for e in back] == [("1970-01-01", TUESDAY), (FRIDAY, None)]


def test_a_broken_registry_is_not_carried_on(desk: Desk) -> None:
    """Whoever broke it must mend it: it is the history."""
    desk.output.write_text("{")
    with pytest.raises(ConfigError):
        desk.build()
    assert desk.output.read_text() == "{"


def test_the_command_refuses_with_2_and_is_told_otherwise(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """`--force` is for those who mean it."""
    command = ["town", "registry", str(desk.town), "--output", str(desk.output)]
    (desk.town / "gateways" / "plant-gw.yaml").unlink()
    with pytest.raises(SystemExit) as left:
        messnetz.run(command)
    assert left.value.code == 2
    assert "2 of 5 devices that the town no longer has" in capsys.readouterr().err
    assert messnetz.run([*command, "--force"]) == 0


DAYS = [f"2026-11-{day:02}" for day in range(1, 29)]
PLACES = ("school", "plant", "works")
towns_of_a_day = st.dictionaries(st.sampled_from("abc"), st.tuples(st.sampled_from(PLACES), st.booleans()))


def _placed(device: str, site: str, since: str | None) -> Placed:
    entry = RegistryEntry(device=device, gateway="gw", profile="janitza/b23", site=site, sector="heat", interval_s=1)
    return Placed(entry, since, None)  # type: ignore[arg-type] # no file here


@given(st.lists(towns_of_a_day, min_size=2, max_size=10))
def test_no_day_that_has_passed_changes_its_tags(days: list[dict[str, tuple[str, bool]]]) -> None:
    """Whatever comes, moves, goes and comes back: yesterday stays as it was when it was yesterday."""
    entries = history.first([_placed(device, site, None) for device, (site, _) in days[0].items()])
    said: dict[tuple[str, str], str | None] = {}
    for today, devices in zip(DAYS[1:], days[1:], strict=False):
        placed = [_placed(device, site, today if dated else None) for device, (site, dated) in devices.items()]
        with suppress(ConfigError):  # a move without a day: the registry stays as it was
            entries = history.extend(entries, placed, today)
        sites = {site: Site(name=site, sector="heat") for site in PLACES}
        known = registry.Registry(RegistryFile(format=1, town="x", sites=sites, entries=entries))
        for device in "abc":
            for day in DAYS[: DAYS.index(today)]:
                found = known.find(device, start_of(day))
                site = found.entry.site if found else None
                assert said.setdefault((device, day), site) == site
