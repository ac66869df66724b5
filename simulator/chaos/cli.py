"""`messnetz chaos`."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, cast

import click
import msgspec

from simulator import broker, generate
from simulator.chaos import report as reports
from simulator.chaos import store, view
from simulator.chaos.plant import Size, find_faketime
from simulator.chaos.runner import Run
from simulator.chaos.schedule import KINDS
from simulator.cli import KEEP, directory
from simulator.processes import DemoError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simulator.chaos.report import Report

MOST_AGENTS = 24
MOST_COLLECTORS = 8
DEVICES_EACH = 5
"""Four on a serial line, one behind Modbus TCP."""
PREFIX = "messnetz-chaos-"
LARGEST_SEED = 2**32 - 1


def _kinds(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, ...]:
    if text is None:
        return KINDS
    kinds = tuple(kind for part in text.split(",") if (kind := part.strip()))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise click.BadParameter(f"{', '.join(unknown) or 'nothing'} is no kind of fault; there are {', '.join(KINDS)}")
    return kinds


@click.command()
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), help="Of the schedule. [default: another each time]")
@click.option("--minutes", type=click.FloatRange(0.1, 10_080), default=3.0, show_default=True, help="Of faults.")
@click.option("--agents", type=click.IntRange(1, MOST_AGENTS), default=3, show_default=True, help="So many gateways.")
@click.option("--collectors", type=click.IntRange(1, MOST_COLLECTORS), help="[default: 2 where they can share]")
@click.option("--faults", "kinds", metavar="KINDS", callback=_kinds, help=f"Of {', '.join(KINDS)}. [default: all]")
@click.option("--broker", "relay", type=click.Choice(["mosquitto", "amqtt"]), help="[default: mosquitto if installed]")
@click.option("--store", "wanted", type=click.Choice(["embedded", "influx1"]), help="[default: influx1 if installed]")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object; progress goes to stderr.")
@KEEP
def chaos(  # noqa: PLR0913 - click hands every option over
    *,
    seed: int | None,
    minutes: float,
    agents: int,
    collectors: int | None,
    kinds: Sequence[str],
    relay: str | None,
    wanted: str | None,
    as_json: bool,
    keep: Path | None,
) -> int:
    """Break the whole chain in many ways, and count every reading.

    Agents, broker, collectors and store run as processes; they are killed, held, cut off, and given full disks,
    corrupt spools and restored databases. Leaves with 0 where every reading that the devices made is in the store
    once and as it was, or declared missing; else with 1. The same seed gives the same schedule.

    Example: messnetz chaos --seed 7 --minutes 0.5
    """
    seed = random.SystemRandom().randrange(LARGEST_SEED + 1) if seed is None else seed
    town = generate.town(agents, agents * DEVICES_EACH)
    kind_of_store = store.choose(cast("store.Kind | None", wanted))
    kind_of_broker = broker.choose(cast("broker.Kind | None", relay))
    most = _most_collectors(kind_of_broker, kind_of_store)
    faketime, skipped = find_faketime() if "clock" in kinds else None, []
    if "clock" in kinds and faketime is None:
        skipped.append("clock steps: libfaketime is not installed; `apt install faketime`")
    if collectors is not None and collectors > most:
        skipped.append(f"{collectors} collectors: {kind_of_broker} and a store that is {kind_of_store} take one")
    size = Size(town, min(collectors or 2, most), kind_of_broker, kind_of_store, faketime)
    with view.choose(as_json=as_json) as shown, directory(keep, town, PREFIX) as place:
        report = _run(Run(place, size, seed, minutes, kinds, skipped, shown))
    if report is None:
        return 130
    for line in reports.table(report):
        click.echo(line, err=as_json)
    if as_json:
        click.echo(msgspec.json.encode(report))
    return 0 if report.verdict == "whole" else 1


def _most_collectors(relay: broker.Kind, kind: store.Kind) -> int:
    """Several need a broker with shared subscriptions, and a store that is a server."""
    return MOST_COLLECTORS if relay == "mosquitto" and kind == "influx1" else 1


def _run(run: Run) -> Report | None:
    """Run it in an event loop of its own; None where it was interrupted before its account."""
    try:
        return asyncio.run(run.run())
    except (asyncio.CancelledError, KeyboardInterrupt):
        return None
    except DemoError as error:
        raise DemoError(f"seed {run.seed}: {error}") from error
