"""One line on the terminal that says how far a long piece of work has come; none where nobody looks."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from base.messages import Text

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self, TextIO

PATIENCE_S: Final = 2.0
"""What is done sooner needs no word."""
BETWEEN_S: Final = 0.5
LINE = Text(
    de="{readings} Messwerte angesehen, bis {moment}; {seconds} s",
    en="{readings} readings seen, up to {moment}; {seconds} s",
)
CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Counts readings, and tells a terminal from time to time."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._begun_s = clock()
        self._said_s = self._begun_s + PATIENCE_S - BETWEEN_S
        self._readings = 0
        self._has_line = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        if self._has_line:
            click.echo(CLEAR_LINE, file=self._stream, nl=False)

    def looked(self, readings: int, at_ms: int) -> None:
        """Take so many more readings as seen, up to a time (Unix milliseconds)."""
        self._readings += readings
        now_s = self._clock()
        if now_s - self._said_s < BETWEEN_S or not self._stream.isatty():
            return
        self._said_s, self._has_line = now_s, True
        moment = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = LINE.say(readings=self._readings, moment=moment, seconds=round(now_s - self._begun_s))
        click.echo(CLEAR_LINE + said, file=self._stream, nl=False)
