"""A registry that is carried on never alters what it said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import messnetz
from base.errors import ConfigError, Position
from cloud import registry, town
from cloud.amended import check_unaltered

import towns

if TYPE_CHECKING:
    from pathlib import Path

    from cloud.amended import Amendment
    from cloud.registry_file import RegistryEntry

MONDAY, TUESDAY, WEDNESDAY, FRIDAY = "2026-11-02", "2026-11-03", "2026-11-04", "2026-11-06"
GYM = "site: school, unit: 2, interval_s: 60, since: 2026-11-01"


class Desk:
    """A town's directory, and the registry that is built from it day by day."""

    def __init__(self, directory: Path) -> None:
        self.town = towns.make(directory / "town")
        self.output = directory / "registry.yaml"
        self.amended: list[Amendment] = []
        """What the last build said differently of days that had come."""

    def edit(self, old: str, new: str, file: str = "gateways/school-gw.yaml") -> None:
        """Change a file of the town."""
        path = self.town / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def build(
        self, today: str = MONDAY, *, force: bool = False, backdate: bool = False
    ) -> dict[str, list[RegistryEntry]]:
        """Build the registry; returns its entries by device."""
        built = town.write_registry(self.town, self.output, today=today, force=force, backdate=backdate)
        self.amended = built.amended
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
    after = desk.build(MONDAY)["school-gym"]
    assert desk.build(FRIDAY)["school-gym"] == after
    assert after[:-1] == before
    assert (after[-1].since, after[-1].place) == (TUESDAY, place)


def test_a_device_that_changes_its_gateway_keeps_its_history(desk: Desk) -> None:
    """The old gateway's late data still find their place."""
    line = next(line for line in towns.GATEWAY.splitlines(keepends=True) if "school-gym" in line)
    desk.edit(line, "")
    desk.edit("    devices:\n", "    devices:\n" + line.replace("2026-11-01", TUESDAY), "gateways/plant-gw.yaml")
    assert [(e.gateway, e.since) for e in desk.build(MONDAY)["school-gym"]] == [
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
    assert caught.value.expected == f"`since: YYYY-MM-DD`, the day of the change, after {FRIDAY}"
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
    assert [(e.sector, e.since) for e in desk.build(TUESDAY)["plant-pump"]] == [
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
    assert (gone.since, gone.until) == ("1970-01-01", WEDNESDAY)
    assert desk.build(FRIDAY)["plant-pump"] == [gone]
    known = registry.load(desk.output)
    assert (len(known), known.file.sites["plant"].name) == (3, "Klärwerk")
    (desk.town / "plant-gw.off").rename(desk.town / "gateways" / "plant-gw.yaml")
    (desk.town / "sites.yaml").write_text(towns.SITES)
    back = desk.build(FRIDAY)["plant-pump"]
    assert [(e.since, e.until) for e in back] == [("1970-01-01", WEDNESDAY), (FRIDAY, None)]


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


PUMP = "{id: plant-pump, profile: eastron/sdm630, site: plant, unit: 1"
MOVED = PUMP.replace("site: plant", "site: school")


@pytest.mark.parametrize("since", [MONDAY, FRIDAY])
def test_a_move_that_has_begun_is_refused(since: str, desk: Desk) -> None:
    """Readings of that day are stored as they were, here or by another collector; what to write is said."""
    desk.edit(PUMP, f"{MOVED}, since: {since}", "gateways/plant-gw.yaml")
    with pytest.raises(ConfigError) as caught:
        desk.build(FRIDAY)
    assert f"since {since}, of which readings are stored as they were" in caught.value.found
    assert caught.value.expected.startswith("2026-11-07 or later")


def test_a_move_that_has_begun_may_be_meant(desk: Desk) -> None:
    """`--backdate` takes it, and what it means for what is stored is told."""
    desk.edit(PUMP, f"{MOVED}, since: {TUESDAY}", "gateways/plant-gw.yaml")
    entries = desk.build(FRIDAY, backdate=True)["plant-pump"]
    assert [(e.site, e.since) for e in entries] == [("plant", "1970-01-01"), ("school", TUESDAY)]
    (amendment,) = desk.amended
    assert (amendment.device, amendment.since, amendment.is_altered) == ("plant-pump", TUESDAY, True)
    assert "stays under plant-gw/plant/industry" in amendment.say()
    assert "lies under plant-gw/school/buildings" in amendment.say()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (PUMP, ["plant"]),
        (f"{MOVED}, since: 2026-11-20", ["plant", "school"]),
        (f"{MOVED.replace('sdm630', 'sdm120')}, since: 2026-11-10", ["plant", "school"]),
    ],
    ids=["called off", "postponed", "of another profile"],
)
def test_a_plan_may_change(line: str, expected: list[str], desk: Desk) -> None:
    """An entry that is yet to begin has placed no reading."""
    planned = f"{MOVED}, since: 2026-11-10"
    desk.edit(PUMP, planned, "gateways/plant-gw.yaml")
    assert len(desk.build(MONDAY)["plant-pump"]) == 2
    desk.edit(planned, line, "gateways/plant-gw.yaml")
    entries = desk.build(FRIDAY)["plant-pump"]
    assert [entry.site for entry in entries] == expected
    assert len(expected) == 1 or entries[-1].since in line
    assert desk.amended == []


