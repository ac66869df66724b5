"""Secrets come from files that nobody else can read: never from the command line, never into a log."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from base.errors import ConfigError, Position

if TYPE_CHECKING:
    from pathlib import Path


def read_secret(file: Path, what: str = "the password") -> str:
    """Read a file that holds a secret; `what` it is, for a person.

    Raises: ConfigError where it is missing, or readable for others than its owner.
    """
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(Position(file), f"no readable file ({error})", f"a file that holds {what}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(Position(file), f"mode {stat.S_IMODE(mode):04o}", "mode 0600 (chmod 600)")
    return text
