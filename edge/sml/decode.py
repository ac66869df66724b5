"""`messnetz device decode sml`: what a meter says, whatever its profile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from base.errors import PermanentError
from edge.given_bytes import read_given
from edge.sml import telegram
from edge.sml.frames import Broken, Frames
from edge.sml.items import BadFieldError

if TYPE_CHECKING:
    from edge.sml.telegram import Entry, Telegram


@click.command("sml", short_help="Decode SML telegrams of an electricity meter.")
@click.argument("given", metavar="HEX-OR-FILE")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def command(*, given: str, as_json: bool) -> None:
    """Decode SML telegrams, whole ones or the messages in one.

    Example: messnetz device decode sml telegram.bin
    """
    said, errors = decode(read_given(given))
    if not said:
        raise PermanentError(f"no SML telegram: {errors[0] if errors else 'nothing begins with 1B1B1B1B 01010101'}")
    if as_json:
        click.echo(json.dumps({"telegrams": [_row(each) for each in said], "errors": errors}))
        return
    for each in said:
        click.echo(each.number or each.meter.maker)
        for entry in each.entries:
            click.echo(f"  {entry.obis:24} {_text(entry)}")
    for error in errors:
        click.echo(error, err=True)


def decode(data: bytes) -> tuple[list[Telegram], list[str]]:
    """Read all telegrams in some bytes; returns them, and why others are none. Raises nothing."""
    said: list[Telegram] = []
    errors: list[str] = []
    frames = Frames().feed(data) if b"\x1b\x1b\x1b\x1b" in data else [data]
    for frame in frames:
        if isinstance(frame, Broken):
            errors.append(frame.why)
            continue
        try:
            said.append(telegram.parse(frame if isinstance(frame, bytes) else frame.body))
        except BadFieldError as error:
            errors.append(str(error))
    return [each for each in said if each.entries], errors


def _row(said: Telegram) -> dict[str, object]:
    values = [
        {
            "obis": entry.obis,
            **({"value": float(entry.value.number), "unit": entry.value.unit} if entry.value else {"text": entry.text}),
            **({"status": entry.value.status} if entry.value and entry.value.status is not None else {}),
        }
        for entry in said.entries
    ]
    return {"number": said.number, "maker": said.meter.maker, "values": values}


def _text(entry: Entry) -> str:
    if entry.value is None:
        return entry.text
    status = "" if entry.value.status is None else f"  (status 0x{entry.value.status:X})"
    return f"{entry.value.number} {entry.value.unit}{status}"
