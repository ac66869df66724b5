"""The town's directory, and the registry made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from base.errors import ConfigError, TransientError
from cloud import registry, town

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


def test_the_registry_reads_back_what_was_written(tmp_path: Path) -> None:
    """Names with umlauts, dates that stay texts, intervals of the profile where none is set."""
    output = tmp_path / "registry.yaml"
    written = town.write_registry(towns.make(tmp_path / "town"), output)
    loaded = registry.load(output)
    assert loaded.file == written
    assert loaded.file.sites["plant"].name == "Klärwerk"
    assert [(e.device, e.interval_s, e.since) for e in loaded.file.entries] == [
        ("plant-pump", 10, "1970-01-01"),
        ("school-main", 10, "1970-01-01"),
        ("school-gym", 60, "2026-11-01"),
    ]


def test_a_registry_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """The file is replaced as a whole or not at all."""
    directory = towns.make(tmp_path / "town")
    output = tmp_path / "registry.yaml"
    town.write_registry(directory, output)
    before = output.read_bytes()
    (tmp_path / "registry.yaml.new").mkdir()
    with pytest.raises(TransientError, match="cannot be written"):
        town.write_registry(directory, output)
    assert output.read_bytes() == before


def _registry(tmp_path: Path) -> tuple[Path, str]:
    output = tmp_path / "registry.yaml"
    town.write_registry(towns.make(tmp_path / "town"), output)
    return output, output.read_text()


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("site: school\n  interval_s: 60", "site: kiosk\n  interval_s: 60", "'kiosk'"),
        ("since: '2026-11-01'", "since: '2026-13-01'", "'2026-13-01'"),
        ("device: school-gym", "device: school-main\n  x: 1", "unknown key 'x'"),
        ("format: 1", "format: 2", "2"),
    ],
)
def test_a_broken_registry_is_refused(old: str, new: str, found: str, tmp_path: Path) -> None:
    """A collector never starts on a registry that it does not understand."""
    file, text = _registry(tmp_path)
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        registry.load(file)
    assert found in caught.value.found
    assert caught.value.at.file == file


def test_one_entry_a_day(tmp_path: Path) -> None:
    """Two entries of a device from the same day on would make tags a matter of chance."""
    file, text = _registry(tmp_path)
    file.write_text(text.replace("device: plant-pump", "device: school-main"))
    with pytest.raises(ConfigError, match="'school-main' twice"):
        registry.load(file)
