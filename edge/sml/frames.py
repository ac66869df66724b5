"""Finds SML telegrams in a stream of bytes (SML 1.04, section 8: transport protocol version 1).

A telegram begins with 1B1B1B1B 01010101 and ends with 1B1B1B1B 1A, the number of filling bytes, and a checksum over
all before. It is a whole number of groups of four bytes; a group 1B1B1B1B in what it carries is written twice.
"""

from __future__ import annotations

from typing import NamedTuple

from edge.sml import crc

ESCAPE = b"\x1b\x1b\x1b\x1b"
START = ESCAPE + b"\x01\x01\x01\x01"
END = 0x1A
MOST_BYTES = 8192
"""Of one telegram; the longest that are published have 800."""
LONGEST_FILLING = 3


class Frame(NamedTuple):
    """What a telegram carries: messages, one after the other."""

    body: bytes


class Broken(NamedTuple):
    """What began as a telegram and was none."""

    why: str


class Frames:
    """Cuts telegrams out of a stream. Keeps no more than one telegram's bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        """How far into the telegram at the head of the buffer the groups were looked at; 0: none is there."""

    def reset(self) -> None:
        """Forget half a telegram."""
        self._buffer.clear()
        self._at = 0

    def feed(self, data: bytes) -> list[Frame | Broken]:
        """Take bytes; returns what is whole now."""
        found: list[Frame | Broken] = []
        for begin in range(0, len(data), MOST_BYTES):  # however much comes at once, little is kept
            self._buffer += data[begin : begin + MOST_BYTES]
            while (each := self._next()) is not None:
                found.append(each)
        return found

    def _next(self) -> Frame | Broken | None:
        buffer = self._buffer
        if not self._at:
            start = buffer.find(START)
            if start < 0:
                del buffer[: max(0, len(buffer) - len(START) + 1)]
                return None
            del buffer[:start]
            self._at = len(START)
        while self._at + 8 <= len(buffer):
            group = buffer[self._at : self._at + 4]
            if group != ESCAPE:
                self._at += 4
            elif buffer[self._at + 4 : self._at + 8] == ESCAPE:
                self._at += 8
            elif buffer[self._at + 4] == END:
                return self._close(self._at + 8)
            elif buffer[self._at + 4 : self._at + 8] == START[4:]:
                return self._give_up("it is cut off", self._at)
            else:
                return self._give_up("an escape that means nothing")
            if self._at > MOST_BYTES:
                return self._give_up("it has no end")
        cut = self._other_start()
        return self._give_up("it is cut off", cut) if cut else None

    def _other_start(self) -> int:
        """Find where another telegram begins though this one has not ended: bytes of it were lost. 0: nowhere."""
        other = self._buffer.find(START, len(START))
        is_written_twice = other >= 0 and self._buffer[other - 4 : other] == ESCAPE
        return 0 if is_written_twice else max(0, other)

    def _close(self, end: int) -> Frame | Broken:
        whole, filling = bytes(self._buffer[:end]), self._buffer[end - 3]
        said = int.from_bytes(whole[-2:], "little")
        if filling > LONGEST_FILLING or said not in crc.both(whole[:-2]):
            return self._give_up("its checksum is wrong", self._other_start())
        del self._buffer[:end]
        self._at = 0
        body = whole[len(START) : end - 8 - filling]
        return Frame(_plain(body))

    def _give_up(self, why: str, until: int = 0) -> Broken:
        """Leave a telegram; look for the next from `until`, or behind its start."""
        del self._buffer[: until or len(START)]
        self._at = 0
        return Broken(why)


def _plain(body: bytes) -> bytes:
    """Take back what was written twice."""
    if ESCAPE not in body:
        return body
    plain = bytearray()
    at = 0
    while at < len(body):
        group = body[at : at + 4]
        plain += group
        at += 8 if group == ESCAPE else 4
    return bytes(plain)
