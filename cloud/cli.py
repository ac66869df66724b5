"""`messnetz cloud`: check a collector's file, run the collector, read what the store holds."""

from __future__ import annotations

import logging
import signal
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from base.errors import PermanentError
from cloud import config as configs
from cloud import export as exports
from cloud import registry as registries
from cloud.stores.config import missing_file, open_store

if TYPE_CHECKING:
    from cloud.config import CollectorFile
    from cloud.export import ExportedReading
    from cloud.registry import Registry

DEFAULT_FILE = Path("/etc/messnetz/collector.yaml")
END_OF_TIME_MS = 9_223_372_036_854  # the last whole millisecond that a store's nanoseconds can hold
_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])

_file = click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_FILE)


@click.group()
def cloud() -> None:
    """Collect what gateways send, and read the store."""


def _load(file: Path) -> tuple[CollectorFile, Registry]:
    config = configs.load(file)
    return config, registries.load(file.parent / config.registry)


@cloud.command()
@_file
@click.option("--offline", is_flag=True, help="Check the files only; do not reach for the store.")
def check(file: Path, *, offline: bool) -> None:
    """Check a collector's file, its registry, and whether the store can be reached.

    Example: messnetz cloud check collector.yaml
    """
    config, registry = _load(file)
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


@cloud.command()
@_file
def run(file: Path) -> None:
    """Run the collector until it is told to stop (SIGTERM, Ctrl-C).

    Example: messnetz cloud run /etc/messnetz/collector.yaml
    """
    from cloud.collector import Collector  # noqa: PLC0415 - `export` needs no MQTT

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    config, registry = _load(file)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with closing(open_store(config.store, file.parent)) as store:
        Collector(config, registry, store).run(stop)


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
    if latest and exports.UNREGISTERED in only:
        raise click.UsageError("--latest does not go with unregistered readings: they belong to no series of their own")
    config = configs.load(file)
    missing = missing_file(config.store, file.parent)
    if missing is not None:
        raise PermanentError(f"{missing}: no store; has the collector ever run?")
    with closing(open_store(config.store, file.parent)) as store:
        store.prepare()
        while True:
            span = _ms(start, 0), _ms(end, END_OF_TIME_MS)
            for reading in exports.latest(store, only) if latest else exports.readings(store, *span, only):
                click.echo(msgspec.json.encode(reading) if as_json else _row(reading))
            if every_s is None:
                return
            click.echo()
            time.sleep(every_s)


def _ms(moment: datetime | None, default: int) -> int:
    return default if moment is None else round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _row(reading: ExportedReading) -> str:
    moment = datetime.fromtimestamp(reading.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    name = f"{reading.quantity}/{reading.channel}" if reading.channel else reading.quantity
    flags = f"  flags {reading.flags}" if reading.flags else ""
    return f"{moment}  {reading.device:24} {name:28} {reading.value:>16}{flags}"
