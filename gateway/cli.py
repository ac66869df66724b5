"""`messnetz gateway`: check a gateway's file, run the agent, ask it how it is."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from base.broker import read_credentials
from base.errors import TransientError
from base.memory import hold_little
from base.messages import Text
from gateway import config as configs
from gateway import status as statuses
from gateway.bustime import percent
from gateway.command_keys import read_keys
from gateway.counted import ARE_SENT, BATCHES, BUSES, DEVICES
from gateway.spool import read_totals

if TYPE_CHECKING:
    from gateway.status import Place

DEFAULT_FILE = Path("/etc/messnetz/gateway.yaml")

CHECKED = Text(
    de="{file}: in Ordnung ({gateway}: {buses}, {devices})",
    en="{file}: ok ({gateway}: {buses}, {devices})",
)
SHARE = Text(
    de="  Bus {bus}: {share} seiner Zeit für {devices}",
    en="  bus {bus}: {share} of its time for {devices}",
)
TIGHT = Text(
    de="  Warnung: Bus {bus} hat keine Reserve für Geräte, die spät oder gar nicht antworten ({sum}). Besser: {remedy}",
    en="  warning: bus {bus} has nothing left for devices that answer late or not at all ({sum}). Better: {remedy}",
)
RELOADED = Text(de="{gateway}: Konfiguration {config} ist in Kraft", en="{gateway}: configuration {config} is in force")
RESENT = Text(
    de="{gateway}: {batches}, bestätigt oder gemessen von {begin} bis {end} (UTC), {are} noch einmal gesendet",
    en="{gateway}: {batches}, confirmed or measured from {begin} to {end} (UTC), {are} sent again",
)
RESENT_NONE = Text(
    de="{gateway}: der Zwischenspeicher hat keine bestätigten Pakete von {begin} bis {end} (UTC)",
    en="{gateway}: the spool has no settled batches from {begin} to {end} (UTC)",
)
RELOAD_TIMEOUT_S = 120.0
"""A reading under way on a bus that changes is finished first."""
RESEND_TIMEOUT_S = 60.0
_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

_file = click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_FILE)


@click.group()
def gateway() -> None:
    """Check, run and ask the agent on a gateway."""


@gateway.command()
@_file
@click.option("--here", is_flag=True, help="Also load passwords, certificates and keys: for the gateway itself.")
def check(file: Path, *, here: bool) -> None:
    """Check a gateway's file, and whether its buses can keep up.

    Touches no device.

    Example: messnetz gateway check gateways/town-hall-gw.yaml
    """
    config = configs.load(file)
    if here:
        read_credentials(config.file.mqtt)
        read_keys(config.file.command_key)
    devices = sum(len(bus.devices) for bus in config.buses)
    buses = BUSES.say(len(config.buses))
    click.echo(CHECKED.say(file=file, gateway=config.file.gateway, buses=buses, devices=DEVICES.say(devices)))
    for time_of in config.bus_times:
        click.echo(SHARE.say(bus=time_of.bus, share=percent(time_of.share), devices=DEVICES.say(len(time_of.parts))))
        if time_of.remedy:
            click.echo(TIGHT.say(bus=time_of.bus, sum=time_of.sum_shown(), remedy=time_of.remedy), err=True)


@gateway.command()
@_file
def run(file: Path) -> None:
    """Run the agent until it is told to stop (SIGTERM, Ctrl-C).

    SIGHUP reloads its file.

    Example: messnetz gateway run /etc/messnetz/gateway.yaml
    """
    hold_little()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    raise SystemExit(asyncio.run(_run(file)))


async def _run(file: Path) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # before anything else: a stop may come at once
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until there is an agent to reload
    from gateway.agent import Agent, reload_quietly  # noqa: PLC0415 - `status` needs no MQTT

    agent = Agent(configs.load(file))
    reloads: set[asyncio.Task[None]] = set()

    def on_hangup() -> None:
        task = loop.create_task(reload_quietly(agent))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    return 1 if await agent.run(stop) else 0


@gateway.command()
@_file
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a line.")
@click.option("--every", "every_s", type=click.FloatRange(min=0.1), help="Again and again, every so many seconds.")
def status(file: Path, *, as_json: bool, every_s: float | None) -> None:
    """Show how the agent, its buses and its devices are.

    And what is sealed and confirmed. Works on the spool alone where no agent runs.

    Example: messnetz gateway status --json
    """
    import json  # noqa: PLC0415 - `run` needs neither

    from gateway import show  # noqa: PLC0415

    place = statuses.place(file)
    while True:
        answer = _ask(place)
        click.echo(json.dumps(answer) if as_json else "\n".join(show.status(answer)))
        if every_s is None:
            return
        time.sleep(every_s)


@gateway.command()
@_file
@click.option("--every", "every_s", type=click.FloatRange(min=0.1), default=1.0, help="Seconds between two looks.")
def watch(file: Path, *, every_s: float) -> None:
    """Watch the agent at work, until Ctrl-C.

    Shows every device with its last values.

    Example: messnetz gateway watch
    """
    from gateway import watch as watching  # noqa: PLC0415 - for this command alone

    place = statuses.place(file)
    watching.run(lambda: _command(place, latest=True), every_s)


@gateway.command()
@_file
def reload(file: Path) -> None:
    """Let the running agent take its file as it is now.

    Where it is wrong, the old one stays in force.

    Example: messnetz gateway reload
    """
    place = statuses.place(file)
    answer = _command(place, RELOAD_TIMEOUT_S, command="reload")
    click.echo(RELOADED.say(gateway=answer["gateway"], config=answer["config"]))


@gateway.command()
@_file
@click.option("--from", "begin", required=True, type=_TIME, metavar="TIME", help="That of the backup, UTC.")
@click.option("--to", "end", required=True, type=_TIME, metavar="TIME", help="That of the restoring, UTC.")
def resend(file: Path, *, begin: datetime, end: datetime) -> None:
    """Send once more what was confirmed in a time, or measured.

    For a database that was restored from a backup; what is sent twice is stored once.

    Example: messnetz gateway resend --from 2026-11-01 --to 2026-11-02T06:00
    """
    if end < begin:
        raise click.BadParameter(f"{end:%Y-%m-%dT%H:%M:%S} is before --from", param_hint="--to")
    place = statuses.place(file)
    from_ms, to_ms = (round(at.replace(tzinfo=UTC).timestamp() * 1000) for at in (begin, end))
    answer = _command(place, RESEND_TIMEOUT_S, command="resend", from_ms=from_ms, to_ms=to_ms)
    count = int(str(answer["batches"]))
    said, batches, are = RESENT if count else RESENT_NONE, BATCHES.say(count), ARE_SENT.form(count)
    click.echo(said.say(gateway=answer["gateway"], batches=batches, are=are, begin=begin, end=end))


def _command(place: Place, timeout_s: float = statuses.ASK_TIMEOUT_S, **asked: object) -> dict[str, object]:
    """Ask the running agent.

    Raises: TransientError where none runs or it cannot; ConfigError where it says that a file is wrong.
    """
    answer = _told_apart(place, statuses.ask(Path(place.socket), timeout_s, **asked))
    if answer is None:
        raise TransientError(f"{place.socket}: no agent runs; start it with `messnetz gateway run`")
    return answer


def _told_apart(place: Place, answer: dict[str, object] | None) -> dict[str, object] | None:
    """Return what the agent has answered.

    Raises: TransientError where another gateway's agent has.
    """
    if answer is not None and place.gateway and answer.get("gateway") != place.gateway:
        raise TransientError(
            f"{place.socket}: the agent of {answer.get('gateway')!r} answers, not that of {place.gateway!r};"
            " name that one's file, or give each a `socket` of its own"
        )
    return answer


def _ask(place: Place) -> dict[str, object]:
    answer = _told_apart(place, statuses.ask(Path(place.socket)))
    if answer is not None:
        return answer
    totals = read_totals(Path(place.spool.path))
    return {
        "gateway": place.gateway,
        "running": False,
        "state": "offline",
        "connected": False,
        "stream": "",
        "pending_readings": 0,
        **asdict(totals),
    }
