"""Receivers on a serial port: how each of them packs the telegrams that it hears, and how it is told to listen.

cul      CUL and nanoCUL with culfw: `b` (format B: `bY`), the telegram in hexadecimal digits, two bytes of quality
im871a   IMST iM871A: A5h, what follows in bits, endpoint, message, length, telegram (WMBus HCI specification 1.6)
hex      lines with a telegram in hexadecimal digits, alone or as the last field: rtl_wmbus, ESP receivers
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from edge import crc16
from edge.stream import LineSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge.wmbus.link import Form

Name: TypeAlias = Literal["cul", "im871a", "hex"]
Mode: TypeAlias = Literal["T", "C", "S"]

LONGEST_LINE = 1200
"""Of 290 bytes in hexadecimal digits, and what stands around them."""
_HEX_FIELD = re.compile(rb"(?:^|[^0-9A-Za-z])(?:0x|b)?([0-9A-Fa-f]{24,})\W*$")
_DAMAGED_BY_RADIO = re.compile(rb"^[A-Z]1;(0;[01]|[01];0);")
"""How rtl_wmbus begins a line whose checksums, or code of three ones in six, were wrong; it has removed them."""
_CUL_LINE = re.compile(rb"^b(Y?)((?:[0-9A-Fa-f]{2}){12,})$")
QUALITY_DIGITS = 4

START = 0xA5
HEAD_BYTES = 4
RADIO_LINK, TELEGRAM_HEARD = 2, 3
TIMESTAMP, SIGNAL, CHECKSUM = 2, 4, 8
"""Bits of what follows a telegram: 4, 1 and 2 bytes."""


class Caught(NamedTuple):
    """One telegram, perhaps damaged."""

    telegram: bytes
    """From its length byte on."""
    form: Form


class Unpacker(Protocol):
    """Takes telegrams out of the bytes of a receiver."""

    def feed(self, data: bytes) -> list[Caught]:
        """Take the next bytes; returns the telegrams that are whole now."""

    def reset(self) -> None:
        """Forget half a telegram."""


class Receiver(NamedTuple):
    """What must be known of a kind of receiver."""

    settings: LineSettings
    modes: Mapping[Mode, bytes]
    """What it must be told to listen to a mode; nothing where it cannot be told."""
    unpacker: Callable[[], Unpacker]


class _Lines:
    """Lines of text, bounded; what has no end is thrown away."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        self._rest = self._rest[-LONGEST_LINE:]
        return [line.strip() for line in lines if line.strip() and len(line) <= LONGEST_LINE]

    def reset(self) -> None:
        self._rest = b""


class _OfLines:
    def __init__(self) -> None:
        self._lines = _Lines()

    def reset(self) -> None:
        """Forget half a line."""
        self._lines.reset()


class HexLines(_OfLines):
    """Telegrams as hexadecimal digits at the end of lines."""

    def feed(self, data: bytes) -> list[Caught]:
        """Take the next bytes."""
        found = (telegram_of(line) for line in self._lines.take(data) if not _DAMAGED_BY_RADIO.match(line))
        return [Caught(telegram, "any") for telegram in found if telegram is not None]


class CulLines(_OfLines):
    """What culfw says, told to add the quality of reception (`X21`)."""

    def feed(self, data: bytes) -> list[Caught]:
        """Take the next bytes; culfw leaves the checksums in."""
        matches = (_CUL_LINE.match(line) for line in self._lines.take(data))
        return [
            Caught(bytes.fromhex(match[2][:-QUALITY_DIGITS].decode()), "B" if match[1] else "A")
            for match in matches
            if match
        ]


class Im871aFrames:
    """Frames of the iM871A's host interface."""

    def __init__(self) -> None:
        self._rest = b""

    def reset(self) -> None:
        """Forget half a frame."""
        self._rest = b""

    def feed(self, data: bytes) -> list[Caught]:
        """Take the next bytes; what stands before the start of a frame is thrown away, and a damaged frame."""
        self._rest += data
        telegrams: list[Caught] = []
        while True:
            start = self._rest.find(START)
            if start < 0:
                self._rest = b""
                return telegrams
            self._rest = self._rest[start:]
            size = self._size()
            if size is None or len(self._rest) < size:
                return telegrams
            if not _is_whole(self._rest[:size]):
                self._rest = self._rest[1:]
                continue
            frame, self._rest = self._rest[:size], self._rest[size:]
            if frame[1] & 0x0F == RADIO_LINK and frame[2] == TELEGRAM_HEARD:
                content = frame[HEAD_BYTES : HEAD_BYTES + frame[3]]
                telegrams.append(Caught(bytes([len(content)]) + content, "plain"))

    def _size(self) -> int | None:
        if len(self._rest) < HEAD_BYTES:
            return None
        follows = self._rest[1] >> 4
        return (
            HEAD_BYTES
            + self._rest[3]
            + 4 * bool(follows & TIMESTAMP)
            + bool(follows & SIGNAL)
            + 2 * bool(follows & CHECKSUM)
        )


def _is_whole(frame: bytes) -> bool:
    """Whether a frame's own checksum is right (CRC-16/X-25, from behind the start), or it has none."""
    if not frame[1] >> 4 & CHECKSUM:
        return True
    return crc16.x25(frame[1:-2]) == int.from_bytes(frame[-2:], "little")


def telegram_of(line: bytes) -> bytes | None:
    """Return the telegram at the end of a line of text; None where there is none."""
    match = _HEX_FIELD.search(line.strip())
    if match is None or len(match[1]) % 2:
        return None
    return bytes.fromhex(match[1].decode())


RECEIVERS: Mapping[Name, Receiver] = {
    "cul": Receiver(
        LineSettings(38400),
        {"T": b"brt\r\nX21\r\n", "C": b"brc\r\nX21\r\n", "S": b"brs\r\nX21\r\n"},
        CulLines,
    ),
    "im871a": Receiver(
        LineSettings(57600),
        {
            "T": bytes.fromhex("a5010303000203"),
            "C": bytes.fromhex("a5010303000206"),
            "S": bytes.fromhex("a5010303000200"),
        },
        Im871aFrames,
    ),
    "hex": Receiver(LineSettings(115200), {}, HexLines),
}
