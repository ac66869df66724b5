"""What an electricity meter sends in SML, written down from the norm (SML 1.04), apart from the decoder it tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LEFT_OUT = b"\x01"
WATT, WATT_HOUR, VOLT, AMPERE, HERTZ = 27, 30, 35, 33, 44
MOST_SHORT = 15
ESCAPE = b"\x1b" * 4


def checksum(data: bytes, *, is_kermit: bool = False) -> bytes:
    """CRC-16 as SML sends it, low byte first: X.25 (RFC 1662), or Kermit's with the same polynomial."""
    value = 0 if is_kermit else 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value % 2 else 0)
    return (value if is_kermit else value ^ 0xFFFF).to_bytes(2, "little")


def octets(data: bytes) -> bytes:
    """Bytes as a field; its length counts its own bytes."""
    length = len(data) + 1
    if length <= MOST_SHORT:
        return bytes([length]) + data
    length += 1
    return bytes([0x80 | length >> 4, length & 15]) + data


def number(value: int, size: int, *, is_signed: bool = True) -> bytes:
    """A number of so many bytes as a field."""
    return bytes([(0x50 if is_signed else 0x60) | size + 1]) + value.to_bytes(size, "big", signed=is_signed)


def fields(*items: bytes) -> bytes:
    """A list of fields."""
    count = len(items)
    head = bytes([0x70 | count]) if count <= MOST_SHORT else bytes([0xF0 | count >> 4, count & 15])
    return head + b"".join(items)


def code(text: str) -> bytes:
    """The six bytes of `1-0:1.8.0`; the last is 255 unless `*` says otherwise."""
    text, _, last = text.partition("*")
    return bytes(int(part) for part in text.replace("-", ".").replace(":", ".").split(".")) + bytes([int(last or 255)])


@dataclass(frozen=True)
class Value:
    """One row of the list: number times ten to the scaler, in the unit of that number in COSEM."""

    obis: str
    number: int
    unit: int
    scaler: int = 0
    size: int = 8
    is_signed: bool = True
    status: int | None = None

    def field(self) -> bytes:
        """The row as it is sent."""
        return fields(
            octets(code(self.obis)),
            LEFT_OUT if self.status is None else number(self.status, 4, is_signed=False),
            LEFT_OUT,
            number(self.unit, 1, is_signed=False),
            number(self.scaler, 1),
            number(self.number, self.size, is_signed=self.is_signed),
            LEFT_OUT,
        )


def text_row(obis: str, data: bytes) -> bytes:
    """A row of bytes: a maker's letters, a meter's number."""
    return fields(octets(code(obis)), *[LEFT_OUT] * 4, octets(data), LEFT_OUT)


def server_id(maker: str, serial: int) -> bytes:
    """A meter's number as DIN 43863-5 has it."""
    return b"\x0a\x01" + maker.encode("ascii") + b"\x00" + serial.to_bytes(4, "big")


def message(transaction: int, kind: int, body: bytes, *, is_kermit: bool = False) -> bytes:
    """One message: a list of six, the last of which is its end."""
    head = fields(
        octets(transaction.to_bytes(4, "big")),
        number(0, 1, is_signed=False),
        number(0, 1, is_signed=False),
        fields(number(kind, 2, is_signed=False), body),
        b"",
        b"",
    )
    return head + b"\x63" + checksum(head, is_kermit=is_kermit) + b"\x00"


def telegram(server: bytes, rows: Sequence[bytes], *, transaction: int = 1, is_kermit: bool = False) -> bytes:
    """A whole telegram: opening, list of values, closing, framed."""
    seconds = fields(number(1, 1, is_signed=False), number(0, 4, is_signed=False))
    opening = fields(LEFT_OUT, LEFT_OUT, octets(transaction.to_bytes(4, "big")), octets(server), LEFT_OUT, LEFT_OUT)
    values = fields(LEFT_OUT, octets(server), octets(code("1-0:98.10.255")), seconds, fields(*rows), LEFT_OUT, LEFT_OUT)
    parts = (
        message(transaction, 0x0101, opening, is_kermit=is_kermit),
        message(transaction + 1, 0x0701, values, is_kermit=is_kermit),
        message(transaction + 2, 0x0201, fields(LEFT_OUT), is_kermit=is_kermit),
    )
    return framed(b"".join(parts))


def framed(body: bytes) -> bytes:
    """Messages as they go over the line: filled to whole groups of four, escapes twice, with a checksum."""
    filling = -len(body) % 4
    body += b"\x00" * filling
    groups = (body[at : at + 4] for at in range(0, len(body), 4))
    escaped = b"".join(group * 2 if group == ESCAPE else group for group in groups)
    whole = ESCAPE + b"\x01" * 4 + escaped + ESCAPE + bytes([0x1A, filling])
    return whole + checksum(whole)


def meter_telegram(maker: str, serial: int, values: Iterable[Value], *, transaction: int = 1) -> bytes:
    """What a meter of a maker says: its letters, its number, its values."""
    server = server_id(maker, serial)
    rows = [text_row("1-0:96.50.1*1", maker.encode("ascii")), text_row("1-0:96.1.0", server)]
    return telegram(server, [*rows, *(value.field() for value in values)], transaction=transaction)
