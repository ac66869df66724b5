"""The registry as a file, and what it finds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from base import strict_yaml
from base.errors import ConfigError, TransientError
from cloud import registry, registry_file, town
from cloud.registry_file import RegistryEntry, RegistryFile
from wire.town import Site

import towns

DAY_MS = 86_400_000
CITY = 20_000


def _entry(device: str, **changes: object) -> RegistryEntry:
    plain = {
        "device": device,
        "gateway": "gw",
        "profile": "eastron/sdm630",
        "site": "school",
        "sector": "buildings",
        "interval_s": 10,
        **changes,
    }
    return msgspec.convert(plain, RegistryEntry)


def _file(*entries: RegistryEntry) -> RegistryFile:
    sites = {"school": Site(name="Schule am Ring", sector="buildings")}
    return RegistryFile(format=1, town="Musterstadt", sites=sites, entries=list(entries))


def test_the_registry_reads_back_what_was_written(tmp_path: Path) -> None:
    """Names with umlauts, dates that stay texts, intervals of the profile where none is set."""
    output = tmp_path / "registry.yaml"
    written = town.write_registry(towns.make(tmp_path / "town"), output).file
    loaded = registry.load(output)
    assert loaded.file == written
    assert loaded.file.sites["plant"].name == "Klärwerk"
    assert [(e.device, e.sector, e.interval_s, e.since) for e in loaded.file.entries] == [
        ("plant-pump", "industry", 10, "1970-01-01"),
        ("school-main", "buildings", 10, "1970-01-01"),
        ("school-gym", "buildings", 60, "2026-11-01"),
        ("plant-gw", "industry", 60, "1970-01-01"),
        ("school-gw", "buildings", 60, "1970-01-01"),
    ]


def test_a_registry_is_json_and_yaml_with_a_device_a_line() -> None:
    """JSON, so that it loads at once; a line each, so that a diff shows which device changed."""
    data = registry_file.encode(_file(_entry("a"), _entry("b", privacy="public")))
    lines = data.decode().splitlines()
    starts = ['{"format": 1, "', '"school": {"nam', '}, "entries": [', '{"device": "a",', '{"device": "b",', "]}"]
    assert [line[:15] for line in lines] == starts
    assert json.loads(data) == strict_yaml.parse(data, Path("registry.yaml")).value


def test_a_city_is_written_and_loaded(tmp_path: Path) -> None:
    """Far more than a file of settings may hold."""
    file = tmp_path / "registry.yaml"
    registry_file.write(_file(*(_entry(f"device-{number}") for number in range(CITY))), file)
    assert file.stat().st_size > strict_yaml.MAX_FILE_BYTES
    loaded = registry.load(file)
    assert len(loaded) == CITY
    placement = loaded.find(f"device-{CITY - 1}", 0)
    assert placement is not None
    assert placement.series[placement.slots["active_power", ""].channel].tag("device") == f"device-{CITY - 1}"


@pytest.mark.slow
def test_a_fault_in_a_city_is_named_by_line_and_column(tmp_path: Path) -> None:
    """Where JSON only says that something is wrong, too."""
    file = tmp_path / "registry.yaml"
    data = registry_file.encode(_file(*(_entry(f"device-{number}") for number in range(CITY))))
    file.write_bytes(data.replace(b'"device-19000", "gateway": "gw"', b'"device-19000", "gateway": "GW"'))
    with pytest.raises(ConfigError) as caught:
        registry.load(file)
    assert (caught.value.at.line, caught.value.at.column, caught.value.found) == (19004, 39, "'GW'")


@pytest.mark.parametrize(
    ("old", "new", "at", "found"),
    [
        ('"site": "plant"', '"site": "kiosk"', "5:86", "'kiosk'"),
        ('"since": "2026-11-01"', '"since": "2026-13-01"', "7:126", "'2026-13-01'"),
        ('"since": "2026-11-01"', '"until": "1970-01-01"', "7:126", "'1970-01-01', which is not after"),
        ('"device": "school-gym"', '"x": 1, "device": "school-gym"', "7:2", "unknown key 'x'"),
        ('"device": "plant-pump"', '"device": "school-main"', "6:12", "'school-main' twice"),
        ('"format": 1', '"format": 2', "1:12", "2"),
        ("]}", "]", "11:1", "broken YAML"),
    ],
)
def test_a_broken_registry_is_refused(old: str, new: str, at: str, found: str, tmp_path: Path) -> None:
    """A collector never starts on a registry that it does not understand."""
    file = tmp_path / "registry.yaml"
    town.write_registry(towns.make(tmp_path / "town"), file)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        registry.load(file)
    assert found in caught.value.found
    assert str(caught.value.at) == f"{file}:{at}"


def test_a_registry_beyond_every_town_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is parsed."""
    monkeypatch.setattr(registry_file, "MAX_BYTES", 1 << 20)
    file = tmp_path / "registry.yaml"
    file.write_bytes(b" " * (1 << 20) + b"{")
    with pytest.raises(ConfigError, match="a file of over 1 MiB"):
        registry.load(file)


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


def test_the_entry_of_the_day_decides() -> None:
    """From `since` on, up to `until`, which is the first day that it no longer holds."""
    known = registry.Registry(
        _file(
            _entry("a", since="1970-01-03", gateway="new", until="1970-01-05"),
            _entry("a", since="1970-01-02", gateway="old"),
        )
    )
    times_ms = [DAY_MS - 1, DAY_MS, 2 * DAY_MS - 1, 2 * DAY_MS, 4 * DAY_MS - 1, 4 * DAY_MS]
    found = [known.find("a", at_ms) for at_ms in times_ms]
    assert [placement and placement.gateway for placement in found] == [None, "old", "old", "new", "new", None]
    assert len(known) == 0


def test_tags_are_of_the_entry_and_not_of_the_site_as_it_is_now() -> None:
    """A site that changes its sector leaves what was measured before where it is."""
    (placement,) = [registry.Registry(_file(_entry("a", sector="heat"))).find("a", 0)]
    assert placement is not None
    assert placement.series[placement.slots["active_power", ""].channel].tag("sector") == "heat"


def test_a_link_stays_a_link_and_the_file_keeps_its_mode(tmp_path: Path) -> None:
    """Where the registry lies on another disk, and who may read it, is the administrator's word."""
    place, link = tmp_path / "disk" / "town.yaml", tmp_path / "registry.yaml"
    place.parent.mkdir()
    registry_file.write(_file(_entry("a")), place)
    place.chmod(0o640)
    link.symlink_to(place)
    registry_file.write(_file(_entry("a"), _entry("b")), link)
    assert link.is_symlink()
    assert place.stat().st_mode & 0o7777 == 0o640
    assert len(registry_file.load(place).entries) == 2
    assert [file.name for file in tmp_path.rglob("*.new")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_file_keeps_its_owner_where_root_writes(tmp_path: Path) -> None:
    """The collector's user reads it still."""
    file = tmp_path / "registry.yaml"
    registry_file.write(_file(_entry("a")), file)
    os.chown(file, 1234, 1235)
    registry_file.write(_file(_entry("b")), file)
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 1235)
