"""`messnetz demo`."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
import msgspec

from simulator import broker, stores
from simulator.demo import Demo, View, run_demo
from simulator.plain import PlainView, account_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@click.command()
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
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="An empty directory to leave all in.")
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_picture,
    hidden=True,
    help="Save the last picture.",
)
def demo(
    *,
    seconds: int | None,
    as_json: bool,
    store: stores.StoreChoice,
    kind: str | None,
    keep: Path | None,
    svg: Path | None,
) -> int:
    """Run a small town on this machine: seven meters, gateway, broker, collector and database.

    Leaves with 0 where every reading that the meters made is in the store once, as it was; else with 1.
    """
    is_live = _can_draw() and not as_json
    view = _view(is_live=is_live or svg is not None, as_json=as_json, svg=svg)
    if seconds is None and not is_live:
        seconds = PLAIN_SECONDS
    with _directory(keep) as directory:
        chosen = broker.choose(cast("broker.Kind | None", kind))
        account = run_demo(Demo(directory, chosen, store, seconds, view))
    if account is None:
        return 130
    for line in account_lines(account, store.label):
        view.say(line)
    if as_json:
        click.echo(msgspec.json.encode(account))
    return 0 if account.is_clean else 1


def _can_draw() -> bool:
    """Whether stdout is a terminal that shows a picture made of lines and arrows."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and sys.stdout.encoding.lower() == "utf-8"


def _view(*, is_live: bool, as_json: bool, svg: Path | None) -> View:
    if not is_live:
        return PlainView(to_stderr=as_json)
    from simulator.picture import LiveView  # noqa: PLC0415 - rich is for the live picture alone

    return LiveView(svg)


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="messnetz-demo-") as name:
            yield Path(name).resolve()
        return
    directory = keep.resolve()
    if len(os.fsencode(directory)) > MAX_DIRECTORY_BYTES:
        raise click.BadParameter(f"{directory} is too long a path for the agent's socket", param_hint="--keep")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        is_empty = not any(directory.iterdir())
    except OSError as error:
        raise click.BadParameter(
            f"{directory} cannot be made or read ({error.strerror})", param_hint="--keep"
        ) from error
    if not is_empty:
        raise click.BadParameter(f"{directory} is not empty", param_hint="--keep")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise click.BadParameter(f"{directory} cannot be written to", param_hint="--keep")
    yield directory
    click.echo(f"everything is left in {directory}", err=True)
