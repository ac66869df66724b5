"""`messnetz demo`."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
import msgspec

from simulator import broker, control, generate, stores
from simulator.demo import Demo, View, run_demo
from simulator.faults import KINDS
from simulator.history import HistoryPlan
from simulator.plain import PlainView, account_lines
from simulator.town import DEMO, INTERVAL_S
from simulator.town_files import TownFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.spec import TownSpec

MOST_GATEWAYS = 24
"""Each is a process of some 40 MB; `simulator.fleet` plays thousands."""
MOST_DEVICES = 2_000
DEVICES_EACH = 7
DAY_S = 86_400
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": DAY_S}
PLAIN_SECONDS = 60
MAX_DIRECTORY_BYTES = 95
"""The kernel takes paths of Unix sockets up to 107 bytes; the rest is for `/agent.sock`."""


def _store(_context: click.Context, _option: click.Parameter, text: str) -> stores.StoreChoice:
    try:
        return stores.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _picture(_context: click.Context, _option: click.Parameter, file: Path | None) -> Path | None:
    """Find out now, and not at the end, whether the picture can be saved."""
    if file is not None:
        try:
            file.open("ab").close()
        except OSError as error:
            raise click.BadParameter(f"{file} cannot be written ({error.strerror})") from error
    return file


class Duration(click.ParamType[float]):
    """A time such as `30d`, `12h`, `5m`, `60s` or a number of seconds."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Turn it into seconds."""
        found = _DURATION.fullmatch(str(value))
        if found is None or not float(found[1]):
            self.fail(f"{value!r} is no time such as 30d, 12h, 5m or 60s", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


KEEP = click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="An empty directory to leave all in."
)


@click.group(invoke_without_command=True)
@click.pass_context
@click.option("--seconds", type=click.IntRange(min=1), help="How long to run. [default: until Ctrl-C; 60 in a pipe]")
@click.option("--json", "as_json", is_flag=True, help="End with the account as JSON; progress goes to stderr.")
@click.option(
    "--store",
    metavar="STORE",
    callback=_store,
    default="embedded",
    show_default=True,
    help="embedded, influx1:URL[/DATABASE] or influx2:URL[/ORG/BUCKET] (token in MESSNETZ_INFLUX_TOKEN).",
)
@click.option("--broker", "kind", type=click.Choice(["mosquitto", "amqtt"]), help="[default: mosquitto if installed]")
@KEEP
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_picture,
    hidden=True,
    help="Save the last picture.",
)
@click.option("--gateways", type=click.IntRange(1, MOST_GATEWAYS), help="Another town: so many gateways. [default: 1]")
@click.option("--devices", type=click.IntRange(1, MOST_DEVICES), help="Another town: so many meters in all.")
@click.option("--interval", "interval_s", type=click.FloatRange(0.5, 3600), help="Seconds between polls. [default: 2]")
@click.option("--history", "history_s", type=Duration(), help="First fill the store with so much past, e.g. 30d.")
@click.option(
    "--history-interval", "step_s", type=Duration(), default="5m", show_default=True, help="Between its ticks."
)
def demo(  # noqa: PLR0913 - click hands every option over
    context: click.Context,
    *,
    seconds: int | None,
    as_json: bool,
    store: stores.StoreChoice,
    kind: str | None,
    keep: Path | None,
    svg: Path | None,
    gateways: int | None,
    devices: int | None,
    interval_s: float | None,
    history_s: float | None,
    step_s: float,
) -> int:
    """Run a small town on this machine, from meters to database.

    Seven meters, gateway, broker, collector. Leaves with 0 where every reading that the meters made is in the store
    once, as it was; else with 1.
    `messnetz demo fault` breaks something in a running one.

    Example: messnetz demo --seconds 30 --keep town
    """
    if context.invoked_subcommand is not None:
        return 0
    town = _town(gateways, devices, interval_s)
    history = HistoryPlan(history_s / DAY_S, step_s) if history_s else None
    is_live = _can_draw() and not as_json
    view = _view(is_live=is_live or svg is not None, as_json=as_json, svg=svg)
    if seconds is None and not is_live:
        seconds = PLAIN_SECONDS
    with directory(keep, town, control.DEMO_PREFIX) as place:
        chosen = broker.choose(cast("broker.Kind | None", kind))
        account = run_demo(Demo(place, chosen, store, seconds, view, town, history))
    if account is None:
        return 130
    for line in account_lines(account, store.label):
        view.say(line)
    if as_json:
        click.echo(msgspec.json.encode(account))
    return 0 if account.is_clean else 1


@demo.command()
@click.argument("target", metavar="DEVICE")
@click.argument("kind", type=click.Choice([*KINDS, "mend"]))
@click.option("--for", "for_s", type=Duration(), help="End it after this time, e.g. 60s. [default: never]")
@click.option("--how", default="", help="Of garbage, wrong and refuse: which one of them. [default: any]")
@click.option("--delay", "delay_s", type=Duration(), default="0.4s", show_default=True, help="Of slow.")
@click.option("--in", "directory", type=click.Path(file_okay=False, path_type=Path), help="Where the demo was kept.")
def fault(target: str, kind: str, for_s: float | None, how: str, delay_s: float, directory: Path | None) -> None:
    """Break a device of the running demo, or mend it.

    `off` takes its whole bus.

    Example: messnetz demo fault school-gym wrong --how negative --for 60s
    """
    control.give(control.find(directory), control.Order(target, kind, how, delay_s, for_s))


def _town(gateways: int | None, devices: int | None, interval_s: float | None) -> TownSpec:
    """The demo town, or one that was asked for."""
    if gateways is None and devices is None:
        return DEMO if interval_s is None else replace(DEMO, interval_s=interval_s)
    wanted = gateways or 1
    try:
        return generate.town(wanted, devices or wanted * DEVICES_EACH, interval_s=interval_s or float(INTERVAL_S))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--devices") from error


def _can_draw() -> bool:
    """Whether stdout is a terminal that shows a picture made of lines and arrows."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and sys.stdout.encoding.lower() == "utf-8"


def _view(*, is_live: bool, as_json: bool, svg: Path | None) -> View:
    if not is_live:
        return PlainView(to_stderr=as_json)
    from simulator.picture import LiveView  # noqa: PLC0415 - rich is for the live picture alone

    return LiveView(svg)


@contextmanager
def directory(keep: Path | None, town: TownSpec, prefix: str) -> Iterator[Path]:
    """Make the directory of a run: the one to keep, or one that goes with it."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix=prefix) as name:
            yield Path(name).resolve()
        return
    place = keep.resolve()
    homes = [TownFiles(place, town).home(gateway.id) for gateway in town.gateways]
    if max(len(os.fsencode(home)) for home in homes) > MAX_DIRECTORY_BYTES:
        raise click.BadParameter(f"{place} is too long a path for the agent's socket", param_hint="--keep")
    try:
        place.mkdir(parents=True, exist_ok=True)
        is_empty = not any(place.iterdir())
    except OSError as error:
        raise click.BadParameter(f"{place} cannot be made or read ({error.strerror})", param_hint="--keep") from error
    if not is_empty:
        raise click.BadParameter(f"{place} is not empty", param_hint="--keep")
    if not os.access(place, os.W_OK | os.X_OK):
        raise click.BadParameter(f"{place} cannot be written to", param_hint="--keep")
    yield place
    click.echo(f"everything is left in {place}", err=True)
