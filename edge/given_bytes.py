"""Bytes that a person gives to a command: hexadecimal digits, or a file with them, a dump, or the bytes themselves.

All of `messnetz device decode` reads what it is given by this one module.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

import click

LARGEST = 1 << 20
_BYTE = r"(?:0x)?[0-9A-Fa-f]{2}[\s:,|_-]*"
_HEX = re.compile(rf"\|?(?:{_BYTE})+\Z")
_BETWEEN = re.compile(r"0x|[\s:,|_-]")
_DUMPED = re.compile(r"^([0-9A-Fa-f]{4,16}):?\s+((?:[0-9A-Fa-f]{2} ?)+)(?:\s.*)?$")
"""A line of a hexdump: an offset, bytes, and perhaps what they are as text."""
_REMARK = "#"


def read_given(text: str) -> bytes:
    """Return the bytes that hexadecimal digits or a file's name stand for.

    Raises: BadParameter, in a sentence, where there are none.
    """
    data = of_hex(text.strip())
    return of_dump(_content(text)) if data is None else data


def read_each(text: str) -> list[bytes]:
    """Likewise, where a file may have several telegrams, one in each line of hexadecimal digits.

    A dump, and a file that holds the bytes themselves, are one piece, however many telegrams are in it.

    Raises: BadParameter, in a sentence, where there are none.
    """
    data = of_hex(text.strip())
    if data is not None:
        return [data]
    content = _content(text)
    found = pieces(content)
    if found == [content]:
        _refuse_other_lines(text, content)
    return found


def of_hex(text: str) -> bytes | None:
    """Read hexadecimal digits, with blanks, colons or commas between bytes; None where it is something else."""
    if len(text) > 4 * LARGEST or not _HEX.match(text):
        return None
    return bytes.fromhex(_BETWEEN.sub("", text))


def of_dump(content: bytes) -> bytes:
    """Read a file's content: hexadecimal digits, the lines of a dump, or else the bytes as they are."""
    return b"".join(pieces(content))


def pieces(content: bytes) -> list[bytes]:
    """Likewise; lines of hexadecimal digits stay apart. Lines that begin with `#` are remarks among such lines."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        return [content]
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(_REMARK)]
    if not lines:
        return [content]
    dumped = _dumped(lines)
    if dumped is not None:
        return [dumped]
    as_hex = [of_hex(line.strip()) for line in lines]
    found = [line for line in as_hex if line is not None]
    return found if len(found) == len(lines) else [content]


def _dumped(lines: list[str]) -> bytes | None:
    """Read the lines of a dump; None where they are none: each begins with about how many bytes stand before it.

    About: tools that print a frame in each line count its escapes otherwise.
    """
    data = b""
    due: range | None = None
    for line in lines:
        match = _DUMPED.match(line)
        offset = int(match[1], 16) if match else 0
        if match is None or (due is not None and offset not in due) or (len(lines) == 1 and offset):
            return None
        octets = bytes.fromhex(match[2])
        due = range(offset + (len(octets) + 1) // 2, offset + 2 * len(octets) + 1)
        data += octets
    return data


def _refuse_other_lines(file: str, content: bytes) -> None:
    """Refuse a file of which only some lines are digits: the others were meant to be, too.

    Raises: BadParameter, with the first such line.
    """
    lines = [(n, line.strip()) for n, line in enumerate(content.decode("latin-1").split("\n"), 1)]
    others = [n for n, line in lines if line and not line.startswith(_REMARK) and of_hex(line) is None]
    if others and any(of_hex(line) for _, line in lines):
        n = others[0]
        raise click.BadParameter(f"{file}:{n}: {lines[n - 1][1][:40]!r}, where hexadecimal digits were expected")


def _content(text: str) -> bytes:
    file = Path(text)
    try:
        if not text.strip():
            raise ValueError("nothing was given")  # noqa: TRY301 - the sentence below says the rest
        if stat.S_ISCHR(file.stat().st_mode) or stat.S_ISBLK(file.stat().st_mode):
            raise click.BadParameter(f"{text[:60]} is a port or a disk: record what comes from it into a file first")
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no file"
        raise click.BadParameter(f"{text[:60]!r} is neither hexadecimal digits nor a readable file ({why})") from error
    if len(content) > LARGEST:
        raise click.BadParameter(f"{file} has over {LARGEST >> 20} MiB")
    if not content.strip():
        raise click.BadParameter(f"{text[:60]!r} is empty")
    return content
