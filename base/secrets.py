"""Secrets come from files that nobody else can read: never from the command line, never into a log."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from base.errors import ConfigError, Position

if TYPE_CHECKING:
    from pathlib import Path

MOST_CHARACTERS = 1 << 20
"""A key file of a city's meters is far below; the wrong file is not read whole."""


def read_secret(file: Path, what: str = "the password") -> str:
    """Read a file that holds a secret; `what` it is, for a person.

    Raises: ConfigError where it is missing, no plain file, too long, or readable for others than its owner.
    """
    expected = f"a file that holds {what}"
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            raise ConfigError(Position(file), "no plain file", expected)
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(Position(file), f"no readable file ({error})", expected) from error
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(Position(file), f"more than {MOST_CHARACTERS} characters", expected)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(Position(file), f"mode {stat.S_IMODE(mode):04o}", "mode 0600 (chmod 600)")
    return text.strip()
