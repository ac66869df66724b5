"""What meters say in lines of text (IEC 62056-21, P1), written down apart from the parser that it tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from simulator.ports import Noise, Port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


def even(data: bytes) -> bytes:
    """Seven bits and even parity."""
    return bytes(byte | byte.bit_count() % 2 << 7 for byte in data)


def push(ident: str, lines: Sequence[str]) -> bytes:
    """A telegram that a meter pushes, 7E1."""
    return even("\r\n".join((f"/{ident}", "", *lines, "!", "")).encode("ascii"))


def p1(ident: str, lines: Sequence[str]) -> bytes:
    """A telegram of DSMR 4 or 5, with its checksum."""
    text = "\r\n".join((f"/{ident}", "", *lines, "!")).encode("ascii")
    crc = 0
    for byte in text:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc % 2 else 0)
    return text + f"{crc:04X}\r\n".encode("ascii")


def block(lines: Sequence[str]) -> bytes:
    """The answer to a question: STX, lines, ETX, checksum; 7E1."""
    body = "\r\n".join((*lines, "!", "")).encode("ascii") + b"\x03"
    check = 0
    for byte in body:
        check ^= byte
    return even(b"\x02" + body + bytes([check]))


class AskedMeter:
    """A meter that waits to be asked: mode C for a digit as its speed, B for a letter, A for anything else."""

    def __init__(self, lines: Callable[[], Sequence[str]], *, speed: str = "5", address: str = "") -> None:
        self.lines = lines
        self.ident = f"XYZ{speed}METER"
        self.speed = speed
        self.address = address

    def is_asked(self, text: str) -> bool:
        """Whether a question is for it; one without an address is for everybody."""
        return text in ("/?!", f"/?{self.address}!")


class AskedLine:
    """A line with meters that wait to be asked, on a pseudo-terminal."""

    def __init__(self, link: Path, meters: Sequence[AskedMeter], *, noise: Noise | None = None) -> None:
        self.port = Port(link, self._hear)
        self.answers: dict[str, Callable[[bytes], bytes]] = {}
        """By a meter's address: what becomes of its block, for tests."""
        self.heard: list[bytes] = []
        """Questions and answers of the far end, without parity."""
        self.echoes = False
        """Whether the head hears itself."""
        self._meters, self._noise = meters, noise or Noise(0.0)
        self._line = b""
        self._spoken_to: AskedMeter | None = None

    def _hear(self, data: bytes) -> None:
        if self.echoes:
            self.port.send(data)
        self._line += bytes(byte & 0x7F for byte in data if byte)
        while b"\n" in self._line:
            line, _, self._line = self._line.partition(b"\n")
            self.heard.append(line.strip(b"\r"))
            self._answer(self.heard[-1])

    def _answer(self, line: bytes) -> None:
        if line.startswith(b"/?"):
            asked = (each for each in self._meters if each.is_asked(line.decode("ascii")))
            self._spoken_to = next(asked, None)
            if self._spoken_to is not None:
                self._say(even(f"/{self._spoken_to.ident}\r\n".encode("ascii")))
                if not self._spoken_to.speed.isdigit():
                    asyncio.get_running_loop().call_later(0.05, self._say_values, self._spoken_to)
        elif line.startswith(b"\x06") and self._spoken_to is not None:
            self._say_values(self._spoken_to)

    def _say_values(self, meter: AskedMeter) -> None:
        spoil = self.answers.get(meter.address, self._noise.spoil)
        self._say(spoil(block(meter.lines())))

    def _say(self, data: bytes) -> None:
        self.port.send(data)


def rows(values: Mapping[str, tuple[float, str, int, int]]) -> list[str]:
    """Lines of values: code -> number, unit, digits before the point and behind it; filled with zeros."""
    return [
        f"{code}({number:0{before + (behind and behind + 1)}.{behind}f}{f'*{unit}' if unit else ''})"
        for code, (number, unit, before, behind) in values.items()
    ]
