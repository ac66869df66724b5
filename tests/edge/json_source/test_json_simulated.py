"""Our reading of simulated sources, which were written down without it, is the truth to the digit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from base import strict_yaml
from edge.drivers import plan_bus
from edge.json_source import profile as profiles
from edge.json_source.model import Model
from simulator.devices import Journal
from simulator.faults import Faults
from simulator.json_source import CAMERA, CHARGER, HTTP
from simulator.kinds import Rig
from simulator.spec import Device

TIMES_MS = [1_780_000_000_000 + step * 977_131 for step in range(200)]
FILE = """\
gateway: gw
buses:
  - id: charger
    driver: http_json
    url: http://ADDRESS
    devices:
      - {id: car-park-1, profile: go-e/charger, site: s}
"""


def test_a_camera_is_understood_at_any_time() -> None:
    """Every count and every mean, at the time that it says."""
    model = Model(profiles.load(CAMERA.profile), {}, {"counter": "eye", "topic": "t", "path": "p"})
    for at_ms in TIMES_MS:
        said = model.said(CAMERA.word("eye", at_ms), at_ms)
        assert said.at_ms == at_ms
        truth = {name: CAMERA.truth("eye", name, at_ms) for name in CAMERA.names}
        assert {reading.name: reading.value for reading in said.readings} == truth


@pytest.mark.slow
def test_a_charging_station_is_asked_over_http() -> None:
    """Over a real connection."""
    rig = Rig(Journal(), Faults(1), {"car-park-1": "traffic"}, Path(), 1.0)

    async def scene() -> None:
        station = HTTP.bus("charger", [Device("car-park-1", CHARGER, "car-park", "charger")], rig)
        await station.plug()
        document = strict_yaml.parse(FILE.replace("ADDRESS", station.address).encode(), Path("gw.yaml"))
        bus = plan_bus(document, ("buses", 0)).open()
        for _ in range(3):
            measured = await bus.read("car-park-1")
            at_ms = rig.journal.polls[-1].polled_at_ms
            truth = {name: CHARGER.truth("car-park-1", name, at_ms, "traffic") for name in CHARGER.names}
            assert {reading.name: reading.value for reading in measured.readings} == truth
        await bus.close()
        await station.unplug()

    asyncio.run(scene())
