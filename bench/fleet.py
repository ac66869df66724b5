"""After an outage: a thousand gateways connect at once, each with an hour's backlog, into InfluxDB 1.

The gateways are simulated in one process and send by a gateway's rules, each on a connection of its own; what they seal
while they drain must arrive as if nothing else were there.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from base.broker import MqttConfig
from bench import rig
from bench.collector import apart
from bench.harness import Row, Scale, main, say
from simulator import generate
from simulator.fleet import Fleet, FleetPlan, spans
from simulator.source import Ramps
from simulator.town_files import TownFiles

from servers import Influx1, Mosquitto

if TYPE_CHECKING:
    from simulator.fleet_report import FleetReport

DEVICES_A_GATEWAY = 5
INTERVAL_S = 60.0
"""Five meters of 16 readings: 1.3 readings/s, a town's mean gateway."""
BATCH_S = 300
BACKLOG_S = 3_600
FRESH_EVERY_S = 60.0
MOST_S = 900.0
QUICK_MOST_S = 75.0
LOOK_S = 0.2


class Outcome(NamedTuple):
    """What came of it."""

    report: FleetReport
    is_drained: bool
    memory_mb: float
    cpu_s: float

    @property
    def without_fresh(self) -> int:
        """Gateways none of whose fresh batches was confirmed."""
        return sum(not gateway.fresh_latencies_s for gateway in self.report.gateways)


async def _reconnect(plan: FleetPlan, port: int, collector: rig.Measured, most_s: float) -> Outcome:
    """Let them drain, and seal until each has a fresh batch confirmed, but not for longer than `most_s`."""
    async with Fleet(plan, MqttConfig(rig.LOOPBACK, port)) as fleet:
        deadline_s = time.monotonic() + most_s
        least_s = time.monotonic() + 3 * (plan.fresh_every_s or 0.0)
        is_drained = False
        while not is_drained and time.monotonic() < deadline_s:
            await asyncio.sleep(LOOK_S)  # the fleet runs in this loop, too
            if time.monotonic() > least_s and fleet.has_fresh():
                fleet.stop_sealing()
                is_drained = await fleet.drained(1.0)
            collector.check()
        return Outcome(fleet.report(), is_drained, collector.peak_mb(), collector.cpu_s())


def reconnect(directory: Path, scale: Scale) -> Outcome:
    """Let all gateways connect at once and drain."""
    gateways = scale.count(1_000, 20)
    town = generate.town(gateways, gateways * DEVICES_A_GATEWAY, interval_s=INTERVAL_S)
    files = TownFiles(directory / "town", town)
    with (
        apart(),
        Mosquitto(directory / "mosquitto", settings=["max_connections -1"]) as broker,
        Influx1(directory / "influxdb") as influx,
    ):
        files.write({}, {"host": rig.LOOPBACK, "port": broker.port}, {"influx1": {"url": influx.url}})
        rig.run("town", "registry", str(files.directory), "--output", str(files.registry), "--first")
        command = [*rig.MESSNETZ, "cloud", "run", str(files.collector)]
        with rig.Measured(command, directory / "collector.log", core=0) as collector:
            rig.wait_for(lambda: "the subscription delivers" in collector.log.read_text(), collector, "a subscription")
            now_ms = time.time_ns() // 1_000_000
            quicker = scale.count(1, 60)
            step_ms, past_ms = BATCH_S * 1000 // quicker, BACKLOG_S * 1000 // quicker
            plan = FleetPlan(
                Ramps(town, INTERVAL_S / quicker),
                spans(now_ms - past_ms, now_ms, step_ms),
                fresh_every_s=FRESH_EVERY_S / quicker,
            )
            say(f"fleet: {gateways} gateways with {len(plan.backlog)} batches each")
            return asyncio.run(_reconnect(plan, broker.port, collector, scale.seconds(MOST_S, QUICK_MOST_S)))


def measure(scale: Scale) -> list[Row]:
    """Measure every row of the fleet."""
    missing = Influx1.missing() or Mosquitto.missing()
    if missing:
        return [Row(what="fleet", measured=None, unit="", note=missing)]
    with tempfile.TemporaryDirectory() as name:
        outcome = reconnect(Path(name), scale)
    report = outcome.report
    readings = f"{report.confirmed_readings:,} of {report.sent_readings:,} readings confirmed"
    rest = "" if outcome.is_drained else "; NOT drained"
    fresh = "" if report.fresh_p99_s is None else f"p99 {report.fresh_p99_s:.1f} s"
    if outcome.without_fresh:
        fresh = f"{outcome.without_fresh} gateways had none confirmed; of the others {fresh or 'none either'}"
    return [
        Row(what="fleet: 1,000 gateways reconnect, sessions lost", measured=report.sessions_lost, unit="", must=0),
        Row(
            what="fleet: their fresh data, sealed to confirmed, at most",
            measured=None if outcome.without_fresh else report.fresh_most_s,
            unit="s",
            must=60,
            note=fresh,
        ),
        Row(
            what="fleet: memory of the collector",
            measured=outcome.memory_mb,
            unit="MB",
            must=150,
            dream=100,
            note=f"{len(report.gateways) * DEVICES_A_GATEWAY:,} devices",
        ),
        Row(
            what="fleet: an hour's backlog of all drained",
            measured=report.drained_after_s,
            unit="s",
            note=f"{readings}{rest}; {report.resent} of {report.sent} sent again; {outcome.cpu_s:.0f} s of its CPU",
        ),
    ]


if __name__ == "__main__":
    main(measure)
