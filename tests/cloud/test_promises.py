"""What the registry promises, whatever a town does to its files and on whatever days it is built."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import ConfigError, Position
from cloud import history, registry, registry_file
from cloud.amended import amendments
from cloud.history import Placed, When
from cloud.registry_file import RegistryEntry, RegistryFile, start_of
from cloud.routing import route
from wire.readings import Reading, Sample
from wire.town import Site

FIRST_DAY = date(2026, 11, 1)
DAYS = [(FIRST_DAY + timedelta(days=number)).isoformat() for number in range(-8, 40)]
SITES = {site: Site(name=site, sector="heat") for site in ("school", "plant")}
KEEP = "keep"


class Line(NamedTuple):
    """A device's line in the town's files, as it is on one day."""

    gateway: str
    profile: str
    site: str
    since: int | str | None
    """In days from the day of the build; `keep`: the date that stood there before."""


class Build(NamedTuple):
    """One run of `town registry`: so many days after the last one, with these lines."""

    later_d: int
    lines: dict[str, Line]
    backdate: bool


lines = st.builds(
    Line,
    gateway=st.sampled_from(["gw-a", "gw-b"]),
    profile=st.sampled_from(["janitza/b23", "eastron/sdm630"]),
    site=st.sampled_from(sorted(SITES)),
    since=st.sampled_from([None, None, KEEP, KEEP, 1, 1, 2, 5, 0, -1, -7]),
)
devices = st.dictionaries(st.sampled_from(["m1", "m2"]), lines)
edits = st.builds(Build, st.integers(0, 3), devices, st.just(value=False))
bold_edits = st.builds(Build, st.integers(0, 3), devices, st.booleans())


class Desk:
    """Builds registries one after the other, as `town registry` does; refused ones leave the last as it is."""

    def __init__(self) -> None:
        self.day = FIRST_DAY
        self.entries: list[RegistryEntry] | None = None
        self._since: dict[str, str | None] = {}

    @property
    def today(self) -> str:
        """The day of the last build."""
        return self.day.isoformat()

    def build(self, build: Build) -> list[Placed] | None:
        """Edit and build; returns what the town has, None where that was refused."""
        self.day += timedelta(days=build.later_d)
        placed = [self._placed(device, line) for device, line in build.lines.items()]
        if self.entries is None:
            self.entries = history.first(placed)
            return placed
        with suppress(ConfigError):
            self.entries = history.extend(self.entries, placed, When(self.today, build.backdate))
            return placed
        return None

    def _placed(self, device: str, line: Line) -> Placed:
        since = self._since.get(device) if line.since == KEEP else self._written(line.since)
        self._since[device] = since
        entry = RegistryEntry(
            device=device, gateway=line.gateway, profile=line.profile, site=line.site, sector="heat", interval_s=1
        )
        return Placed(entry, since, Position(Path("gw.yaml")))

    def _written(self, offset: int | str | None) -> str | None:
        return None if offset is None else (self.day + timedelta(days=int(offset))).isoformat()


def compiled(entries: list[RegistryEntry]) -> registry.Registry:
    """The registry as a collector has it."""
    return registry.Registry(RegistryFile(format=1, town="x", sites=SITES, entries=entries))


def tags(known: registry.Registry, gateway: str, device: str, at_ms: int) -> tuple[object, ...] | None:
    """Where routing puts a reading; None where it is unregistered."""
    sample = Sample(device, at_ms, (Reading("active_power", 1.0, "W"),))
    (point,) = route(gateway, 1, [sample], known)
    return None if point.series.measurement == "unregistered" else (point.series.measurement, point.series.tags)


def moments(until: str) -> list[int]:
    """First and last millisecond of every day up to and with one, in Unix milliseconds."""
    days = [start_of(day) for day in DAYS if day <= until]
    return [at_ms for day in days for at_ms in (day, day + 86_399_999)]


@given(st.lists(edits, min_size=2, max_size=8))
def test_a_reading_that_had_a_place_keeps_it(builds: list[Build]) -> None:
    """Whatever comes, moves, is swapped, goes and comes back: of all readings up to today, by routing itself."""
    desk = Desk()
    said: dict[tuple[str, str, int], object] = {}
    for build in builds:
        desk.build(build)
        known = compiled(desk.entries or [])
        for device in ("m1", "m2"):
            for at_ms in moments(desk.today):
                for gateway in ("gw-a", "gw-b"):
                    place = tags(known, gateway, device, at_ms)
                    if place is not None or (gateway, device, at_ms) in said:
                        assert said.setdefault((gateway, device, at_ms), place) == place


@given(st.lists(edits, min_size=2, max_size=8))
def test_collectors_with_an_older_and_a_newer_registry_agree(builds: list[Build]) -> None:
    """Up to the end of the day on which the newer one was built; what the older did not know, it left unregistered."""
    desk = Desk()
    desk.build(builds[0])
    older = compiled(desk.entries or [])
    for build in builds[1:]:
        desk.build(build)
        newer = compiled(desk.entries or [])
        for device in ("m1", "m2"):
            for at_ms in moments(desk.today):
                before, after = older.find(device, at_ms), newer.find(device, at_ms)
                if before is not None:
                    assert after is not None
                    assert after.entry.place == before.entry.place
        older = newer


@given(st.lists(bold_edits, min_size=2, max_size=8))
def test_a_town_that_passed_passes_again(builds: list[Build]) -> None:
    """Nobody has to touch a file because a day went by; and the registry stays as it is."""
    desk = Desk()
    for build in builds:
        placed = desk.build(build)
        if placed is None or desk.entries is None:
            continue
        for later_d in (0, 1, 30):
            today = (desk.day + timedelta(days=later_d)).isoformat()
            assert by_day(history.extend(desk.entries, placed, When(today))) == by_day(desk.entries)


def by_day(entries: list[RegistryEntry]) -> list[tuple[str, ...]]:
    """Entries in one order, by all that decides on tags."""
    return sorted((entry.device, entry.since, entry.until or "", *entry.place) for entry in entries)


@given(st.lists(bold_edits, min_size=2, max_size=8))
def test_what_is_built_can_be_loaded(builds: list[Build]) -> None:
    """No entry ends before it begins, and none stands twice."""
    desk = Desk()
    for build in builds:
        desk.build(build)
        seen: set[tuple[str, str]] = set()
        for entry in desk.entries or []:
            assert registry_file._fault(entry, SITES, seen) is None
            seen.add((entry.device, entry.since))


@pytest.mark.slow
@given(st.lists(bold_edits, min_size=2, max_size=8))
@hypothesis.settings(max_examples=200)
def test_every_amendment_is_told(builds: list[Build]) -> None:
    """What `town registry` says differently of a day that has come is told from its first day on, and nothing else."""
    desk = Desk()
    desk.build(builds[0])
    for build in builds[1:]:
        before = desk.entries or []
        desk.build(build)
        after = desk.entries or []
        told = list(amendments(before, after, When(desk.today).tomorrow))
        assert build.backdate or not any(amendment.is_altered for amendment in told)
        old, new = compiled(before), compiled(after)
        for device in ("m1", "m2"):
            differing = [
                day
                for day in ("1970-01-01", *DAYS)
                if day <= desk.today and place(old, device, day) != place(new, device, day)
            ]
            days = [amendment.since for amendment in told if amendment.device == device]
            assert days[:1] == differing[:1]
            assert set(days) <= set(differing)


def place(known: registry.Registry, device: str, day: str) -> tuple[str, ...] | None:
    """Where a registry has a device on a day."""
    found = known.find(device, start_of(day))
    return None if found is None else found.entry.place


def test_a_town_of_any_size_may_lose_one_in_twenty() -> None:
    """Of the devices that it has, whatever became of them before."""
    entries = [
        RegistryEntry(device=f"m{n}", gateway="g", profile="janitza/b23", site="school", sector="heat", interval_s=1)
        for n in range(40)
    ]
    moved = msgspec.structs.replace(entries[0], since="2026-11-05", site="plant", until="2026-11-09")
    placed = [Placed(entry, None, Position(Path("gw.yaml"))) for entry in entries[3:]]
    assert history.lost([*entries, moved], placed) == (2, 39)
