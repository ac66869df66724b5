"""What a chaos run did, and what became of every reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from simulator.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.chaos.schedule import Fault

MOST_MISSING = 20


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """One fault as it happened, with the account of the polls from its beginning to its end, of the whole town."""

    at_s: float
    for_s: float
    kind: str
    target: str
    how: str
    since_ms: int
    """Unix time."""
    until_ms: int
    made: int | None = None
    """None, and the following, where the store could not be read back."""
    lost: int | None = None
    declared: int | None = None
    unaccounted: int | None = None


class Missing(msgspec.Struct, frozen=True):
    """One reading that is neither stored nor declared."""

    device: str
    quantity: str
    polled_at_ms: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole run."""

    seed: int
    minutes: float
    agents: int
    collectors: int
    broker: str
    store: str
    skipped: list[str]
    """What this machine does not allow to be tried, and why."""
    died: list[str]
    """Processes that ended though no fault had it so; each was started again."""
    faults: list[Struck]
    account: Account | None
    """None where the store could not be read back."""
    missing: list[Missing]
    """The first of what is unaccounted for."""
    doubted: int = 0
    """Polls of which nobody knows whether the agent gave them up: around its faults, or as the machine stalled."""
    troubles: list[str] = []
    """Why the chain did not recover, or could not be asked; what waits on the gateways counts as missing then."""
    verdict: str
    """`whole` or `broken`."""


def struck(fault: Fault, since_ms: int, until_ms: int, how: str) -> Struck:
    """Note what a fault was; its account comes at the end."""
    return Struck(
        at_s=fault.at_s,
        for_s=round((until_ms - since_ms) / 1000, 1),
        kind=fault.kind,
        target=fault.target,
        how=how,
        since_ms=since_ms,
        until_ms=until_ms,
    )


def is_whole(account: Account, died: Iterable[str]) -> bool:
    """Whether the promise was held; a run without any reading proves nothing."""
    return account.is_whole and account.stored > 0 and not list(died)


def table(report: Report) -> list[str]:
    """The faults with their accounts, and the account of all, for a person."""
    head = ("at s", "for s", "fault", "target", "made", "lost", "declared", "unaccounted", "how")
    rows = [
        (
            f"{one.at_s:.1f}",
            f"{one.for_s:.1f}",
            one.kind,
            one.target,
            *("?" if number is None else str(number) for number in (one.made, one.lost, one.declared, one.unaccounted)),
            one.how,
        )
        for one in report.faults
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    left = {2, 3, 8}
    lines = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]
    return [*lines, "", *_account(report)]


def _account(report: Report) -> list[str]:
    lines = [] if report.account is None else _numbers(report.account)
    lines.append(f"{'doubted':<20}{report.doubted:>9}   polls that the agent may have given up; they may be missing")
    lines += [f"not tried: {reason}" for reason in report.skipped]
    lines += [f"died by itself: {name}" for name in report.died]
    lines += [f"missing: {one.device} {one.quantity} of {one.polled_at_ms}" for one in report.missing]
    lines += [f"trouble: {trouble}" for trouble in report.troubles]
    return [*lines, f"seed {report.seed}: {report.verdict}"]


def _numbers(account: Account) -> list[str]:
    what = {
        "made": "readings that the devices made",
        "stored": "read back from the store",
        "lost": "made, and not in the store",
        "declared": "of those, a gap says so",
        "unaccounted": "of those, nothing says so",
        "stored_and_declared": "in the store, though a gap speaks of them",
        "duplicates": "in the store more than once",
        "wrong": "in the store with another value than the device's",
        "wrong_time": "in the store over 1 s off, and not flagged so",
        "displaced": "in the store over 1 s off, and flagged so",
        "waiting": "sealed, and not confirmed when the gateways ended",
    }
    return [f"{name.replace('_', ' '):<20}{getattr(account, name):>9}   {text}" for name, text in what.items()]
