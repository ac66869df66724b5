"""The bench of drivers measures one of each."""

from __future__ import annotations

from bench import drivers, others
from edge.drivers import DRIVERS

OF_NETWORKS = {"chirpstack", "ttn"}
"""They cost what `mqtt_json` and `lorawan_udp` cost together: the same broker's client, the same codecs."""


def test_every_driver_is_measured() -> None:
    """Whoever adds a driver adds a device of it to the demo town, or to the bench."""
    measured = {name.partition(" ")[0] for name in drivers.kinds(others.town(1883))}
    assert measured == set(DRIVERS) - OF_NETWORKS


def test_a_town_can_be_cut_down_to_a_bus() -> None:
    """Only the devices of that bus are left."""
    town = drivers.with_buses(others.town(1883), "wmbus")
    assert [device.id for device in town.devices] == ["bench-wmbus"]
