"""The past of a town: weeks or months of plausible readings, at any speed through a real broker and collector."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from base.broker import MqttConfig
from simulator import source as sources
from simulator import watch
from simulator.account import GatewayStatus
from simulator.fleet import Fleet, FleetPlan, spans
from simulator.ledger import Ledger
from simulator.processes import DemoError
from simulator.source import Shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from simulator.account import Account
    from simulator.fleet_report import FleetReport
    from simulator.spec import TownSpec
    from simulator.town_files import TownFiles

DAY_MS = 86_400_000
READINGS_A_BATCH = 2_000
LOOK_S = 1.0
STUCK_S = 120.0
"""Without any confirm for so long, the past cannot be written."""


@dataclass(frozen=True)
class HistoryPlan:
    """How far back, and how densely."""

    days: float
    interval_s: float = 300.0


class Past:
    """The past of one town until a Unix time in ms; sent by the gateways' own names, before their agents start."""

    def __init__(self, town: TownSpec, plan: HistoryPlan, until_ms: int) -> None:
        self.source = Shapes(town, plan.interval_s)
        self.until_ms = until_ms
        self.since_ms = until_ms - round(plan.days * DAY_MS)
        self.report: FleetReport | None = None

    @property
    def readings(self) -> int:
        """How many there are in all."""
        at_once = sum(len(device.model.names) for device in self.source.town.devices)
        return at_once * len(sources.ticks(self.source, self.since_ms, self.until_ms))

    def plan(self, prefix: str) -> FleetPlan:
        """Build the fleet's plan: batches of some thousand readings, over few connections."""
        most = max(sum(len(device.model.names) for device in gateway.devices) for gateway in self.source.town.gateways)
        step_ms = max(1, READINGS_A_BATCH // most) * self.source.interval_ms
        return FleetPlan(self.source, spans(self.since_ms, self.until_ms, step_ms), connections=1, prefix=prefix)

    async def send(self, mqtt: Mapping[str, object], prefix: str, say: Callable[[str], None]) -> FleetReport:
        """Send it all and wait for the last confirm, saying how far it is.

        Raises: DemoError where nothing is confirmed for two minutes.
        """
        loop = asyncio.get_running_loop()
        async with Fleet(self.plan(prefix), msgspec.convert(mqtt, MqttConfig)) as fleet:
            confirmed, moved_at_s = 0, loop.time()
            while not await fleet.drained(LOOK_S):
                report = fleet.report()
                say(f"history: {report.confirmed_readings / max(1, self.readings):4.0%} in the store")
                if report.confirmed_readings > confirmed:
                    confirmed, moved_at_s = report.confirmed_readings, loop.time()
                elif loop.time() - moved_at_s > STUCK_S:
                    raise DemoError(f"history: nothing was confirmed for {STUCK_S:g} s; collector.log says why")
            self.report = report = fleet.report()
        rate = report.confirmed_readings / report.elapsed_s
        say(f"history: {report.confirmed_readings} readings confirmed in {report.elapsed_s:.1f} s, {rate:.0f} a second")
        return report

    async def account(self, files: TownFiles, log: Path) -> Account:
        """Compare what was made with what the store holds, reading by reading.

        Raises: DemoError where the export fails or takes too long.
        """
        witness = sources.witness(self.source, self.since_ms, self.until_ms)
        polls = (
            poll
            for gateway in self.source.town.gateways
            for poll in sources.polls(self.source, gateway.id, self.since_ms, self.until_ms)
        )
        ledger = Ledger(witness, polls)
        await watch.read_store(files, witness, ledger.store, log)
        await watch.read_unregistered(files, witness, ledger.unregister, log)
        report = self.report
        sent = 0 if report is None else report.sent_readings
        confirmed = 0 if report is None else report.confirmed_readings
        return ledger.account(GatewayStatus(sealed_readings=sent, confirmed_readings=confirmed))
