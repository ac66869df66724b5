"""Bytes that a person gives to a command: hexadecimal digits, or a file with them, a dump, or the bytes themselves."""

from __future__ import annotations

import re
from pathlib import Path

import click

LARGEST = 1 << 20
_HEX = re.compile(r"(?:0x)?((?:[0-9A-Fa-f]{2}[\s:,-]*)+)\Z")
_DUMPED = re.compile(r"^[0-9A-Fa-f]{4,16}:?\s+((?:[0-9A-Fa-f]{2} ?)+)(?:\s.*)?$")
"""A line of a hexdump: an offset, bytes, and perhaps what they are as text."""


def read_given(text: str) -> bytes:
    """Return the bytes that hexadecimal digits or a file's name stand for.

    Raises: BadParameter, in a sentence, where there are none.
    """
    data = of_hex(text.strip())
    if data is not None:
        return data
    file = Path(text)
    try:
        if file.stat().st_size > LARGEST:
            raise click.BadParameter(f"{file} has over {LARGEST >> 20} MiB")
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no file"
        raise click.BadParameter(f"{text[:60]!r} is neither hexadecimal digits nor a readable file ({why})") from error
    return of_dump(content)


def of_hex(text: str) -> bytes | None:
    """Read hexadecimal digits, with blanks, colons or commas between bytes; None where it is something else."""
    if len(text) > 4 * LARGEST or not _HEX.match(text):
        return None
    return bytes.fromhex(re.sub(r"0x|[\s:,-]", "", text))


def of_dump(content: bytes) -> bytes:
    """Read a file's content: hexadecimal digits, the lines of a dump, or else the bytes as they are."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        return content
    lines = [line for line in text.splitlines() if line.strip()]
    dumped = [_DUMPED.match(line) for line in lines]
    if lines and all(dumped):
        return b"".join(bytes.fromhex(line[1]) for line in dumped if line is not None)
    as_hex = [of_hex(line.strip()) for line in lines]
    if lines and all(line is not None for line in as_hex):
        return b"".join(line for line in as_hex if line is not None)
    return content
