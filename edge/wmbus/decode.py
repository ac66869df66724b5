"""`messnetz device decode wmbus`: a telegram by radio in words, whoever sent it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from base.messages import Text
from edge.given_bytes import read_each
from edge.mbus.decode import UNREADABLE, as_object, refuse_all_unreadable, show
from edge.mbus.errors import EncryptedError, TelegramError
from edge.wmbus import keys as key_files
from edge.wmbus import link
from edge.wmbus.telegram import Decoder

if TYPE_CHECKING:
    from edge.mbus.telegram import Address
    from edge.wmbus.telegram import RadioTelegram

SENDER = Text(
    de="gesendet von {number} ({manufacturer}, Version {version}), {medium}{encrypted}",
    en="sent by {number} ({manufacturer}, version {version}), {medium}{encrypted}",
)
ENCRYPTED = Text(de=", verschlüsselt", en=", encrypted")


@click.command()
@click.argument("telegram_or_file", metavar="HEX-or-FILE")
@click.option(
    "--key-file", type=click.Path(path_type=Path), help="The meters' keys: NUMBER: KEY in each line; mode 0600."
)
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects, one for each telegram.")
def decode(*, telegram_or_file: str, key_file: Path | None, as_json: bool) -> None:
    """Decode wireless M-Bus telegrams and show every record.

    HEX is one telegram from its length byte on, with or without checksums; a file has one in each line, or
    is binary with one alone. Of what is encrypted without a known key the sender is shown, and that it is.

    Example: messnetz device decode wmbus 1844AE4C4455223368077A55000000041389E20100023B0000
    """
    known = {} if key_file is None else key_files.load(key_file)
    decoder = Decoder(lambda address: known.get(address.number))
    shown = [_decoded(decoder, data) for data in read_each(telegram_or_file)]
    refuse_all_unreadable(shown)
    if as_json:
        click.echo(json.dumps([{"error": each} if isinstance(each, str) else _object(*each) for each in shown]))
        return
    for each in shown:
        if isinstance(each, str):
            click.echo(UNREADABLE.say(why=each))
        else:
            _show(*each)


def _decoded(decoder: Decoder, data: bytes) -> tuple[Address, RadioTelegram | None, str] | str:
    """Return who sent a telegram, and what it says or why its payload cannot be read; or why it is no telegram."""
    try:
        sender = link.parse(data).sender
        return sender, decoder.decode(data), ""
    except EncryptedError as error:
        return sender, None, str(error)
    except TelegramError as error:
        return str(error)


def _object(sender: Address, found: RadioTelegram | None, why: str) -> dict[str, Any]:
    about = {
        "number": sender.number,
        "manufacturer": sender.manufacturer,
        "version": sender.version,
        "medium": sender.medium,
    }
    if found is None:
        return {"sender": about, "encrypted": True, "unreadable": why}
    return {"sender": about, "encrypted": found.is_encrypted, "unreadable": "", **as_object(found.telegram)}


def _show(sender: Address, found: RadioTelegram | None, why: str) -> None:
    is_encrypted = found is None or found.is_encrypted
    click.echo(SENDER.say(**sender._asdict(), medium=sender.medium, encrypted=ENCRYPTED.say() if is_encrypted else ""))
    if found is None:
        click.echo(UNREADABLE.say(why=why))
        return
    address = found.telegram.address or found.sender
    show(found.telegram._replace(address=address))
