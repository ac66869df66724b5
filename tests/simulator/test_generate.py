"""Towns of any size are towns like any other, and the same every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base import strict_yaml
from cloud import town as towns
from gateway import config
from simulator import generate
from simulator.town_files import TownFiles
from wire.ids import is_id

if TYPE_CHECKING:
    from pathlib import Path


@given(gateways=st.integers(1, 40), extra=st.integers(0, 300), interval_s=st.sampled_from([0.5, 2.0, 60.0]))
def test_a_town_has_what_was_asked_for(gateways: int, extra: int, interval_s: float) -> None:
    """As many gateways and devices, each with an id of its own, no two on one unit of one bus."""
    town = generate.town(gateways, gateways + extra, interval_s=interval_s)
    ids = [gateway.id for gateway in town.gateways] + [device.id for device in town.devices]
    places = [(device.bus, device.unit) for device in town.devices]
    assert (len(town.gateways), len(town.devices)) == (gateways, gateways + extra)
    assert len(set(ids)) == len(ids)
    assert len(set(places)) == len(places)
    assert all(is_id(name) for name in ids)
    shares = [len(gateway.devices) for gateway in town.gateways]
    assert max(shares) - min(shares) <= 1


def test_the_same_seed_is_the_same_town() -> None:
    """To the model of each meter; another seed is another."""
    first, again, other = (generate.town(5, 60, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert [d.id for d in first.devices] == [d.id for d in other.devices]
    assert [d.model for d in first.devices] != [d.model for d in other.devices]


@pytest.mark.parametrize(("gateways", "devices"), [(0, 0), (3, 2)])
def test_a_gateway_without_a_device_is_refused(gateways: int, devices: int) -> None:
    """There would be nothing for it to do."""
    with pytest.raises(ValueError, match="each gateway needs one device"):
        generate.town(gateways, devices)


def test_a_generated_town_passes_every_check(tmp_path: Path) -> None:
    """As `messnetz town check` and `messnetz gateway check` read it; each agent has a place of its own."""
    files = TownFiles(tmp_path, generate.town(3, 30))
    where = {
        bus: f"127.0.0.1:{port}" for port, bus in enumerate((b for g in files.town.gateways for b in g.buses), 5020)
    }
    where |= {line: f"/dev/{line}" for gateway in files.town.gateways for line in gateway.lines}
    files.write(where, {"host": "127.0.0.1"}, {"embedded": {"path": "store.sqlite"}})
    assert towns.check(tmp_path).devices == 30
    loaded = [config.load(files.gateway_file(gateway.id)).file for gateway in files.town.gateways]
    assert len({file.spool.path for file in loaded}) == len({file.socket for file in loaded}) == 3
    assert strict_yaml.load(tmp_path / "town.yaml").value["name"] == "Musterstadt 3/30"
