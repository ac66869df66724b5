"""What the commands of `messnetz device decode` have in common: bytes as hexadecimal text or in a file."""

from __future__ import annotations

import re
from pathlib import Path

from base.errors import ConfigError, PermanentError, Position

MOST_BYTES = 1 << 20
_HEX = re.compile(r"^(?:0x)?[0-9A-Fa-f\s:]+$")


def bytes_of(text: str, expected: str) -> bytes:
    """Read HEX-or-FILE: the bytes of a file (or of the hexadecimal text in it), or those that the text spells.

    Raises: ConfigError where a file is meant that is none; PermanentError where the text is neither.
    """
    file = Path(text)
    if _looks_like_file(file):
        return _content(file, expected)
    if not _HEX.match(text):
        raise ConfigError(Position(file), "no readable file", f"{expected}, as hexadecimal text or in a file")
    return unhex(text)


def unhex(text: str) -> bytes:
    """Read hexadecimal text, with blanks or colons between or not.

    Raises: PermanentError where a digit is missing.
    """
    digits = re.sub(r"[\s:]|^0x", "", text)
    if len(digits) % 2:
        raise PermanentError(f"{len(digits)} hexadecimal digits, of which bytes take two each")
    return bytes.fromhex(digits)


def _looks_like_file(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a text too long for a name, or one that no name can be
        return False


def _content(file: Path, expected: str) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(Position(file), f"no readable file ({error.strerror})", expected) from error
    if len(data) > MOST_BYTES:
        raise ConfigError(Position(file), f"more than {MOST_BYTES} bytes", expected)
    text = data.decode("ascii", "replace")
    return unhex(text) if _HEX.match(text) else data
