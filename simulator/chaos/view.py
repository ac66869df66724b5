"""Shows a chaos run while it goes on: plain lines, and on a terminal a line below them that stands still."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


class View(Protocol):
    """Who shows it."""

    def say(self, text: str) -> None:
        """Show one thing that happened."""

    def now(self, text: str) -> None:
        """Show how things stand."""


class PlainView:
    """Writes lines to stdout, or to stderr where stdout is for a program."""

    def __init__(self, *, to_stderr: bool) -> None:
        self._to_stderr = to_stderr

    def say(self, text: str) -> None:
        """Write one line."""
        click.echo(text, err=self._to_stderr)

    def now(self, text: str) -> None:
        """Write one line."""
        click.echo(text, err=self._to_stderr)


class LiveView:
    """Writes what happened, and below it how things stand."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - rich is for the terminal alone

        self._console = Console(highlight=False)
        self._status = self._console.status("")

    def say(self, text: str) -> None:
        """Write one line."""
        self._console.print(text, markup=False)

    def now(self, text: str) -> None:
        """Change the line below."""
        self._status.update(text)

    @contextmanager
    def drawn(self) -> Iterator[View]:
        """Draw while the context lasts."""
        with self._status:
            yield self


@contextmanager
def choose(*, as_json: bool) -> Iterator[View]:
    """Take the live view on a terminal."""
    if as_json or not sys.stdout.isatty():
        yield PlainView(to_stderr=as_json)
        return
    with LiveView().drawn() as view:
        yield view
