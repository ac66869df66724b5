"""The watchers of a running demo: they ask the processes as a user would, by their commands."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from simulator.account import GatewayStatus, Stored, Witness, gaps
from simulator.ledger import Ledger
from simulator.processes import DemoError, Process, lines, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from simulator.account import Account, Gap
    from simulator.devices import Poll
    from simulator.progress import Progress
    from simulator.town_files import TownFiles

DAY_MS = 86_400_000
TRIES = 5
PAUSE_S = 1.0
COMMAND_TIMEOUT_S = 30.0
EXPORT_TIMEOUT_S = 300.0
REST = 3
"""Counting the store takes a quarter of the time at most, however much it holds."""

T = TypeVar("T")

_statuses = msgspec.json.Decoder(GatewayStatus)
_readings = msgspec.json.Decoder(Stored)


def decode_status(line: bytes) -> GatewayStatus:
    """Read one line of `gateway status --json`.

    Raises: DemoError where it is none.
    """
    try:
        return _statuses.decode(line)
    except msgspec.DecodeError as error:
        raise DemoError(f"`messnetz gateway status` wrote {line[:80]!r}: {error}") from error


def decode_reading(line: bytes) -> Stored:
    """Read one line of `cloud export --json`.

    Raises: DemoError where it is none.
    """
    try:
        return _readings.decode(line)
    except msgspec.DecodeError as error:
        raise DemoError(f"`messnetz cloud export` wrote {line[:80]!r}: {error}") from error


async def status(files: TownFiles) -> GatewayStatus:
    """Ask for the state of all agents and their spools, once and added up; works when they have ended, too.

    Raises: DemoError where one does not answer, or cannot read its spool.
    """
    return GatewayStatus.total([await status_of(files, gateway.id) for gateway in files.town.gateways])


async def status_of(files: TownFiles, gateway: str) -> GatewayStatus:
    """Ask for the state of one agent and its spool, as `status` does.

    Raises: DemoError where it does not answer, or cannot read its spool.
    """
    output = await run(("gateway", "status", str(files.gateway_file(gateway)), "--json"), COMMAND_TIMEOUT_S)
    found = decode_status(output.strip())
    if found.spool_error:
        raise DemoError(f"{gateway}: {found.spool_error}")
    return found


async def read_store(files: TownFiles, witness: Witness, take: Callable[[Stored], object], log: Path) -> None:
    """Hand over all readings of this run that the store gives back, what the gateways tell of themselves included.

    Raises: DemoError where the export fails or takes too long.
    """

    def sift(reading: Stored) -> None:
        if witness.concerns(reading) or witness.is_own(reading):
            take(reading)

    await _export(files, witness, sift, log)


async def read_unregistered(files: TownFiles, witness: Witness, take: Callable[[Stored], object], log: Path) -> None:
    """Hand over what the store holds as unregistered since this run began.

    Raises: DemoError where the export fails or takes too long.
    """
    await _export(files, witness, take, log, "--measurement", "unregistered")


async def read_gaps(files: TownFiles, witness: Witness, log: Path) -> list[Gap]:
    """Return the gaps that reach into this run.

    Raises: DemoError where the export fails or takes too long.
    """
    found: list[Stored] = []
    earlier = replace(witness, since_ms=witness.since_ms - DAY_MS)  # a gap may have begun before
    await _export(files, earlier, found.append, log, "--measurement", "gap")
    return gaps(found)


async def settle(files: TownFiles, witness: Witness, polls: Iterable[Poll], log: Path) -> Account:
    """Read everything back from the store and the spools, and make the account; memory stays bounded.

    Raises: DemoError where a command fails or takes too long.
    """
    ledger = Ledger(witness, polls)
    await read_store(files, witness, ledger.store, log)
    await read_unregistered(files, witness, ledger.unregister, log)
    return ledger.account(await status(files), await read_gaps(files, witness, log))


async def _export(
    files: TownFiles, witness: Witness, take: Callable[[Stored], object], log: Path, *options: str
) -> None:
    span = ["--from", _moment(witness.since_ms // 1000 - 1)]
    if witness.until_ms is not None:
        span += ["--to", _moment(witness.until_ms // 1000 + 1)]
    command = ("cloud", "export", str(files.collector), "--json", *span, *options)
    try:
        async with asyncio.timeout(EXPORT_TIMEOUT_S), aclosing(lines(command, log)) as output:
            async for line in output:
                take(decode_reading(line))
    except TimeoutError as error:
        raise DemoError(f"`messnetz cloud export` took longer than {EXPORT_TIMEOUT_S:g} s") from error


def _moment(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


async def until_one_dies(*processes: Process) -> None:
    """Return never; raises DemoError for the first process that ends."""
    tasks = {asyncio.create_task(process.wait()): process for process in processes}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        raise tasks[done.pop()].died()
    finally:
        for task in tasks:
            task.cancel()


async def follow_status(files: TownFiles, progress: Progress, log: Path) -> None:
    """Keep the gateways' status up to date; never returns.

    Raises: DemoError where the command fails again and again.
    """
    if len(files.town.gateways) > 1:  # a process for each of them would cost more than the town
        while True:
            progress.learn(await patiently(lambda: status(files)))
            await asyncio.sleep(PAUSE_S * len(files.town.gateways))
    command = ("gateway", "status", str(files.gateway), "--json", "--every", "1")

    def take(line: bytes) -> None:
        heard = decode_status(line)
        if not heard.spool_error:
            progress.learn(heard)

    await _follow(command, take, log)


async def follow_latest(files: TownFiles, witness: Witness, progress: Progress, log: Path) -> None:
    """Keep the latest stored values up to date; never returns.

    Raises: DemoError where the command fails again and again.
    """

    def take(line: bytes) -> None:
        if line.strip():  # an empty line ends each round
            reading = decode_reading(line)
            if witness.concerns(reading):
                progress.latest[reading.device, reading.name] = reading

    await _follow(("cloud", "export", str(files.collector), "--json", "--latest", "--every", "1"), take, log)


async def follow_stored(files: TownFiles, witness: Witness, progress: Progress, log: Path) -> None:
    """Keep counting what the store holds; never returns.

    Raises: DemoError where the export fails again and again.
    """
    while True:
        began = time.monotonic()
        progress.stored, progress.own = await patiently(lambda: count(files, witness, log))
        took_s = time.monotonic() - began
        await asyncio.sleep(max(PAUSE_S, REST * took_s))


async def count(files: TownFiles, witness: Witness, log: Path) -> tuple[int, int]:
    """Numbers of this run's readings in the store: all, and those that the gateways told of themselves."""
    number = own = 0

    def take(reading: Stored) -> None:
        nonlocal number, own
        number += 1
        own += not witness.concerns(reading)

    await read_store(files, witness, take, log)
    return number, own


async def _follow(command: Sequence[str], take: Callable[[bytes], None], log: Path) -> None:
    """Hand over the lines of a command that repeats itself, and start it again where it ends."""

    async def once() -> None:
        async with aclosing(lines(command, log)) as output:
            async for line in output:
                take(line)

    while True:
        await patiently(once)
        await asyncio.sleep(PAUSE_S)


async def patiently(do: Callable[[], Awaitable[T]]) -> T:
    """Do a thing, `TRIES` times if need be: what it asks may only be coming up."""
    for left in reversed(range(TRIES)):
        try:
            return await do()
        except DemoError:
            if not left:
                raise
            await asyncio.sleep(PAUSE_S)
    raise AssertionError
