"""Cuts a stream of bytes into lines, for drivers of devices that speak text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class TextLines:
    """Lines end with CR, LF or both; keeps no more than one line."""

    def __init__(self, longest: int) -> None:
        """`longest`: bytes that a line may have."""
        self._longest = longest
        self._buffer = bytearray()
        self._skips = False
        self._ended_with_cr = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Take bytes; returns the lines that are whole now, without their ends; None for one that was too long.

        Empty lines are returned, too; the one between CR and LF is none.
        """
        if self._ended_with_cr and data.startswith(b"\n"):
            data = data[1:]
        self._ended_with_cr = data.endswith(b"\r")
        *whole, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for piece, is_whole in [*((line, True) for line in whole), (rest, False)]:
            self._buffer += piece
            if len(self._buffer) > self._longest:
                self._buffer.clear()
                self._skips = True
            if is_whole:
                yield None if self._skips else bytes(self._buffer)
                self._buffer.clear()
                self._skips = False

    def reset(self) -> None:
        """Forget half a line."""
        self._buffer.clear()
        self._skips = self._ended_with_cr = False
