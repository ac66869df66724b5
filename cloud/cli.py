"""`messnetz cloud`: check a collector's file, run the collector, read what the store holds."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click
import msgspec

from base.errors import PermanentError, Position
from base.messages import Text
from cloud import adopt as adoption
from cloud import config as configs
from cloud import export as exports
from cloud import registry as registries
from cloud.amended import check_successor
from cloud.command_cli import command, key
from cloud.garbage import spare_what_is_loaded
from cloud.outcomes import Kind
from cloud.progress import Progress
from cloud.stores.config import missing_file, open_store
from cloud.unregistered import UNREGISTERED

if TYPE_CHECKING:
    from cloud.config import CollectorFile
    from cloud.export import ExportedReading
    from cloud.registry import Registry
    from cloud.stores.interface import Store

DEFAULT_FILE = Path("/etc/messnetz/collector.yaml")
END_OF_TIME_MS = 9_223_372_036_854  # the last whole millisecond that a store's nanoseconds can hold
_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])

ASK = Text(de="Übernehmen?", en="Adopt them?")

_file = click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_FILE)


@click.group()
def cloud() -> None:
    """Collect what gateways send; read the store, adopt what it holds without a place; command gateways."""


cloud.add_command(command)
cloud.add_command(key)


def _load(file: Path) -> tuple[CollectorFile, Registry]:
    config = configs.load(file)
    known = registries.load(file.parent / config.registry)
    configs.check_id(file, config, known)
    return config, known


@cloud.command()
@_file
@click.option("--offline", is_flag=True, help="Check the files only; do not reach for the store.")
def check(file: Path, *, offline: bool) -> None:
    """Check a collector's file, its registry and its store.

    Example: messnetz cloud check collector.yaml
    """
    config, registry = _load(file)
    configs.read_group(config, file.parent)
    if not offline:
        _reach(config, file)
    click.echo(f"{file}: ok ({config.collector}: {len(registry)} devices)")


def _reach(config: CollectorFile, file: Path) -> None:
    """Reach the store; one that is a file, and that the collector has not made yet, is only looked for."""
    missing = missing_file(config.store, file.parent)
    if missing is not None:
        click.echo(f"{missing}: not there yet; the collector will make it")
        return
    with closing(open_store(config.store, file.parent)) as store:
        store.prepare()


_force = click.option(
    "--force", is_flag=True, help="On SIGHUP take any registry, also one that alters history or has lost many devices."
)


@cloud.command()
@_file
@_force
def run(file: Path, *, force: bool) -> None:
    """Run all that a small town needs, in one process.

    Until it is told to stop (SIGTERM, Ctrl-C). Today that is the collector. SIGHUP makes it read the registry again.

    Example: messnetz cloud run /etc/messnetz/collector.yaml
    """
    _collect(file, force=force)


@cloud.command()
@_file
@_force
def collect(file: Path, *, force: bool) -> None:
    """Run a collector alone, one of several.

    They share a subscription. SIGTERM ends it, SIGHUP makes it read the registry again.

    Example: messnetz cloud collect /etc/messnetz/collector.yaml
    """
    _collect(file, force=force)


def _collect(file: Path, *, force: bool) -> None:
    from cloud.collector import Collector  # noqa: PLC0415 - `export` needs no MQTT

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    config, registry = _load(file)
    group = configs.read_group(config, file.parent)
    stop = threading.Event()

    def reload(before: Registry) -> Registry:
        after = registries.load(file.parent / config.registry)
        configs.check_id(file, config, after)
        if not force:
            today = datetime.now(UTC).date().isoformat()
            check_successor(before.file, after.file, today, Position(file.parent / config.registry))
        spare_what_is_loaded()
        return after

    with closing(open_store(config.store, file.parent)) as store:
        collector = Collector(config, registry, store, group=group, reload=reload)
        spare_what_is_loaded()
        stop_on_signals(stop)
        signal.signal(signal.SIGHUP, lambda *_: collector.ask_reload())
        collector.run(stop)


def stop_on_signals(stop: threading.Event) -> None:
    """Have SIGTERM and SIGINT set an event; on the main thread only.

    Not in the handler itself: it may interrupt a wait of the main thread that holds the event's lock, and would wait
    for it for ever. What a handler may do is to put something into a SimpleQueue.
    """
    asked: SimpleQueue[int] = SimpleQueue()

    def watch() -> None:
        asked.get()
        stop.set()

    threading.Thread(target=watch, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _frame: asked.put(caught))


def _measurements(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not exports.is_known(name):
            raise click.BadParameter(f"{name!r} holds no readings; docs/measurements.md lists those that do")
    return names


@cloud.command()
@_file
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a reading and line.")
@click.option("--from", "start", type=_DAY, metavar="DAY", help="First day or time (UTC); the beginning unless given.")
@click.option("--to", "end", type=_DAY, metavar="DAY", help="Day or time (UTC) before which to stop.")
@click.option(
    "--measurement",
    "only",
    multiple=True,
    metavar="NAME",
    callback=_measurements,
    help="Only this one; may be repeated, and may be `unregistered` or `gap`.",
)
@click.option("--latest", is_flag=True, help="Only the newest value of each quantity.")
@click.option("--every", "every_s", type=click.FloatRange(min=0.1), help="Again, every so many seconds.")
def export(  # noqa: PLR0913 - click hands every option over
    file: Path,
    *,
    as_json: bool,
    start: datetime | None,
    end: datetime | None,
    only: tuple[str, ...],
    latest: bool,
    every_s: float | None,
) -> None:
    """Print the readings that the store holds, good and suspect ones.

    Example: messnetz cloud export collector.yaml --from 2026-11-22 --json
    """
    if latest and UNREGISTERED in only:
        raise click.UsageError("--latest does not go with unregistered readings: they belong to no series of their own")
    with closing(_open(configs.load(file), file)) as store:
        while True:
            span = _ms(start, 0), _ms(end, END_OF_TIME_MS)
            for reading in exports.latest(store, only) if latest else exports.readings(store, *span, only):
                click.echo(msgspec.json.encode(reading) if as_json else _row(reading))
            if every_s is None:
                return
            click.echo()
            time.sleep(every_s)


def _open(config: CollectorFile, file: Path) -> Store:
    """Open a store that is there; one that is a file is not made to be read."""
    missing = missing_file(config.store, file.parent)
    if missing is not None:
        raise PermanentError(f"{missing}: no store; has the collector ever run?")
    store = open_store(config.store, file.parent)
    store.prepare()
    return store


@cloud.command()
@_file
@click.option("--device", metavar="ID", help="Only readings of this device.")
@click.option("--gateway", metavar="ID", help="Only readings that this gateway sent.")
@click.option("--from", "start", type=_DAY, metavar="DAY", help="First day or time (UTC); the beginning unless given.")
@click.option("--to", "end", type=_DAY, metavar="DAY", help="Day or time (UTC) before which to stop.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Only show what waits, and what would become of it.")
@click.option("--yes", "is_meant", is_flag=True, help="Do not ask.")
def adopt(  # noqa: PLR0913 - click hands every option over
    file: Path,
    *,
    device: str | None,
    gateway: str | None,
    start: datetime | None,
    end: datetime | None,
    is_dry: bool,
    is_meant: bool,
) -> None:
    """Bring unregistered readings to where they belong.

    They came before the registry knew their device. Shows first what would become of every reading that is
    unregistered, and asks; then copies each to its place and marks it, and a table says what became of it. May be
    stopped and run again: it goes on where it was.

    Example: messnetz cloud adopt collector.yaml --dry-run
    """
    if not is_dry and not is_meant and not sys.stdin.isatty():
        raise click.UsageError("nobody is here to ask: --yes to adopt, --dry-run to see what would be adopted")
    config, registry = _load(file)
    choice = adoption.Choice(_ms(start, 0), _ms(end, END_OF_TIME_MS), gateway, device)
    with closing(_open(config, file)) as store:
        for is_look in [True] if is_dry else [False] if is_meant else [True, False]:
            with Progress() as progress:
                tally = adoption.adopt(store, registry, choice, is_dry=is_look, looked=progress.looked)
            click.echo("\n".join(tally.table(is_dry=is_look)))
            if is_look and not is_dry and not (tally.total(Kind.TO_ADOPT, Kind.PRESENT) and click.confirm(ASK.say())):
                return


def _ms(moment: datetime | None, default: int) -> int:
    return default if moment is None else round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _row(reading: ExportedReading) -> str:
    moment = datetime.fromtimestamp(reading.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    name = f"{reading.quantity}/{reading.channel}" if reading.channel else reading.quantity
    flags = f"  flags {reading.flags}" if reading.flags else ""
    return f"{moment}  {reading.device:24} {name:28} {reading.value:>16}{flags}"
