"""The demo in plain lines: for logs, pipes and programs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from simulator.account import Account
    from simulator.progress import Counts, Progress

EVERY_S = 3.0
RARE = frozenset({"declared", "unaccounted", "stored_and_declared", "displaced", "own", "waiting"})
"""Lines of the account that are shown where they are not 0."""


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
    numbers = counts._asdict()
    own = numbers.pop("own")
    stages = "   ".join(f"{name} {number:>6}" for name, number in numbers.items())
    return f"{elapsed_s:>5.0f} s   {stages}   of those {own:>6} the gateway's own"


def account_lines(account: Account, store: str) -> list[str]:
    """The account for a person."""
    what = {
        "made": "readings by the simulated meters",
        "sealed": "on the gateway's disk",
        "confirmed": f"the collector said: {store} has them",
        "stored": f"read back from {store}",
        "lost": "made, and not in the store",
        "declared": "of those, a gap says so",
        "unaccounted": "of those, nothing says so",
        "stored_and_declared": "in the store, though a gap speaks of them",
        "duplicates": "in the store more than once",
        "wrong": "in the store with another value than the meter's",
        "wrong_time": "in the store with a time over 1 s off",
        "displaced": "in the store over 1 s off, and flagged so",
        "unregistered": "in the store where nobody looks for them",
        "own": "in the store, told by gateways of themselves",
        "waiting": "on the gateway's disk, and not confirmed when it ended",
    }
    shown = {name: text for name, text in what.items() if name not in RARE or getattr(account, name)}
    lines = [f"{name.replace('_', ' '):<12}{getattr(account, name):>9}   {text}" for name, text in shown.items()]
    return [*lines, _verdict(account)]


def _verdict(account: Account) -> str:
    if account.is_clean:
        return "Every reading arrived once, and as it was."
    if not account.made and account.is_whole and not account.unregistered:
        return "Ended before a meter was read: there is nothing to account for."
    if account.is_early:
        return f"Ended before all was confirmed: {account.waiting} readings wait on the gateway's disk, unconfirmed."
    return "The account does not add up."
