"""Seven bits and a parity bit, checked here: a serial port passes characters on whose parity is wrong.

So lines of 7E1 are opened as 8N1, which is as many bits, and each byte is checked. What comes over a serial server, or
from a head that checks by itself, has no eighth bit: then there is nothing left to check.
"""

from __future__ import annotations

import msgspec

from edge.stream import LineSettings, SerialPort, TcpEndpoint


def raw(settings: LineSettings) -> LineSettings:
    """Return the settings under which a line of 7E1 is opened; others as they are."""
    if (settings.data_bits, settings.parity) != (7, "E"):
        return settings
    return msgspec.structs.replace(settings, data_bits=8, parity="N")


def raw_line(line: SerialPort | TcpEndpoint) -> SerialPort | TcpEndpoint:
    """Return the address of a line with those settings."""
    return line._replace(settings=raw(line.settings)) if isinstance(line, SerialPort) else line


def with_parity(data: bytes) -> bytes:
    """Give text its even parity."""
    return bytes(byte | 0x80 if byte.bit_count() % 2 else byte for byte in data)


def stripped(data: bytes) -> bytes | None:
    """Take parity away where there is some; None where a byte's is wrong.

    Even parity sets the eighth bit of every second character, and of CR at the end of each line: text that has none
    set came without.
    """
    if data.isascii():
        return data
    if any(byte.bit_count() % 2 for byte in data):
        return None
    return bytes(byte & 0x7F for byte in data)
