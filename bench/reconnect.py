"""A town's gateways come back at once after an outage of an hour: does everyone's fresh data arrive, and when.

The gateways are the simulator's fleet: light ones in one process, each with a connection of its own, that send by a
gateway's rules. Unlike real ones, they begin their backlog at once and send it as fast as it is confirmed.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from base.mqtt import MqttConfig
from bench import agent, rig
from bench.harness import Row, Scale, main, say
from simulator import generate
from simulator.fleet import Fleet, FleetPlan, spans
from simulator.source import Ramps
from simulator.town_files import TownFiles

if TYPE_CHECKING:
    from simulator.fleet_report import FleetReport
    from simulator.spec import TownSpec

GATEWAYS, QUICK_GATEWAYS = 1000, 20
INTERVAL_S = 12.0
"""Of one meter on each gateway: about 1.3 readings/s."""
SEAL_INTERVAL_S = 30
OUTAGE_S, QUICK_OUTAGE_S = 3600, 120
FRESH_S = 75.0
"""For so long fresh batches are sealed after the reconnect, one each 30 s and gateway."""
DRAIN_S = 1200.0
MOST_FRESH_S = 60


def reconnect(directory: Path, gateways: int, outage_s: int, fresh_s: float) -> FleetReport:
    """Let a fleet come back; returns what it reached when everything was confirmed, or there was no hope."""
    town = generate.town(gateways, gateways, interval_s=INTERVAL_S)
    with agent.servers(directory) as (broker, store):
        files = _write(directory / "town", town, broker.port, store)
        command = [*rig.MESSNETZ, "cloud", "run", str(files.collector)]
        with rig.Measured(command, directory / "collector.log") as collector:
            rig.wait_for(lambda: "connected" in collector.log.read_text(), collector, "the collector's connection")
            return asyncio.run(_come_back(town, broker.port, outage_s, fresh_s))


def _write(directory: Path, town: TownSpec, port: int, store: dict[str, object]) -> TownFiles:
    files = TownFiles(directory, town)
    files.write({}, {"host": rig.LOOPBACK, "port": port}, store)
    rig.run("town", "registry", str(directory), "--output", str(files.registry))
    return files


async def _come_back(town: TownSpec, port: int, outage_s: int, fresh_s: float) -> FleetReport:
    now_ms = time.time_ns() // 1_000_000
    backlog = spans(now_ms - outage_s * 1000, now_ms, SEAL_INTERVAL_S * 1000)
    plan = FleetPlan(Ramps(town, INTERVAL_S), backlog, fresh_every_s=SEAL_INTERVAL_S)
    async with Fleet(plan, MqttConfig(rig.LOOPBACK, port)) as fleet:
        await asyncio.sleep(fresh_s)
        fleet.stop_sealing()
        await fleet.drained(DRAIN_S)
        return fleet.report()


def measure(scale: Scale) -> list[Row]:
    """Measure it."""
    gateways, outage_s = scale.count(GATEWAYS, QUICK_GATEWAYS), scale.count(OUTAGE_S, QUICK_OUTAGE_S)
    say(f"reconnect: {gateways} gateways")
    with tempfile.TemporaryDirectory() as name:
        report = reconnect(Path(name), gateways, outage_s, scale.seconds(FRESH_S, 20.0))
    lost = report.sealed_batches - report.confirmed_batches
    what = f"reconnect: {gateways:,} gateways at once, {outage_s / 3600:.2g} h of backlog each"
    rate = report.confirmed_readings / (report.drained_after_s or report.elapsed_s)
    drained = "" if report.drained_after_s is None else f"all of it after {report.drained_after_s:.0f} s, "
    return [
        Row(
            what=f"{what}, sessions lost",
            measured=report.sessions_lost,
            unit="",
            must=0,
            note=f"{lost} of {report.sealed_batches:,} batches not confirmed, {report.resent:,} sent again",
        ),
        Row(
            what=f"{what}, slowest fresh batch",
            measured=report.fresh_most_s,
            unit="s",
            must=MOST_FRESH_S,
            note=f"sealed to confirmed; {drained}{rate:,.0f} readings/s",
        ),
    ]


if __name__ == "__main__":
    main(measure)