def test_a_device_that_was_there_before_it_was_registered_may_begin_earlier(desk: Desk) -> None:
    """What it sent had no place: it gets one, and nothing that had one loses it."""
    before = desk.build()["school-gym"]
    desk.edit("since: 2026-11-01", "since: 2026-10-01")
    with pytest.raises(ConfigError, match="--backdate, if what it sent before is to be adopted"):
        desk.build(FRIDAY)
    after = desk.build(FRIDAY, backdate=True)["school-gym"]
    assert after[1:] == before
    assert (after[0].since, after[0].place) == ("2026-10-01", before[0].place)
    (amendment,) = desk.amended
    assert (amendment.since, amendment.old) == ("2026-10-01", None)
    assert "`messnetz cloud adopt`" in amendment.say()
    assert desk.build(FRIDAY)["school-gym"] == after


def test_what_is_gone_today_is_stored_as_it_was_until_tomorrow(desk: Desk) -> None:
    """A batch of this morning that is sent again must not fall elsewhere in the afternoon."""
    line = next(line for line in towns.GATEWAY.splitlines(keepends=True) if "school-gym" in line)
    desk.edit(line, "")
    (gone,) = desk.build(FRIDAY, force=True)["school-gym"]
    assert gone.until == "2026-11-07"
    desk.edit("    devices:\n", "    devices:\n" + line)
    (back,) = desk.build(FRIDAY)["school-gym"]
    assert back.until is None


def test_collectors_take_a_device_that_ends_or_begins_today_and_no_move_of_today(desk: Desk) -> None:
    """Of what is stored today, only the move lets a gateway that sends again put a reading under two places."""
    at = Position(desk.output)
    in_force = registry.load(desk.output).file
    line = next(line for line in towns.GATEWAY.splitlines(keepends=True) if "school-gym" in line)
    desk.edit(line, line.replace("school-gym", "school-hall"))
    desk.build(FRIDAY, force=True)
    carried_on = registry.load(desk.output).file
    check_unaltered(in_force, carried_on, FRIDAY, at)
    desk.edit(PUMP, f"{MOVED}, since: {FRIDAY}", "gateways/plant-gw.yaml")
    desk.build(FRIDAY, backdate=True)
    with pytest.raises(ConfigError, match=f"plant-pump since {FRIDAY}"):
        check_unaltered(carried_on, registry.load(desk.output).file, FRIDAY, at)


def test_a_day_of_before_it_went_does_not_stop_a_device_that_is_back(desk: Desk) -> None:
    """Its line in the town may stay as it was, for ever."""
    line = next(line for line in towns.GATEWAY.splitlines(keepends=True) if "school-gym" in line)
    desk.edit(line, "")
    desk.build(MONDAY, force=True)
    desk.edit("    devices:\n", "    devices:\n" + line)
    back = desk.build(FRIDAY)["school-gym"]
    assert [(e.since, e.until) for e in back] == [("2026-11-01", TUESDAY), (FRIDAY, None)]
    assert desk.build("2026-12-24")["school-gym"] == back


def test_a_device_that_moved_and_went_is_lost_once(desk: Desk) -> None:
    """Else nobody could build a registry without --force any more."""
    desk.edit(PUMP, f"{MOVED}, since: {TUESDAY}", "gateways/plant-gw.yaml")
    desk.build(MONDAY)
    (desk.town / "gateways" / "plant-gw.yaml").unlink()
    desk.build(FRIDAY, force=True)
    assert len(desk.build("2026-11-07")["plant-pump"]) == 2


def test_the_command_tells_what_a_backdated_move_means(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused by its line; where it is meant, a line says what to do."""
    desk.edit(PUMP, f"{MOVED}, since: 2020-01-01", "gateways/plant-gw.yaml")
    command = ["town", "registry", str(desk.town), "--output", str(desk.output)]
    with pytest.raises(SystemExit) as left:
        messnetz.run(command)
    assert left.value.code == 2
    assert "--backdate if it must be" in capsys.readouterr().err
    assert messnetz.run([*command, "--backdate"]) == 0
    assert capsys.readouterr().out.startswith(
        "plant-pump: what was measured since 2020-01-01 and is stored stays under"
    )
    assert messnetz.run(command) == 0
    assert capsys.readouterr().out == ""
