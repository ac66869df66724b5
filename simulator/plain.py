"""The demo in plain lines: for logs, pipes and programs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from simulator.account import Account
    from simulator.progress import Counts, Progress

EVERY_S = 3.0


class PlainView:
    """Writes lines to stdout, or to stderr where stdout is for a program."""

    live = False

    def __init__(self, *, to_stderr: bool = False) -> None:
        self._to_stderr = to_stderr

    def say(self, text: str) -> None:
        """Write one line."""
        click.echo(text, err=self._to_stderr)

    async def show(self, progress: Progress) -> NoReturn:
        """Write the counts every few seconds."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.say(counts_line(progress.elapsed_s, progress.counts()))


def counts_line(elapsed_s: float, counts: Counts) -> str:
    """One line with the numbers of readings at each stage."""
    stages = "   ".join(f"{name} {number:>6}" for name, number in counts._asdict().items())
    return f"{elapsed_s:>5.0f} s   {stages}"


def account_lines(account: Account, store: str) -> list[str]:
    """The account for a person."""
    what = {
        "made": "readings by the simulated meters",
        "sealed": "on the gateway's disk",
        "confirmed": f"the collector said: {store} has them",
        "stored": f"read back from {store}",
        "lost": "made, and not in the store",
        "duplicates": "in the store more than once",
        "wrong": "in the store with another value than the meter's",
        "wrong_time": "in the store with a time over 1 s off",
        "unregistered": "in the store where nobody looks for them",
        "own": "stored beside them: the gateway on itself, and which meters answer",
    }
    lines = [f"{name.replace('_', ' '):<12}{getattr(account, name):>9}   {text}" for name, text in what.items()]
    verdict = "Every reading arrived once, and as it was." if account.is_clean else "The account does not add up."
    return [*lines, verdict]
