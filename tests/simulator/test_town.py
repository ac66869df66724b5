"""The demo town's directory is a town like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from base import strict_yaml
from simulator import town
from simulator.broker import mqtt_section
from simulator.stores import StoreChoice
from simulator.town_files import GATEWAY, TownFiles
from wire import profile
from wire.town import GatewayEntry, Site

if TYPE_CHECKING:
    from pathlib import Path

WHERE = {bus: "/dev/pts/7" if bus in town.LINES else f"127.0.0.1:{port}" for port, bus in enumerate(town.BUSES, 5020)}


@pytest.fixture
def files(tmp_path: Path) -> TownFiles:
    """A written town."""
    files = TownFiles(tmp_path)
    files.write(WHERE, mqtt_section("mosquitto", 18830), StoreChoice("embedded").section(tmp_path))
    return files


def load(file: Path) -> Any:  # noqa: ANN401 - whatever stands in the file
    """Plain values of a YAML file, read as the product reads it."""
    return strict_yaml.load(file).value


def test_every_site_is_one(files: TownFiles) -> None:
    """With a sector and coordinates that the contract knows."""
    sites = strict_yaml.load(files.directory / "sites.yaml").convert(dict[str, Site])
    assert sites["sewage-works"].name == "Klärwerk Talwiesen"
    assert {device.site for device in town.DEVICES} == set(sites)


def test_the_gateway_holds_the_devices_of_the_table(files: TownFiles) -> None:
    """Each on its bus, with its profile and site."""
    entry = strict_yaml.load(files.gateway).convert(GatewayEntry)
    found = {device.id: (device.profile, device.site, bus.id) for bus in entry.buses for device in bus.devices}
    assert entry.gateway == GATEWAY == files.gateway.stem
    assert found == {device.id: (device.model.profile, device.site, device.bus) for device in town.DEVICES}


def test_the_town_is_three_meters_on_tcp_and_four_on_one_line(files: TownFiles) -> None:
    """Both models on both ways."""
    buses = [bus for bus in load(files.gateway)["buses"] if bus["driver"] == "modbus"]
    reached = [(bus.get("tcp") or bus.get("serial"), [d["unit"] for d in bus["devices"]]) for bus in buses]
    assert reached[:3] == [(f"127.0.0.1:{port}", [1]) for port in (5020, 5021, 5022)]
    assert reached[3:] == [("/dev/pts/7", [1, 2, 3, 4])]
    for is_line in (False, True):
        modbus = (device for device in town.DEVICES if device.bus not in town.KINDS)
        models = {device.model.profile for device in modbus if (device.bus in town.LINES) == is_line}
        assert models == {"eastron/sdm630", "janitza/b23"}


def test_the_demo_sees_every_reading_within_its_interval() -> None:
    """The demo asks at least as often as the profiles expect."""
    for device in town.DEVICES:
        assert profile.load(device.model.profile).interval_s >= town.INTERVAL_S


def test_all_paths_lie_in_the_towns_directory(files: TownFiles) -> None:
    """The demo leaves nothing elsewhere."""
    gateway, collector = load(files.gateway), load(files.collector)
    paths = [gateway["spool"]["path"], gateway["socket"], collector["store"]["embedded"]["path"]]
    assert all(path.startswith(f"{files.directory}/") for path in paths)
    assert collector["registry"] == "registry.yaml"
    assert gateway["mqtt"] == collector["mqtt"] == {"host": "127.0.0.1", "port": 18830}


def test_the_truth_of_a_stranger_is_an_error() -> None:
    """No value is made up for a device that is none of the town's."""
    with pytest.raises(KeyError):
        town.truth("stranger", "active_power", 0)
