"""What each protocol costs a gateway's memory: an agent with one bus of the demo town, and one with all of them."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import rig
from bench.harness import Row, Scale, main, say
from simulator import servers
from simulator.devices import Journal
from simulator.meters import Meters
from simulator.town import DEMO
from simulator.town_files import TownFiles

from servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.spec import TownSpec

GATEWAY = DEMO.gateways[0]
SHORTEST_S = 12.0
"""Every device of the demo has spoken then."""


def with_buses(*names: str) -> TownSpec:
    """Return the demo town with only some of its buses."""
    devices = tuple(device for device in GATEWAY.devices if device.bus in names)
    return replace(DEMO, gateways=(replace(GATEWAY, devices=devices),))


def kinds() -> dict[str, str]:
    """Return a bus for every kind: driver -> the first bus that it reads."""
    found: dict[str, str] = {}
    for bus in GATEWAY.buses:
        section = GATEWAY.kind(bus).section(bus, None, Path())
        line = " RTU" if section["driver"] == "modbus" and "serial" in section else ""
        found.setdefault(section["driver"] + line, bus)
    return found


@contextmanager
def _broker() -> Iterator[int]:
    with tempfile.TemporaryDirectory() as directory, Mosquitto(Path(directory)) as broker:
        yield broker.port


async def memory_mb(town: TownSpec, broker: int, seconds: float) -> float:
    """Measure the most memory of an agent that reads a town for so long, in MB."""
    with tempfile.TemporaryDirectory() as name:
        files = TownFiles(Path(name), town)
        async with Meters(town, Journal(), lines=files.lines) as meters:
            files.write(meters.where, {"host": rig.LOOPBACK, "port": broker}, {"embedded": {"path": "store.sqlite"}})
            command = [*rig.MESSNETZ, "gateway", "run", str(files.gateway)]
            with rig.Measured(command, Path(name) / "agent.log") as agent:
                most = 0.0
                for _ in range(round(seconds)):
                    await asyncio.sleep(1.0)
                    agent.check()
                    most = max(most, agent.memory_mb())
                return most


def measure(scale: Scale) -> list[Row]:
    """Measure every kind alone, and all together."""
    servers.quiet()
    seconds = scale.seconds(30, SHORTEST_S)
    every = kinds()
    chosen = dict(list(every.items())[:1]) if scale.quick else every
    with _broker() as broker:
        alone: dict[str, float] = {}
        for kind, bus in chosen.items():
            say(f"drivers: {kind}")
            alone[kind] = asyncio.run(memory_mb(with_buses(bus), broker, seconds))
        say("drivers: all of them")
        whole = asyncio.run(memory_mb(DEMO, broker, seconds))
    least = alone["modbus"]
    return [
        Row(what="agent: memory with Modbus TCP alone", measured=least, unit="MB"),
        *(
            Row(what=f"agent: what {kind} adds to that", measured=mb - least, unit="MB")
            for kind, mb in alone.items()
            if kind != "modbus"
        ),
        Row(
            what="agent: memory with one of each",
            measured=whole,
            unit="MB",
            note=f"{len(every)} kinds of buses, {len(DEMO.devices)} devices: the demo town",
        ),
    ]


if __name__ == "__main__":
    main(measure)
