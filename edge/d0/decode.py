"""`messnetz device decode d0`: what a meter says in lines of text (D0, P1), whatever its profile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from base.errors import PermanentError
from edge.d0 import lines
from edge.d0.framing import Broken, Finder
from edge.d0.parity import stripped
from edge.given_bytes import read_given
from edge.obis import parse

if TYPE_CHECKING:
    from edge.d0.lines import Lines


@click.command("d0", short_help="Decode the text of a meter: IEC 62056-21 (D0), P1.")
@click.argument("given", metavar="HEX-OR-FILE")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def command(*, given: str, as_json: bool) -> None:
    """Decode what a meter says in lines of text: a push telegram, an answer, or some of its lines.

    Example: messnetz device decode d0 telegram.txt
    """
    said, errors = decode(read_given(given))
    if not said:
        raise PermanentError(f"no lines of a meter: {errors[0] if errors else 'no code with a value in brackets'}")
    rows = [_row(*each) for each in said]
    if as_json:
        click.echo(json.dumps({"telegrams": rows, "errors": errors}))
        return
    for ident, each in said:
        click.echo(f"/{_shown(ident)}" if ident else "-")
        for line in each.lines:
            value = each.values.get(key) if (key := parse(line.code)) else None
            number = f"{value.number} {value.unit}" if value else ""
            text = _shown(" ".join(f"({group})" for group in line.groups))
            click.echo(f"  {line.code:24} {_shown(number):20} {text}".rstrip())
    for error in errors:
        click.echo(error, err=True)


def decode(data: bytes) -> tuple[list[tuple[str, Lines]], list[str]]:
    """Read all telegrams in some bytes; returns each with its maker and model, and why others are none."""
    said: list[tuple[str, Lines]] = []
    errors: list[str] = []
    found = Finder().feed(data + b"\n")
    for each in found:
        if isinstance(each, Broken):
            errors.append(each.why)
            continue
        try:
            said.append((each.ident, lines.read(each.lines)))
        except lines.BadLineError as error:
            errors.append(str(error))
    return (said, errors) if found else _bare(data)


def _bare(data: bytes) -> tuple[list[tuple[str, Lines]], list[str]]:
    """Read lines without a head: what somebody copied."""
    plain = stripped(data)
    if plain is None:
        return [], ["a character's parity is wrong"]
    body = plain.decode("ascii").replace("\x02", "").partition("!")[0]
    try:
        said = lines.read(body.replace("\r", "").split("\n"))
    except lines.BadLineError as error:
        return [], [str(error)]
    return ([("", said)] if said.lines else []), []


def _row(ident: str, said: Lines) -> dict[str, object]:
    rows = []
    for line in said.lines:
        key = parse(line.code)
        value = said.values.get(key) if key else None
        row: dict[str, object] = {"obis": line.code, "text": list(line.groups)}
        if value is not None:
            row |= {"value": float(value.number), "unit": value.unit}
        if key in said.timed:
            row["time"] = said.timed[key].time
        rows.append(row)
    return {"ident": ident, "number": said.number, "values": rows}


def _shown(text: str) -> str:
    """Return a text without what a terminal would obey."""
    return "".join(character if character.isprintable() else "." for character in text)
