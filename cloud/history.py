"""How a registry grows: what it said of a day that has passed, it says for ever.

A pure function of the registry so far, the town as it is now, and today. Late data find the entry that held
when they were measured, also where the device has moved or is gone. Only `interval_s` and `privacy`, which no
reading is tagged with, follow the town at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from base.errors import ConfigError
from cloud.registry_file import BEGINNING, RegistryEntry, RegistryFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from base.errors import Position
    from wire.ids import Day
    from wire.town import Site

MOST_LOST_PERCENT = 5
"""Of the devices, unless somebody says that it is meant."""
_PLACE = ("gateway", "profile", "site", "sector")


@dataclass(frozen=True)
class Placed:
    """A device as the town's files have it now."""

    entry: RegistryEntry
    """Its `since` says nothing; that of the file does."""
    since: Day | None
    """As the person wrote it."""
    at: Position


def first(devices: Iterable[Placed]) -> list[RegistryEntry]:
    """Make the entries of the very first registry: what has no day of its own holds from the beginning."""
    return [msgspec.structs.replace(placed.entry, since=placed.since or BEGINNING) for placed in devices]


def extend(before: Iterable[RegistryEntry], devices: Iterable[Placed], today: Day) -> list[RegistryEntry]:
    """Carry the entries so far on: what changed gets a new entry, what is gone an end.

    Raises: ConfigError where the town would alter an entry that exists.
    """
    histories: dict[str, list[RegistryEntry]] = {}
    for entry in sorted(before, key=lambda entry: entry.since):
        histories.setdefault(entry.device, []).append(entry)
    entries: list[RegistryEntry] = []
    for placed in devices:
        entries += _carry_on(histories.pop(placed.entry.device, []), placed, today)
    for history in histories.values():
        entries += _end(history, today)
    return entries


def _carry_on(history: list[RegistryEntry], placed: Placed, today: Day) -> list[RegistryEntry]:
    """Extend the history of a device that the town has."""
    if not history:
        return [msgspec.structs.replace(placed.entry, since=placed.since or today)]
    *former, last = history
    if last.until is not None:
        return [*history, msgspec.structs.replace(placed.entry, since=_return_day(last.until, placed, today))]
    if last.place == placed.entry.place:
        if placed.since not in (None, last.since):
            raise ConfigError(
                placed.at,
                f"since {placed.since} for {last.device!r}, which the registry has here since {last.since}",
                f"`since: {last.since}`, or none; what the registry has is never altered",
            )
        entry = placed.entry
        return [*former, msgspec.structs.replace(last, interval_s=entry.interval_s, privacy=entry.privacy)]
    if placed.since is None or placed.since <= last.since:
        changes = ", ".join(
            f"{name} {old} -> {getattr(placed.entry, name)}"
            for name in _PLACE
            if (old := getattr(last, name)) != getattr(placed.entry, name)
        )
        raise ConfigError(
            placed.at,
            f"{last.device!r} changed ({changes}) without a day",
            f"`since: YYYY-MM-DD`, the day of the change, after {last.since}",
        )
    return [*history, msgspec.structs.replace(placed.entry, since=placed.since)]


def _return_day(until: Day, placed: Placed, today: Day) -> Day:
    """Day from which a device that was gone is there again; a `since` of before it went is no longer news."""
    if placed.since is not None and placed.since >= until:
        return placed.since
    return max(until, today)


def _end(history: list[RegistryEntry], today: Day) -> list[RegistryEntry]:
    """Let the history of a device that is gone end today; an entry that was yet to begin never held, and goes."""
    if history[-1].until is not None:
        return history
    *former, last = history
    if last.since >= today:
        return _end(former, today) if former else []
    return [*former, msgspec.structs.replace(last, until=today)]


def lost(before: Iterable[RegistryEntry], devices: Iterable[Placed]) -> tuple[int, int]:
    """Return how many of the devices that the registry has the town no longer has, and how many it has."""
    had = {entry.device for entry in before if entry.until is None}
    return len(had - {placed.entry.device for placed in devices}), len(had)


def keep_sites(before: RegistryFile, now: dict[str, Site], entries: Iterable[RegistryEntry]) -> dict[str, Site]:
    """Return the town's sites, and those that only former entries name."""
    named = {entry.site for entry in entries}
    return {**{site: entry for site, entry in before.sites.items() if site in named - now.keys()}, **now}


def altered(before: RegistryFile, after: RegistryFile, today: Day) -> str | None:
    """Say what a registry tells otherwise than the one before it did of days that have passed; None where nothing.

    Entries that were yet to begin may go, one without an end may get one, and new ones may follow.
    """
    now: dict[str, list[RegistryEntry]] = {}
    for entry in sorted(after.entries, key=lambda entry: entry.since):
        now.setdefault(entry.device, []).append(entry)
    position: dict[str, int] = {}
    for old in sorted(before.entries, key=lambda entry: entry.since):
        if old.since > today:
            continue
        index = position[old.device] = position.get(old.device, -1) + 1
        history = now.get(old.device, [])
        new = history[index] if index < len(history) else None
        if new is None or (new.since, new.place) != (old.since, old.place) or old.until not in (None, new.until):
            return f"the entry of {old.device!r} since {old.since}"
    return None


def check_successor(before: RegistryFile, after: RegistryFile, today: Day, at: Position) -> None:
    """Check that a registry may take the place of the one before it.

    Raises: ConfigError where it alters history, or has lost many devices.
    """
    change = altered(before, after, today)
    if change is not None:
        expected = "the registry to carry on what it said; restart the collector if that is meant"
        raise ConfigError(at, f"another history than the one in force: {change}", expected)
    had = {entry.device for entry in before.entries if entry.until is None}
    gone = len(had - {entry.device for entry in after.entries if entry.until is None})
    if gone * 100 > len(had) * MOST_LOST_PERCENT:
        expected = f"at most {MOST_LOST_PERCENT} % to be gone; restart the collector if that is meant"
        raise ConfigError(at, f"{gone} of {len(had)} devices gone", expected)
