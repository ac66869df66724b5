"""The town's directory, checked as a whole."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING

import pytest

from base.errors import ConfigError
from cloud import registry, town
from cloud.routing import route
from wire.readings import Reading, Sample

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
    ("gateway", "\nsite: school\n", "\n", "gateways/school-gw.yaml:1:10", "no site"),
    ("gateway", "\nsite: school", "\nsite: scool", "gateways/school-gw.yaml:10:7", "the site 'scool'"),
    ("gateway", "\nsite: school", "\nsince: soon\nsite: school", "gateways/school-gw.yaml:10:8", "'soon'"),
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


def test_a_gateway_is_a_device_of_its_own(tmp_path: Path) -> None:
    """Its condition goes to measurement `gateway`, under its own site; it is not counted among the devices."""
    output = tmp_path / "registry.yaml"
    directory = towns.make(tmp_path / "town", other=f"{towns.OTHER}interval_s: 30\n")
    town.write_registry(directory, output)
    known = registry.load(output)
    sample = Sample(
        "plant-gw", 1_795_345_200_000, (Reading("temp_cpu", 47.5, "Cel"), Reading("spool_depth", 3, "count"))
    )
    (point,) = route("plant-gw", 1, [sample], known)
    assert point.series.measurement == "gateway"
    assert dict(point.series.tags) == {
        "device": "plant-gw",
        "gateway": "plant-gw",
        "sector": "industry",
        "site": "plant",
    }
    assert point.fields == {"temp_cpu": 47.5, "spool_depth": 3}
    intervals = {entry.device: entry.interval_s for entry in known.file.entries}
    assert (intervals["plant-gw"], intervals["school-gw"]) == (30, 60)
    (stranger, _) = route("school-gw", 1, [sample], known)
    assert stranger.series.measurement == "unregistered"


BANDS = [
    ("dead_band: {temp_air: 1}", 60),
    ("dead_band: {temp_air: 1, humidity: 2}", 900),
    ("dead_band: {temp_air: 1, humidity: 2}, dead_band_max_s: 30", 60),
    ("dead_band: {temp_air: 1, humidity: 2}, dead_band_max_s: 3600", 3600),
]


@pytest.mark.parametrize(("band", "interval_s"), BANDS)
def test_the_registry_expects_a_device_as_rarely_as_its_dead_band_lets_it_be(
    band: str, interval_s: float, tmp_path: Path
) -> None:
    """Only where every quantity may be left out; else a sample comes with each reading."""
    device = f"{{id: plant-pump, profile: xy/xy-md02, site: plant, unit: 1, {band}}}"
    other = towns.OTHER.replace("{id: plant-pump, profile: eastron/sdm630, site: plant, unit: 1}", device)
    (pump,) = [
        placed
        for placed in town.check(towns.make(tmp_path / "town", other=other)).placed
        if placed.entry.device == "plant-pump"
    ]
    assert pump.entry.interval_s == interval_s


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gateways/annex-gw.yml", "annex-gw.yaml"),
        ("gateways/annex-gw.YAML", "annex-gw.yaml"),
        ("hosts.yaml", "hosts.yml"),
    ],
)
def test_a_file_that_nobody_would_read_is_an_error(name: str, expected: str, tmp_path: Path) -> None:
    """It names the file and the right suffix."""
    directory = towns.make(tmp_path / "town")
    (directory / name).write_text("{}")
    with pytest.raises(ConfigError) as caught:
        town.check(directory)
    assert caught.value.at.file == directory / name
    assert "the suffix ." in caught.value.found
    assert caught.value.expected.startswith(expected)
