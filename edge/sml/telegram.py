"""The messages of an SML telegram, as far as a meter on an optical head sends them: its list of values.

A message is a list of six: transaction, group, what to do on errors, body, checksum, end (SML 1.04, section 5).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from edge.obis import PRESENT, Meter, Value
from edge.sml import crc
from edge.sml.items import BadFieldError, Number, Reader

if TYPE_CHECKING:
    from edge.obis import Key
    from edge.sml.items import Item

GET_LIST_RESPONSE = 0x0701
MAKER = (b"\x81\x81\xc7\x82\x03\xff", b"\x01\x00\x60\x32\x01\x01")
"""129-129:199.130.3*255 of older meters, 1-0:96.50.1*1 of newer ones."""
NUMBER = (b"\x01\x00\x60\x01\x00\xff", b"\x01\x00\x00\x00\x09\xff", b"\x01\x00\x00\x00\x00\xff")
"""1-0:96.1.0*255, 1-0:0.0.9*255, 1-0:0.0.0*255."""
UNITS = {
    8: "deg",
    9: "Cel",
    13: "m3",
    14: "m3",
    15: "m3/h",
    16: "m3/h",
    25: "J",
    27: "W",
    28: "VA",
    29: "var",
    30: "Wh",
    31: "VAh",
    32: "varh",
    33: "A",
    35: "V",
    44: "Hz",
}
"""Units of COSEM (DLMS Blue Book, 4.3.2) that meters on optical heads use; another is shown by its number."""
HIGHEST_SCALER = 12


class Entry(NamedTuple):
    """One value of the list."""

    obis: str
    """With its last part, `*255`."""
    value: Value | None
    """Where it is a number."""
    text: str = ""
    """Where it is none, in hexadecimal or as it reads."""


class Telegram(NamedTuple):
    """What a meter said."""

    number: str
    """The meter's number, as printed on it: `1 EMH00 1234 5678`; empty where it says none."""
    meter: Meter
    entries: tuple[Entry, ...]
    values: dict[Key, Value]
    """The numbers of now, by their codes."""


def parse(body: bytes) -> Telegram:
    """Read the messages of a telegram.

    Raises: BadFieldError where they are none, or their checksums are wrong.
    """
    reader = Reader(body)
    server = b""
    found: list[Entry] = []
    maker = ""
    while not reader.is_at_end:
        kind, content = _message(reader)
        if kind == GET_LIST_RESPONSE:
            own, rows = _list_of(content)
            server = own or server
            for row in rows:
                entry, said = _entry(row)
                found.append(entry)
                maker = said or maker
                server = server or (_octets(row[5]) if row[0] in NUMBER else b"")
    values: dict[Key, Value] = {}
    for entry in found:
        code, _, stored = entry.obis.partition("*")
        if entry.value is not None and stored == PRESENT:
            medium, _, rest = code.partition(":")
            values.setdefault((medium, rest), entry.value)
    serial = int.from_bytes(server[6:], "big") if _is_printed(server) else None
    return Telegram(meter_number(server), Meter(maker or _maker_of(server), serial), tuple(found), values)


def _message(reader: Reader) -> tuple[int, Item]:
    begin = reader.at
    if reader.data[begin : begin + 1] != b"\x76":
        raise BadFieldError("a message that is no list of six")
    reader.at += 1
    items = [reader.item(1) for _ in range(4)]
    end = reader.at
    said, last = reader.item(1), reader.data[reader.at : reader.at + 1]
    if not isinstance(said, Number) or last != b"\x00":
        raise BadFieldError("a message without an end")
    reader.at += 1
    swapped = said.value << 8 & 0xFF00 | said.value >> 8
    if swapped not in crc.both(reader.data[begin:end]):
        raise BadFieldError("a message whose checksum is wrong")
    choice = items[3]
    if not isinstance(choice, list) or len(choice) != 2 or not isinstance(choice[0], Number):
        raise BadFieldError("a message without a body")
    return choice[0].value, choice[1]


def _list_of(content: Item) -> tuple[bytes, list[list[Item]]]:
    if not isinstance(content, list) or len(content) != 7 or not isinstance(content[4], list):
        raise BadFieldError("a list of values that is none")
    rows = [row for row in content[4] if isinstance(row, list) and len(row) == 7 and _is_code(row[0])]
    if len(rows) != len(content[4]):
        raise BadFieldError("a value that is none")
    return _octets(content[1]), rows


def _is_code(item: Item) -> bool:
    return isinstance(item, bytes) and len(item) == 6


def _entry(row: list[Item]) -> tuple[Entry, str]:
    """Read one value; returns it, and the maker's letters where it is they."""
    name, status, _, unit, scaler, value, _ = row
    octets = _octets(name)
    obis = "{}-{}:{}.{}.{}*{}".format(*octets)
    if isinstance(value, Number):
        return Entry(obis, _number(value, unit, scaler, status)), ""
    raw = _octets(value)
    if octets in MAKER:
        return Entry(obis, None, _shown(raw)), _letters(raw)
    return Entry(obis, None, meter_number(raw) if octets in NUMBER else _shown(raw)), ""


def _number(value: Number, unit: Item, scaler: Item, status: Item) -> Value | None:
    exponent = scaler.value if isinstance(scaler, Number) else 0
    if abs(exponent) > HIGHEST_SCALER:
        return None
    number = Decimal(value.value).scaleb(exponent)
    said = UNITS.get(unit.value, f"unit {unit.value}") if isinstance(unit, Number) else ""
    bits = value.bits if value.is_signed else 0
    return Value(number, said, status.value if isinstance(status, Number) else None, bits)


def _octets(item: Item) -> bytes:
    return item if isinstance(item, bytes) else b""


def _letters(raw: bytes) -> str:
    text = raw.decode("ascii", "replace")
    return text if len(text) == 3 and text.isalpha() and text.isascii() else ""


def _shown(raw: bytes) -> str:
    text = raw.decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() else raw.hex()


def _maker_of(server: bytes) -> str:
    """The letters within a meter's number: 0A 01 45 4D 48 ..., of older meters 06 45 4D 48 ..."""
    return _letters(server[2:5]) or _letters(server[1:4])


def _is_printed(server: bytes) -> bool:
    return len(server) == 10 and server[0] in (0x09, 0x0A) and bool(_letters(server[2:5]))


def meter_number(server: bytes) -> str:
    """Write a meter's number as it is printed on it (DIN 43863-5); in hexadecimal where it is none such."""
    if _is_printed(server):
        serial = f"{int.from_bytes(server[6:], 'big'):08d}"
        return f"{server[1]:X} {_letters(server[2:5])}{server[5]:02X} {serial[:-4]} {serial[-4:]}"
    return server.hex(" ").upper()
