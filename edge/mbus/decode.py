"""`messnetz device decode mbus`: a wired M-Bus telegram in words, whoever sent it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from base.errors import PermanentError
from base.messages import Text
from edge.given_bytes import read_each
from edge.mbus import frame, telegram
from edge.mbus.errors import TelegramError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.mbus.records import Record
    from edge.mbus.telegram import Telegram

METER = Text(
    de="Zähler {number} ({manufacturer}, Version {version}), {medium}",
    en="meter {number} ({manufacturer}, version {version}), {medium}",
)
UNNAMED = Text(de="Zähler, der sich in diesem Telegramm nicht nennt", en="a meter that this telegram does not name")
STATUS = Text(de="Zustand: {words}", en="status: {words}")
MORE = Text(de="der Zähler hat weitere Telegramme", en="the meter has further telegrams")
OF_MAKER = Text(de="{count} Bytes, die nur der Hersteller lesen kann", en="{count} bytes that only the maker can read")
DAMAGED = Text(de="unvollständig: {damage}", en="incomplete: {damage}")
NO_VALUE = Text(de="kein Wert ({note})", en="no value ({note})")
UNREADABLE = Text(de="nicht lesbar: {why}", en="unreadable: {why}")


@click.command()
@click.argument("telegram_or_file", metavar="HEX-or-FILE")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects, one for each telegram.")
def decode(*, telegram_or_file: str, as_json: bool) -> None:
    """Decode wired M-Bus telegrams (EN 13757) and show every record.

    HEX is telegrams, 68 ... 16, blanks and colons allowed; a file has them as such lines, as a hexdump, or as the bytes
    that were recorded from a line. One that cannot be read is said to be, and costs the others nothing.

    Example: messnetz device decode mbus "68 13 13 68 08 05 73 78 56 34 12 0a 00 e9 7e 01 00 00 00 35 01 00 00 3c 16"
    """
    pieces = [data for piece in read_each(telegram_or_file) for data in frame.found_in(piece)]
    shown = [_decoded(data) for data in pieces]
    refuse_all_unreadable(shown)
    if as_json:
        click.echo(json.dumps([{"error": each} if isinstance(each, str) else as_object(each) for each in shown]))
        return
    for each in shown:
        if isinstance(each, str):
            click.echo(UNREADABLE.say(why=each))
        else:
            show(each)


def _decoded(data: bytes) -> Telegram | str:
    """Return a telegram, or why it is none."""
    try:
        return telegram.decode(data)
    except TelegramError as error:
        return str(error)


def refuse_all_unreadable(shown: Sequence[object]) -> None:
    """End the command where none of the telegrams could be read.

    Raises: PermanentError, with what is wrong with the first.
    """
    if shown and all(isinstance(each, str) for each in shown):
        more = f", and {len(shown) - 1} more that cannot be read" if len(shown) > 1 else ""
        raise PermanentError(f"no readable telegram: {shown[0]}{more}")


def as_object(found: Telegram) -> dict[str, Any]:
    """Return a telegram as a JSON object."""
    address = found.address
    return {
        "meter": None
        if address is None
        else {
            "number": address.number,
            "manufacturer": address.manufacturer,
            "version": address.version,
            "medium": address.medium,
        },
        "primary": found.primary,
        "access_number": found.access_number,
        "status": list(found.status.words()),
        "status_byte": found.status.byte,
        "configuration": found.configuration,
        "records": [_record(each) for each in found.content.records],
        "of_maker": found.content.of_maker.hex(),
        "more_follow": found.content.more_follow,
        "damage": found.content.damage,
    }


def _record(record: Record) -> dict[str, Any]:
    return {
        "quantity": record.quantity,
        "value": record.value,
        "unit": record.unit,
        "function": record.function,
        "storage": record.storage,
        "tariff": record.tariff,
        "subunit": record.subunit,
        "qualifiers": list(record.qualifiers),
        "note": record.note,
        "head": record.head.hex(),
        "data": record.data.hex(),
    }


def show(found: Telegram) -> None:
    """Print a telegram for a person: one line for each record."""
    address = found.address
    if address is None:
        click.echo(UNNAMED.say())
    else:
        click.echo(METER.say(**address._asdict(), medium=address.medium))
    if words := found.status.words():
        click.echo(STATUS.say(words=", ".join(words)))
    for record in found.content.records:
        click.echo(_line(record))
    if found.content.of_maker:
        click.echo(OF_MAKER.say(count=len(found.content.of_maker)))
    if found.content.more_follow:
        click.echo(MORE.say())
    if found.content.damage:
        click.echo(DAMAGED.say(damage=found.content.damage))


def _line(record: Record) -> str:
    value = NO_VALUE.say(note=record.note) if record.value is None else f"{record.value}"
    places = (("storage", record.storage), ("tariff", record.tariff), ("subunit", record.subunit))
    words: list[str] = [record.function] if record.function != "instantaneous" else []
    words += [f"{name} {number}" for name, number in places if number]
    words += record.qualifiers
    return f"  {record.quantity:24} {value:>20} {record.unit:8} {', '.join(words)}".rstrip()
