"""Telegrams as a person has them: hexadecimal on the command line, or in a file."""

from __future__ import annotations

import re
from pathlib import Path

from base.errors import ConfigError, Position

_HEX = re.compile(r"^\|?(?:0x)?[0-9A-Fa-f]{2}(?:[ :\t,|_]*(?:0x)?[0-9A-Fa-f]{2})*\|?$")
_SEPARATORS = re.compile(r"0x|[ :\t,|_]")
LARGEST_FILE = 1 << 20


def read_telegrams(text_or_file: str) -> list[bytes]:
    """Read one telegram in hexadecimal, or a file: a line for each, or the bytes of one.

    Raises: ConfigError where it is neither.
    """
    if (data := from_hex(text_or_file)) is not None:
        return [data]
    file = Path(text_or_file)
    try:
        size = file.stat().st_size
        content = file.read_bytes() if size <= LARGEST_FILE else b""
    except (OSError, ValueError) as error:
        raise ConfigError(
            Position(Path("HEX-or-FILE")), "neither hexadecimal digits nor a readable file", "such as 6803036808..16"
        ) from error
    if size > LARGEST_FILE:
        raise ConfigError(Position(file), f"{size} bytes", "a file of up to 1 MiB")
    return _of_lines(file, content)


def from_hex(text: str) -> bytes | None:
    """Read hexadecimal digits, with blanks or other marks between bytes; None where it is something else."""
    text = text.strip()
    return bytes.fromhex(_SEPARATORS.sub("", text)) if _HEX.match(text) else None


def _of_lines(file: Path, content: bytes) -> list[bytes]:
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError:
        return [content]
    telegrams: list[bytes] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        data = from_hex(line)
        if data is None:
            raise ConfigError(Position(file, number), repr(line[:40]), "hexadecimal digits, one telegram in a line")
        telegrams.append(data)
    if not telegrams:
        raise ConfigError(Position(file), "no telegram", "hexadecimal digits, one telegram in a line")
    return telegrams
