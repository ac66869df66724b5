"""Devices that a town maps by itself: their measurement and readings come to the collector with the registry."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from base.errors import ConfigError
from cloud import registry, registry_file, town
from cloud.routing import route
from wire.mapping import CodecMapping, name_of
from wire.readings import Reading, Sample

import towns

if TYPE_CHECKING:
    from pathlib import Path

MAPPED = """\
gateway: plant-gw
mqtt: {host: broker.example}
site: plant
buses:
  - id: net
    driver: ttn
    mqtt: {host: eu1.cloud.thethings.network}
    codecs: lorawan-devices
    devices:
      - id: tree-1
        dev_eui: "0011223344556677"
        site: plant
        interval_s: 1200
        codec: acme/probe
        mapping: &soil
          measurement: soil
          channels: {30cm: {depth: 30cm}}
          values:
            soil_vwc/30cm: {path: moisture, unit: "%"}
            temp_soil: {path: temperature}
      - {id: tree-2, dev_eui: "0011223344556678", site: plant, interval_s: 600, codec: acme/probe, mapping: *soil}
"""
TODAY = "2026-11-22"


def _registry(tmp_path: Path, text: str = MAPPED) -> Path:
    directory = towns.make(tmp_path / "town", other=text)
    town.write_registry(directory, tmp_path / "registry.yaml", today=TODAY)
    return tmp_path / "registry.yaml"


def test_its_readings_go_where_the_mapping_says(tmp_path: Path) -> None:
    """Measurement, channel and tags; what it does not map is unregistered, as with any profile."""
    compiled = registry.load(_registry(tmp_path))
    readings = (
        Reading("soil_vwc", 20.0, "/100", "30cm"),
        Reading("temp_soil", 8.5, "Cel"),
        Reading("rssi", -100.0, "dBm"),
        Reading("soil_tension", 100.0, "hPa"),
    )
    points = route("plant-gw", 1, [Sample("tree-1", 1_790_000_000_000, readings)], compiled)
    by_measurement = {point.series.measurement for point in points}
    assert {"soil", "unregistered"} <= by_measurement
    tags = [dict(point.series.tags) for point in points if point.series.measurement == "soil"]
    assert {tag.get("depth") for tag in tags} == {None, "30cm"}
    assert all(tag["device"] == "tree-1" and tag["site"] == "plant" for tag in tags)


def test_devices_with_one_mapping_share_one_profile(tmp_path: Path) -> None:
    """An alias is enough; each has its own interval."""
    file = registry_file.load(_registry(tmp_path))
    assert len(file.profiles) == 1
    ((name, profile),) = file.profiles.items()
    assert name.startswith("acme/probe-")
    assert profile.readings == ["soil_vwc/30cm", "temp_soil"]
    entries = {entry.device: entry for entry in file.entries if entry.profile == name}
    assert {device: entry.interval_s for device, entry in entries.items()} == {"tree-1": 1200, "tree-2": 600}


def test_a_collector_that_never_saw_the_town_knows_it(tmp_path: Path) -> None:
    """All that it needs is in the registry."""
    script = (
        "import sys; from pathlib import Path; from cloud import registry\n"
        "found = registry.load(Path(sys.argv[1])).find('tree-1', 1790000000000)\n"
        "print(found.profile.measurement)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(_registry(tmp_path))], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "soil"


def test_a_mapping_that_changes_makes_another_entry(tmp_path: Path) -> None:
    """What was measured before keeps its place: the former mapping stays in the registry."""
    output = _registry(tmp_path)
    before = registry_file.load(output)
    file = tmp_path / "town" / "gateways" / "plant-gw.yaml"
    file.write_text(MAPPED.replace("temp_soil: {path: temperature}", "soil_tension: {path: tension}"))
    with pytest.raises(ConfigError, match="since"):
        town.write_registry(tmp_path / "town", output, today=TODAY)
    file.write_text(
        file.read_text()
        .replace("site: plant, interval_s: 600", "site: plant, interval_s: 600, since: 2026-12-01")
        .replace("interval_s: 1200", "interval_s: 1200\n        since: 2026-12-01")
    )
    after = town.write_registry(tmp_path / "town", output, today=TODAY).file
    assert before.profiles.keys() < after.profiles.keys()
    assert len([entry for entry in after.entries if entry.device == "tree-1"]) == 2


def test_what_only_the_gateway_needs_changes_no_name() -> None:
    """Another path or port is no other measurement."""
    mapping = msgspec.convert({"measurement": "soil", "values": {"temp_soil": {"path": "t"}}}, CodecMapping)
    same = msgspec.convert(
        {"measurement": "soil", "values": {"temp_soil": {"path": "u"}}, "f_ports": [2]}, CodecMapping
    )
    other = msgspec.convert({"measurement": "level", "values": {"temp_soil": {"path": "t"}}}, CodecMapping)
    assert name_of("acme/probe", mapping) == name_of("acme/probe", same)
    assert name_of("acme/probe", mapping) != name_of("acme/probe", other)
    assert name_of("acme/probe", mapping) != name_of("acme/other", mapping)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("measurement: soil", "measurement: earth", "'earth'"),
        ("temp_soil: {path: temperature}", "temp_earth: {path: temperature}", "'temp_earth'"),
        ("temp_soil: {path: temperature}", "voltage: {path: temperature}", "'voltage'"),
        ("soil_vwc/30cm", "soil_vwc/60cm", "the channel '60cm'"),
        ("        codec: acme/probe\n", "", "mapping"),
        ("        codec: acme/probe\n", "        codec: acme/probe\n        profile: dragino/lse01\n", "mapping"),
        ("        interval_s: 1200\n", "", "mapping"),
        ("        codec: acme/probe\n", "        codec: ../probe\n", "'../probe'"),
        ("channels: {30cm: {depth: 30cm}}", "chanels: {}", "'chanels'"),
    ],
)
def test_a_wrong_mapping_is_refused(old: str, new: str, says: str, tmp_path: Path) -> None:
    """At its place in the gateway's file."""
    assert old in MAPPED
    directory = towns.make(tmp_path / "town", other=MAPPED.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        town.check(directory)
    assert caught.value.at.file == directory / "gateways" / "plant-gw.yaml"
    assert caught.value.at.line > 8
    assert says in str(caught.value)


def test_a_registry_whose_profile_is_wrong_is_refused(tmp_path: Path) -> None:
    """As any other fault in it."""
    output = _registry(tmp_path)
    output.write_text(output.read_text().replace('"measurement": "soil"', '"measurement": "earth"'))
    with pytest.raises(ConfigError, match="'earth'"):
        registry.load(output)
