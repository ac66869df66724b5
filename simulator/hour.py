"""An hour of one simulated meter over a bad line: `python -m simulator.hour sml --minutes 60`.

The line is noisy, and the port is pulled out and put back. The agent runs as a process; afterwards its spool is read,
and each reading compared with what the meter said just then. Nothing wrong may be there, errors must have been counted,
and after each pull the readings must come again by themselves.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from simulator.ports import Noise, ended
from simulator.processes import MESSNETZ, DemoError, Process, run
from simulator.spoken import DEVICE, RECOVERY_S
from simulator.subjects import LESS_NOISE, NOISE, SUBJECTS
from wire import batch
from wire.readings import Sample, is_suspect

if TYPE_CHECKING:
    from simulator.spoken import Subject

GATEWAY = "hour"
PULLED_OUT_S = 6.0
SETTLE_S = 12.0
"""How long the port stays in, at least, before it is pulled out and before the end."""
AGENT_TIMEOUT_S = 30.0
SLACK_S = 1.5
SHOWN = 5
ABOUT_THE_LINE = ("reachable", "bus_", "gap_")


@dataclass
class Report:
    """What became of an hour."""

    words: int
    """How often the meter spoke, or was heard to be asked."""
    spoiled: int
    """Of these, how many the line spoiled."""
    samples: int = 0
    readings: int = 0
    suspect: int = 0
    """Readings that the agent itself did not believe."""
    errors: int = 0
    """As the agent counted them."""
    recoveries_s: list[float] = field(default_factory=list)
    """After each return of the port, how long until the next sample; infinite where none came."""
    recovery_s: float = RECOVERY_S
    """How long that may take."""
    wrong: list[str] = field(default_factory=list)
    """Readings that the meter did not say."""

    def complaints(self) -> list[str]:
        """Say what must not be; empty where all is well."""
        found = [f"wrong: {each}" for each in self.wrong[:SHOWN]]
        if not self.samples:
            found.append("not a single sample")
        if self.spoiled and not self.errors:
            found.append(f"{self.spoiled} telegrams were spoiled, and no error was counted")
        if any(each > self.recovery_s for each in self.recoveries_s):
            found.append(f"no sample within {self.recovery_s:g} s of the port's return: {self.recoveries_s}")
        return found

    def __str__(self) -> str:
        slowest = max(self.recoveries_s, default=0.0)
        return (
            f"{self.words} words, {self.spoiled} spoiled; {self.samples} samples with {self.readings} readings, "
            f"{self.suspect} suspect, {len(self.wrong)} wrong; {self.errors} errors counted; "
            f"{len(self.recoveries_s)} pulls, back after {slowest:.1f} s at most"
        )


async def play(protocol: str, seconds: float, directory: Path, *, noise: float | None = None, seed: int = 0) -> Report:
    """Let an agent read a meter for so long; `noise` is the share of telegrams that the line spoils.

    Raises: DemoError where the agent cannot be run, or dies.
    """
    share = LESS_NOISE.get(protocol, NOISE) if noise is None else noise
    subject = SUBJECTS[protocol](directory / "line", Noise(share, seed))
    file = directory / "gateway.yaml"
    file.write_text(yaml.safe_dump(_gateway(subject, directory)), encoding="utf-8")
    returned_s: list[float] = []
    async with AsyncExitStack() as stack:
        await subject.plug()
        stack.push_async_callback(subject.unplug)
        playing = asyncio.create_task(subject.play())
        stack.push_async_callback(ended, playing)
        agent = Process("agent", (*MESSNETZ, "gateway", "run", str(file)), directory / "agent.log")
        await stack.enter_async_context(agent)
        until_s = time.monotonic() + seconds
        pause_s = max(SETTLE_S, min(300.0, seconds / 8))
        while time.monotonic() + pause_s + PULLED_OUT_S + subject.recovery_s < until_s:
            await _pause(agent, pause_s)
            await subject.unplug()
            await _pause(agent, PULLED_OUT_S)
            await subject.plug()
            returned_s.append(time.time())
            pause_s = max(pause_s, subject.recovery_s)  # pulled sooner, it could not have come back
        await _pause(agent, until_s - time.monotonic())
        status = json.loads(await run(("gateway", "status", "--json", str(file)), AGENT_TIMEOUT_S))
        await agent.stop(AGENT_TIMEOUT_S)
    report = Report(subject.spoken.words, subject.spoiled, recovery_s=subject.recovery_s)
    report.errors = status["buses"][0]["devices"][0]["errors"]
    _judge(report, subject, _samples(directory / "spool.sqlite"), returned_s)
    return report


async def _pause(agent: Process, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        if not agent.is_running:
            raise agent.died()
        await asyncio.sleep(min(0.5, max(0.0, until_s - time.monotonic())))


def _gateway(subject: Subject, directory: Path) -> dict[str, object]:
    return {
        "gateway": GATEWAY,
        "interval_s": 5,
        "clock": "trusted",
        "mqtt": {"host": "127.0.0.1", "port": 9},
        "spool": {"path": str(directory / "spool.sqlite"), "seal_interval_s": 2},
        "socket": str(directory / "agent.sock"),
        "buses": [subject.bus()],
    }


def _samples(spool: Path) -> list[Sample]:
    """Read all that the agent sealed, in its order."""
    with closing(sqlite3.connect(f"{spool.as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT stream, number, sealed_at_ms, crc, pack FROM batch ORDER BY number").fetchall()
    payloads = (batch.header_line(*row[:4]) + row[4] for row in rows)
    return [sample for payload in payloads for sample in batch.open_pack(*batch.open_header(payload))]


def _judge(report: Report, subject: Subject, samples: list[Sample], returned_s: list[float]) -> None:
    arrivals = []
    for sample in samples:
        readings = [reading for reading in sample.readings if not reading.quantity.startswith(ABOUT_THE_LINE)]
        if sample.device != DEVICE or not readings:
            continue
        at_s = sample.measured_at_ms / 1000
        window = at_s - subject.interval_s - SLACK_S, at_s + SLACK_S
        arrivals.append(at_s)
        report.samples += 1
        for reading in readings:
            report.readings += 1
            report.suspect += is_suspect(reading.flags)
            if not is_suspect(reading.flags) and not subject.spoken.allows(reading.name, reading.value, *window):
                report.wrong.append(f"{reading.name} {reading.value:g} {reading.unit} at {at_s:.1f}")
    for back_s in returned_s:
        report.recoveries_s.append(next((at_s - back_s for at_s in arrivals if at_s > back_s), float("inf")))


@click.command()
@click.argument("protocol", type=click.Choice(sorted(SUBJECTS)))
@click.option("--minutes", type=click.FloatRange(0.5, 1440), default=60.0, show_default=True)
@click.option(
    "--noise", type=click.FloatRange(0, 1), help="Share of telegrams spoiled; 0.2 unless set, of a radar's lines 0.03."
)
@click.option("--seed", type=int, default=0, show_default=True)
def main(*, protocol: str, minutes: float, noise: float | None, seed: int) -> None:
    """Let an agent read a simulated meter over a bad line, and judge what it kept."""
    with tempfile.TemporaryDirectory(prefix="messnetz-hour-") as directory:
        try:
            report = asyncio.run(play(protocol, minutes * 60, Path(directory), noise=noise, seed=seed))
        except DemoError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{protocol}: {report}")
    for complaint in report.complaints():
        click.echo(complaint, err=True)
    raise SystemExit(1 if report.complaints() else 0)


if __name__ == "__main__":
    main()
