"""Finds telegrams in what a meter pushes: from the line that begins with `/` to the one that begins with `!`."""

from __future__ import annotations

import re
from typing import NamedTuple

from edge.d0.parity import stripped

MOST_BYTES = 8192
"""Of one telegram; P1 with a message of the grid operator has 3,200."""
_SEVEN_BITS = bytes(range(128)) * 2
_PARTS = re.compile(rb"[^\n]*\n|[^\n]+")
_IDENT = re.compile(rb"/[A-Za-z]{3}[0-9A-Za-z]")
STX = "\x02"


class Telegram(NamedTuple):
    """What stood between `/` and `!`."""

    ident: str
    """The first line, without `/`: maker, speed, model."""
    lines: list[str]
    tail: str
    """What stood behind the `!`."""
    raw: bytes
    """From `/` to `!`, as a checksum covers it."""


class Broken(NamedTuple):
    """What began as a telegram and was none."""

    why: str


class Finder:
    """Cuts telegrams out of a stream. Keeps no more than one telegram's bytes."""

    def __init__(self) -> None:
        self._line = bytearray()
        """The line that has not ended."""
        self._whole: bytearray | None = None
        """The telegram that has begun."""

    def reset(self) -> None:
        """Forget half a telegram."""
        self._line.clear()
        self._whole = None

    def feed(self, data: bytes) -> list[Telegram | Broken]:
        """Take bytes; returns what is whole now."""
        found: list[Telegram | Broken] = []
        for part in _PARTS.findall(data):
            self._line += part
            if part.endswith(b"\n"):
                line = bytes(self._line)
                self._line.clear()
                found += self._take(line)
            elif len(self._line) > MOST_BYTES:
                self._line.clear()
                found += self._broken("a line has no end")
        return found

    def _take(self, line: bytes) -> list[Telegram | Broken]:
        begin = _IDENT.search(line.translate(_SEVEN_BITS))
        if begin is not None:
            cut = self._broken("it is cut off")
            self._whole = bytearray(line[begin.start() :])
            return cut
        if self._whole is None:
            return []
        self._whole += line
        if len(self._whole) > MOST_BYTES:
            return self._broken("it has no end")
        if line[0] & 0x7F != ord("!"):
            return []
        whole, self._whole = bytes(self._whole), None
        return [_telegram(whole)]

    def _broken(self, why: str) -> list[Telegram | Broken]:
        """Leave the telegram that has begun, where one has."""
        begun, self._whole = self._whole, None
        return [] if begun is None else [Broken(why)]


def _telegram(whole: bytes) -> Telegram | Broken:
    plain = stripped(whole)
    if plain is None:
        return Broken("a character's parity is wrong")
    raw = plain[: plain.rindex(b"\n!") + 2]
    ident, *lines = raw[1:-1].decode("ascii").replace("\r\n", "\n").split("\n")
    tail = plain[len(raw) :].decode("ascii").strip("\r\n")
    return Telegram(ident, [line.removeprefix(STX) for line in lines], tail, raw)
