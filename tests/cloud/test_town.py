"""The town's directory, checked as a whole."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING

import pytest

from base.errors import ConfigError
from cloud import town

import towns

if TYPE_CHECKING:
    from pathlib import Path


def test_a_town_is_counted(tmp_path: Path) -> None:
    """Check reads every file and says what there is."""
    checked = town.check(towns.make(tmp_path / "town"))
    assert (len(checked.gateways), checked.devices, checked.sites) == (2, 3, 2)


BROKEN = [
    ("town", "name: Musterstadt", "nahme: Musterstadt", "town.yaml:1:1", "unknown key 'nahme'"),
    ("sites", "sector: industry", "sector: industrie", "sites.yaml:2:33", "'industrie'"),
    ("sites", "plant:", "Plant:", "sites.yaml:2:1", "'Plant'"),
    ("sites", "lat: 51.36", "lat: 151.36", "sites.yaml:1:70", "151.36"),
    ("gateway", "gateway: school-gw", "gateway: schule-gw", "gateways/school-gw.yaml:1:10", "'schule-gw'"),
    ("gateway", "site: school, unit: 1", "site: scool, unit: 1", "gateways/school-gw.yaml:8:58", "'scool'"),
    ("gateway", "id: school-gym", "id: plant-pump", "gateways/school-gw.yaml:9:14", "plant-gw.yaml:8:14"),
    ("gateway", "profile: janitza/b23", "profile: janitza/b99", "gateways/school-gw.yaml:9:35", "janitza/b99"),
    ("gateway", "since: 2026-11-01", "since: yesterday", "gateways/school-gw.yaml:9:94", "'yesterday'"),
    ("gateway", "since: 2026-11-01", "since: 2026-11-31", "gateways/school-gw.yaml:9:94", "'2026-11-31'"),
    ("gateway", "mqtt:", "prefix: other\nmqtt:", "gateways/school-gw.yaml:2:9", "the prefix 'other'"),
    ("town", "name: M", "prefix: hagen\nname: M", "gateways/plant-gw.yaml:1:1", "no prefix, so 'messnetz'"),
    ("town", "name: M", "timezone: Europe/Berlim\nname: M", "town.yaml:1:11", "'Europe/Berlim'"),
    ("town", "name: M", "timezone: Europe\nname: M", "town.yaml:1:11", "'Europe'"),
]


@pytest.mark.parametrize(("which", "old", "new", "at", "found"), BROKEN)
def test_a_broken_town_names_file_line_and_column(
    which: str, old: str, new: str, at: str, found: str, tmp_path: Path
) -> None:
    """What concerns more than one file is found too: ids, sites, names of files."""
    text = {"town": towns.TOWN, "sites": towns.SITES, "gateway": towns.GATEWAY}[which]
    assert old in text
    directory = towns.make(tmp_path / "town", **{which: text.replace(old, new)})
    with pytest.raises(ConfigError) as caught:
        town.check(directory)
    assert str(caught.value.at) == f"{directory}/{at}"
    assert found in caught.value.found


def test_a_town_without_gateways_is_said(tmp_path: Path) -> None:
    """An empty directory is no town."""
    directory = towns.make(tmp_path / "town")
    for file in (directory / "gateways").iterdir():
        file.unlink()
    with pytest.raises(ConfigError, match="no gateway"):
        town.check(directory)


def test_one_prefix_for_the_whole_town(tmp_path: Path) -> None:
    """As many files as name it, they name the same; a collector hears no other."""
    prefixed = {name: f"prefix: hagen\n{getattr(towns, name.upper())}" for name in ("town", "gateway", "other")}
    assert town.check(towns.make(tmp_path / "town", **prefixed)).file.prefix == "hagen"


def test_a_machine_without_time_zones_judges_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slim container is no reason to refuse a town."""
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    assert town.check(towns.make(tmp_path / "town")).file.timezone == "Europe/Berlin"
