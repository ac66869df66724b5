"""One dead device costs the others nothing: on a real RTU line, through the real poller and driver."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from base import strict_yaml
from edge.drivers import plan_bus
from gateway.poller import Poller
from gateway.timekeeper import Timekeeper
from simulator import servers
from simulator.devices import Journal, Meter
from simulator.models import SDM630

if TYPE_CHECKING:
    from wire.readings import Sample

pytestmark = pytest.mark.slow

INTERVAL_S = 0.8
TICKS = 60
BUS = """\
id: cellar
driver: modbus
serial: {port}
timeout_s: 1.2
devices:
  - {{id: a, profile: eastron/sdm630, site: s, unit: 1, interval_s: 0.8}}
  - {{id: b, profile: eastron/sdm630, site: s, unit: 2, interval_s: 0.8}}
  - {{id: dead, profile: eastron/sdm630, site: s, unit: 3, interval_s: 0.8}}
  - {{id: c, profile: eastron/sdm630, site: s, unit: 4, interval_s: 0.8}}
"""


def test_a_silent_unit_leaves_its_bus_mates_their_rate() -> None:
    """Of four units one never answers; each of the others is read in at least 95 % of its ticks."""
    servers.quiet()
    samples: list[Sample] = []

    async def play() -> None:
        meters = {unit: Meter(name, SDM630, Journal()) for name, unit in (("a", 1), ("b", 2), ("c", 4))}
        async with servers.rtu(meters, 9600) as port:
            document = strict_yaml.parse(BUS.format(port=port).encode(), Path("gw.yaml"))
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(TICKS * INTERVAL_S, stop.set)
            await Poller(plan_bus(document, ()), Timekeeper("trusted"), samples.append).run(stop)

    asyncio.run(play())
    (dead,) = (sample.readings for sample in samples if sample.device == "dead")
    assert [(reading.quantity, reading.value) for reading in dead] == [("reachable", 0)]
    polled = Counter(sample.device for sample in samples if sample.device != "dead")
    assert set(polled) == {"a", "b", "c"}
    assert min(polled.values()) >= 0.95 * TICKS, polled
