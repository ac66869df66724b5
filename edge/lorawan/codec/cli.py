"""`messnetz device codecs`: a town's own copy of a codec repository."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from base.messages import Text

if TYPE_CHECKING:
    from edge.lorawan.codec.examples import Outcome
    from edge.lorawan.codec.repository import Repository

SUMMARY = Text(
    de="{passed} von {examples} Beispielen stimmen ({rate} %); {codecs} Codecs, davon {unreadable} nicht lesbar",
    en="{passed} of {examples} examples are right ({rate} %); {codecs} codecs, {unreadable} of them not readable",
)
PROGRESS = Text(de="{codecs} Codecs, {passed} von {examples} Beispielen", en="{codecs} codecs, {passed} of {examples}")
NO_CODEC = Text(de="ohne Codec", en="without codec")
NONE = Text(de="kein Gerät passt", en="no device fits")
EVERY = 50

_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


@click.group()
def codecs() -> None:
    """Use your own copy of a codec repository.

    One in the layout of TheThingsNetwork/lorawan-devices.

    Example: messnetz device codecs list lorawan-devices dragino
    """


@codecs.command("list")
@_directory
@click.argument("query", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
def list_devices(*, directory: Path, query: tuple[str, ...], as_json: bool) -> None:
    """List the devices of a codec repository.

    Those whose vendor, model or name has all words of QUERY. What stands first is what `codec:` names in a gateway's
    file.

    Example: messnetz device codecs list lorawan-devices soil moisture
    """
    found = list(_open(directory).devices(" ".join(query)))
    if as_json:
        click.echo(json.dumps([each._asdict() for each in found], ensure_ascii=False))
        return
    for each in found:
        click.echo(f"{each.model:40} {each.name}" + ("" if each.codec else f" ({NO_CODEC.say()})"))
    if not found:
        click.echo(NONE.say(), err=True)


@codecs.command("test")
@_directory
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def test_examples(*, directory: Path, as_json: bool) -> None:
    """Run all examples of a codec repository.

    Limited as on the gateway. Leaves with 1 where one is not right.

    Example: messnetz device codecs test lorawan-devices
    """
    outcomes = asyncio.run(_run(_open(directory), is_quiet=as_json))
    passed, examples = sum(each.passed for each in outcomes), sum(each.examples for each in outcomes)
    unreadable = sum(each.is_unreadable for each in outcomes)
    failures = [failure for each in outcomes for failure in each.failures]
    rate = 100.0 * passed / examples if examples else 0.0
    if as_json:
        counts = {"codecs": len(outcomes), "unreadable": unreadable, "examples": examples, "passed": passed}
        click.echo(json.dumps({**counts, "failures": [each._asdict() for each in failures]}, ensure_ascii=False))
    else:
        for failure in failures:
            click.echo(": ".join(part for part in failure if part))
        click.echo(
            SUMMARY.say(
                passed=passed, examples=examples, rate=f"{rate:.1f}", codecs=len(outcomes), unreadable=unreadable
            )
        )
    sys.exit(1 if failures else 0)


def _open(directory: Path) -> Repository:
    from edge.lorawan.codec.repository import Repository  # noqa: PLC0415 - loaded when it is asked for

    return Repository(directory)


async def _run(repository: Repository, *, is_quiet: bool) -> list[Outcome]:
    from edge.lorawan.codec.codecs import Codecs  # noqa: PLC0415 - as above
    from edge.lorawan.codec.examples import run_all  # noqa: PLC0415

    runner = Codecs()
    outcomes: list[Outcome] = []
    try:
        async for outcome in run_all(repository, runner):
            outcomes.append(outcome)
            if not is_quiet and len(outcomes) % EVERY == 0:
                passed, examples = sum(each.passed for each in outcomes), sum(each.examples for each in outcomes)
                click.echo(PROGRESS.say(codecs=len(outcomes), passed=passed, examples=examples), err=True)
    finally:
        await runner.close()
    return outcomes
