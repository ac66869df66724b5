"""`messnetz gateway`: check a gateway's file, run the agent, ask it how it is."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from base.messages import Text
from base.mqtt import read_credentials
from gateway import config as configs
from gateway import status as statuses
from gateway.command_keys import read_keys
from gateway.spool import read_totals

if TYPE_CHECKING:
    from gateway.config import GatewayConfig

DEFAULT_FILE = Path("/etc/messnetz/gateway.yaml")

CHECKED = Text(
    de="{file}: in Ordnung ({gateway}: {buses} Busse, {devices} Geräte)",
    en="{file}: ok ({gateway}: {buses} buses, {devices} devices)",
)
CONNECTED = Text(de="verbunden", en="connected")
NOT_CONNECTED = Text(de="nicht verbunden", en="not connected")
REJECTED = Text(de=", {rejected_readings} abgelehnt", en=", {rejected_readings} rejected")
STATUS = Text(
    de="{gateway}: {state}, {connected}; {sealed_readings} Messwerte in {sealed_batches} Paketen versiegelt, "
    "{confirmed_readings} bestätigt{rejected}; {pending_readings} noch nicht versiegelt",
    en="{gateway}: {state}, {connected}; {sealed_readings} readings sealed in {sealed_batches} batches, "
    "{confirmed_readings} confirmed{rejected}; {pending_readings} not sealed yet",
)

_file = click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_FILE)


@click.group()
def gateway() -> None:
    """Run the agent on a gateway."""


@gateway.command()
@_file
@click.option("--here", is_flag=True, help="Also load passwords, certificates and keys: for the gateway itself.")
def check(file: Path, *, here: bool) -> None:
    """Check a gateway's file; touches no device.

    Example: messnetz gateway check gateways/town-hall-gw.yaml
    """
    config = configs.load(file)
    if here:
        read_credentials(config.file.mqtt)
        read_keys(config.file.command_key)
    devices = sum(len(bus.devices) for bus in config.buses)
    click.echo(CHECKED.say(file=file, gateway=config.file.gateway, buses=len(config.buses), devices=devices))


@gateway.command()
@_file
def run(file: Path) -> None:
    """Run the agent until it is told to stop (SIGTERM, Ctrl-C).

    Example: messnetz gateway run /etc/messnetz/gateway.yaml
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    raise SystemExit(asyncio.run(_run(file)))


async def _run(file: Path) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # before anything else: a stop may come at once
        loop.add_signal_handler(number, stop.set)
    from gateway.agent import Agent  # noqa: PLC0415 - `status` needs no MQTT

    return 1 if await Agent(configs.load(file)).run(stop) else 0


@gateway.command()
@_file
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a line.")
@click.option("--every", "every_s", type=click.FloatRange(min=0.1), help="Again and again, every so many seconds.")
def status(file: Path, *, as_json: bool, every_s: float | None) -> None:
    """Show what the agent has sealed and what the collector has confirmed.

    Works on the spool alone where no agent runs.

    Example: messnetz gateway status --json
    """
    config = configs.load(file)
    while True:
        answer = _ask(config)
        click.echo(json.dumps(answer) if as_json else _sentence(answer))
        if every_s is None:
            return
        time.sleep(every_s)


def _ask(config: GatewayConfig) -> dict[str, object]:
    answer = statuses.ask(Path(config.file.socket))
    if answer is not None:
        return answer
    totals = read_totals(Path(config.file.spool.path))
    return {
        "gateway": config.file.gateway,
        "running": False,
        "state": "offline",
        "connected": False,
        "stream": "",
        "pending_readings": 0,
        **asdict(totals),
    }


def _sentence(answer: dict[str, object]) -> str:
    connected = CONNECTED if answer["connected"] else NOT_CONNECTED
    rejected = REJECTED.say(**answer) if answer["rejected_readings"] else ""
    return STATUS.say(**{**answer, "connected": connected.say(), "rejected": rejected})
