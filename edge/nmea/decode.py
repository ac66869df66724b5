"""`messnetz device decode nmea`: what sentences of NMEA 0183 say, whoever sent them."""

from __future__ import annotations

import json
from typing import Any

import click

from base.errors import PermanentError
from base.messages import Text
from edge.given_bytes import read_given
from edge.nmea import sentences
from edge.text_lines import TextLines

DAMAGED = Text(de="beschädigt: {why}", en="damaged: {why}")
NOTHING = Text(de="nichts, was das Messnetz kennt", en="nothing that Messnetz knows")
NO_VALUE = Text(de="kein Wert", en="no value")


@click.command()
@click.argument("given", metavar="SENTENCE-HEX-or-FILE")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects, one for each sentence.")
def decode(*, given: str, as_json: bool) -> None:
    """Decode sentences of NMEA 0183 and show every value.

    Values stand by the names that a profile uses.

    Example: messnetz device decode nmea '$WIMWV,214.8,R,2.5,M,A*28'
    """
    data = given.encode() if given.lstrip().startswith("$") else read_given(given)
    shown = described(data)
    if as_json:
        click.echo(json.dumps(shown))
        return
    for each in shown:
        _show(each)


def described(data: bytes) -> list[dict[str, Any]]:
    """Return the sentences in a text as JSON objects, and what was damaged.

    Raises: PermanentError where there is none.
    """
    found: list[dict[str, Any]] = []
    for line in TextLines(sentences.LONGEST).feed(data + b"\n"):
        if line is None:
            found.append({"error": f"a line of over {sentences.LONGEST} bytes"})
            continue
        try:
            sentence = sentences.read(line)
        except sentences.BadSentenceError as error:
            found.append({"error": str(error)})
            continue
        if sentence is not None:
            found.append({"talker": sentence.talker, "sentence": sentence.kind, "values": sentence.values})
    if not any("values" in each for each in found):
        why = found[0]["error"] if found else "nothing begins with '$'"
        raise PermanentError(f"no sentence of NMEA 0183 in {len(data)} bytes: {why}")
    return found


def _show(each: dict[str, Any]) -> None:
    if "error" in each:
        click.echo(DAMAGED.say(why=each["error"]))
        return
    click.echo(f"{each['talker']}{each['sentence']}" + ("" if each["values"] else f": {NOTHING.say()}"))
    for name, value in each["values"].items():
        click.echo(f"  {name:16} {NO_VALUE.say() if value is None else format(value, '.9g'):>14}")
