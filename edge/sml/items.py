"""The fields of an SML message (SML 1.04, section 6: binary encoding).

A field begins with a byte of its type and length, more of them where it is long. Nothing here trusts a length: a list
cannot have more fields than there are bytes, and lists stand in lists only so deep.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

DEEPEST = 8
"""Lists in lists; a list of values stands four deep."""
OCTETS, BOOLEAN, INTEGER, UNSIGNED, LIST = 0, 4, 5, 6, 7
END_OF_MESSAGE = 0x00
MOST_LENGTH_BYTES = 4


class Number(NamedTuple):
    """A number as it was written."""

    value: int
    bits: int
    is_signed: bool


Item: TypeAlias = "Number | bytes | bool | list[Item] | None"
"""None: left out (01), or the end of a message (00)."""


class BadFieldError(Exception):
    """The bytes are no SML."""


class Reader:
    """Reads fields from bytes, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all is read."""
        return self.at >= len(self.data)

    def item(self, depth: int = 0) -> Item:
        """Read the next field.

        Raises: BadFieldError where there is none.
        """
        begin = self.at
        kind, length = self._head()
        if kind == LIST:
            if depth >= DEEPEST or length > len(self.data) - self.at:
                raise BadFieldError("a list that cannot be")
            return [self.item(depth + 1) for _ in range(length)]
        if kind == OCTETS and length == END_OF_MESSAGE:
            return None
        size = length - (self.at - begin)
        if size < 0 or size > len(self.data) - self.at:
            raise BadFieldError("a field beyond the end")
        raw = self.data[self.at : self.at + size]
        self.at += size
        return _value(kind, raw)

    def _head(self) -> tuple[int, int]:
        first = self._byte()
        kind, length, more = first >> 4 & 7, first & 15, first & 0x80
        for _ in range(MOST_LENGTH_BYTES):
            if not more:
                return kind, length
            byte = self._byte()
            if byte & 0x70:
                raise BadFieldError("a length that is none")
            length, more = length << 4 | byte & 15, byte & 0x80
        raise BadFieldError("a length without end")

    def _byte(self) -> int:
        if self.is_at_end:
            raise BadFieldError("it ends within a field")
        self.at += 1
        return self.data[self.at - 1]


def _value(kind: int, raw: bytes) -> Item:
    if kind == OCTETS:
        return raw or None
    if kind == BOOLEAN and len(raw) == 1:
        return raw != b"\x00"
    if kind in (INTEGER, UNSIGNED) and 1 <= len(raw) <= 8:
        signed = kind == INTEGER
        return Number(int.from_bytes(raw, "big", signed=signed), 8 * len(raw), signed)
    raise BadFieldError("a field of an unknown type")
