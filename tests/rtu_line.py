"""An RTU line below pymodbus: a pty whose other end is played byte by byte, by a device that may misbehave."""

from __future__ import annotations

import asyncio
import os
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUEST_BYTES = 8  # unit, function code, address, count, CRC


def crc16(data: bytes) -> bytes:
    """CRC of a frame, low byte first (Modbus over serial line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def reply(unit: int, function_code: int, words: list[int]) -> bytes:
    """Build a whole reply that carries registers."""
    values = b"".join(word.to_bytes(2, "big") for word in words)
    frame = bytes([unit, function_code, len(values)]) + values
    return frame + crc16(frame)


def refusal(unit: int, function_code: int, code: int) -> bytes:
    """Build an exception reply."""
    frame = bytes([unit, function_code | 0x80, code])
    return frame + crc16(frame)


class Asked:
    """One request as it was heard on the line."""

    def __init__(self, frame: bytes) -> None:
        assert crc16(frame[:-2]) == frame[-2:]
        self.unit, self.function_code = frame[0], frame[1]
        self.address = int.from_bytes(frame[2:4], "big")
        self.count = int.from_bytes(frame[4:6], "big")

    def answer(self, first: int | None = None, count: int | None = None) -> bytes:
        """Build the right answer: every register holds its own address (or counts from `first`)."""
        start = self.address if first is None else first
        return reply(self.unit, self.function_code, [start + n for n in range(self.count if count is None else count)])


class Line:
    """The far end of the line; `behave` hears each request and says what to write, at once."""

    def __init__(self, master: int, port: str) -> None:
        self.port = port
        self.asked: list[Asked] = []
        self.behave: Callable[[Asked], bytes] = Asked.answer
        self._master = master
        self._heard = b""

    def write(self, data: bytes) -> None:
        """Put bytes on the line, asked or not."""
        if data:
            os.write(self._master, data)

    def _hear(self) -> None:
        self._heard += os.read(self._master, 4096)
        while len(self._heard) >= REQUEST_BYTES:
            frame, self._heard = self._heard[:REQUEST_BYTES], self._heard[REQUEST_BYTES:]
            request = Asked(frame)
            self.asked.append(request)
            self.write(self.behave(request))


@contextmanager
def line() -> Iterator[Line]:
    """Open a line on the running event loop."""
    loop = asyncio.get_running_loop()
    master, slave = os.openpty()
    tty.setraw(slave)
    far_end = Line(master, os.ttyname(slave))
    loop.add_reader(master, far_end._hear)
    try:
        yield far_end
    finally:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)
