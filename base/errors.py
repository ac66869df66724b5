"""The errors of Messnetz, typed by what the caller can do.

    MessnetzError
    ├── ConfigError     a person must edit a file: file, line, column, found, expected
    ├── TransientError  try later; nothing is lost
    └── PermanentError  it will never work as it is: set it aside and say so

Foreign exceptions are translated at the border, where the foreign library is called, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from pathlib import Path


class MessnetzError(Exception):
    """Any error that a user may meet; its text is a sentence for a person."""


class TransientError(MessnetzError):
    """Try later; nothing is lost. `retry_after_s` is what the other side asked for, where it did."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PermanentError(MessnetzError):
    """It will never work as it is: set it aside and say so."""


@dataclass(frozen=True)
class Position:
    """A place in a file that a person wrote. Lines and columns count from 1."""

    file: Path
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ConfigError(MessnetzError):
    """A person must edit a file. Says where, what was found and what would be right."""

    def __init__(self, at: Position, found: str, expected: str) -> None:
        super().__init__(f"{at}: found {found}; expected {expected}")
        self.at = at
        self.found = found
        self.expected = expected


def exit_for(error: MessnetzError) -> NoReturn:
    """Print the error and leave with its exit code: 2 where the input is wrong, else 1."""
    click.echo(str(error), err=True)
    raise SystemExit(2 if isinstance(error, ConfigError) else 1)
