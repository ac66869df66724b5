"""What each protocol costs a gateway's memory: an agent with one bus, and one with a bus of each protocol.

The buses are those of the demo town, and `bench.others` where it has none of a protocol.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import others, rig
from bench.harness import Row, Scale, main, say
from simulator import servers
from simulator.devices import Journal
from simulator.meters import Meters
from simulator.town_files import TownFiles

from servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.spec import TownSpec

SHORTEST_S = 12.0
"""Every device of the demo has spoken then."""


def with_buses(town: TownSpec, *names: str) -> TownSpec:
    """Return a town with only some of its buses."""
    gateway = town.gateways[0]
    devices = tuple(device for device in gateway.devices if device.bus in names)
    return replace(town, gateways=(replace(gateway, devices=devices),))


def kinds(town: TownSpec) -> dict[str, str]:
    """Return a bus for every kind: driver -> the first bus that it reads."""
    gateway = town.gateways[0]
    found: dict[str, str] = {}
    for bus in gateway.buses:
        section = gateway.kind(bus).section(bus, None, Path())
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
    with _broker() as broker:
        town = others.town(broker)
        every = kinds(town)
        chosen = dict(list(every.items())[:1]) if scale.quick else every
        alone: dict[str, float] = {}
        for kind, bus in chosen.items():
            say(f"drivers: {kind}")
            alone[kind] = asyncio.run(memory_mb(with_buses(town, bus), broker, seconds))
        say("drivers: all of them")
        whole = asyncio.run(memory_mb(town, broker, seconds))
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
            note=f"{len(every)} kinds of buses, {len(town.devices)} devices: the demo town, and what it has none of",
        ),
    ]


if __name__ == "__main__":
    main(measure)
