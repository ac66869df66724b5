"""How a registry grows: what has a place keeps it for ever.

A pure function of the registry so far, the town as it is now, and today. Late data find the entry that held
when they were measured, also where the device has moved or is gone. A change takes effect tomorrow at the
earliest, after every collector has it: until then no two collectors disagree. An entry that is yet to begin is a
plan, and may change. Only `interval_s` and `privacy`, which no reading is tagged with, follow the town at once.

What had no place (its readings are unregistered) may be given one, also for days that have passed: a new device
by its `since`, one that the registry has by `backdate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
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


@dataclass(frozen=True)
class When:
    """The day on which a registry is built, and what is allowed then."""

    today: Day
    backdate: bool = False
    """Whether changes may take effect today or earlier, although collectors have written by what held."""

    @property
    def tomorrow(self) -> Day:
        """First day of which no collector has written a reading."""
        return (date.fromisoformat(self.today) + timedelta(days=1)).isoformat()


def first(devices: Iterable[Placed]) -> list[RegistryEntry]:
    """Make the entries of the very first registry: what has no day of its own holds from the beginning."""
    return [msgspec.structs.replace(placed.entry, since=placed.since or BEGINNING) for placed in devices]


def by_device(entries: Iterable[RegistryEntry]) -> dict[str, list[RegistryEntry]]:
    """Return the entries of each device, in order of time."""
    histories: dict[str, list[RegistryEntry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.since):
        histories.setdefault(entry.device, []).append(entry)
    return histories


def extend(before: Iterable[RegistryEntry], devices: Iterable[Placed], when: When) -> list[RegistryEntry]:
    """Carry the entries so far on: what changed gets a new entry, what is gone an end.

    Raises: ConfigError where the town would alter what held, or what holds today.
    """
    histories = by_device(before)
    entries: list[RegistryEntry] = []
    for placed in devices:
        entries += _carry_on(histories.pop(placed.entry.device, []), placed, when)
    for history in histories.values():
        entries += _end(history, when)
    return entries


def _carry_on(history: list[RegistryEntry], placed: Placed, when: When) -> list[RegistryEntry]:
    """Extend the history of a device that the town has."""
    if not history:
        return [msgspec.structs.replace(placed.entry, since=placed.since or when.today)]
    *former, last = history
    is_here = last.place == placed.entry.place
    if last.until is not None:
        return _come_back(history, placed, when)
    if is_here and (placed.since is None or _is_known(history, placed.since)):
        entry = placed.entry
        return [*former, msgspec.structs.replace(last, interval_s=entry.interval_s, privacy=entry.privacy)]
    if last.since > when.today and (is_here or placed.since is None or placed.since <= last.since):
        return _carry_on(former, placed, when)  # the plan has changed
    return _begin_earlier(history, placed, when) if is_here else _move(history, placed, when)


def _is_known(history: list[RegistryEntry], since: Day) -> bool:
    """Whether a day is the one on which a device came here, or one of before it went away and came back."""
    was_gone = False
    for entry, following in zip(reversed(history), [None, *reversed(history)], strict=False):
        was_gone = was_gone or (following is not None and entry.until is not None)
        if entry.place != history[-1].place and not was_gone:
            return False
        if entry.since == since:
            return True
    return False


def _come_back(history: list[RegistryEntry], placed: Placed, when: When) -> list[RegistryEntry]:
    """Let a device that was gone be there again."""
    *former, last = history
    until = last.until or BEGINNING
    since = placed.since
    is_news = since is not None and since not in {entry.since for entry in history}
    if until > when.today and last.place == placed.entry.place and not is_news:
        return _carry_on([*former, msgspec.structs.replace(last, until=None)], placed, when)  # it never went
    if since is not None and since < until and is_news:
        raise ConfigError(
            placed.at,
            f"since {since} for {last.device!r}, which the registry has elsewhere until {until}",
            f"a day from {until} on, or none",
        )
    day = since if since is not None and since >= until else max(until, when.today)
    return [*history, msgspec.structs.replace(placed.entry, since=day)]


def _begin_earlier(history: list[RegistryEntry], placed: Placed, when: When) -> list[RegistryEntry]:
    """Give a device its place for days on which it had none, by an entry of its own before those that there are."""
    run = len(history) - 1
    while run and history[run - 1].until is None and history[run - 1].place == history[run].place:
        run -= 1
    since, known = placed.since or BEGINNING, history[run].since
    is_free = since < known and (run == 0 or since >= (history[run - 1].until or known))
    if is_free and when.backdate:
        return [*history[:run], msgspec.structs.replace(history[run], since=since, until=None), *history[run:]]
    remedy = "what the registry has is never altered"
    if is_free:
        remedy = "or --backdate, if what it sent before is to be adopted"
    raise ConfigError(
        placed.at,
        f"since {since} for {placed.entry.device!r}, which the registry has here since {known}",
        f"`since: {known}`, or none; {remedy}",
    )


def _move(history: list[RegistryEntry], placed: Placed, when: When) -> list[RegistryEntry]:
    """Let a device stand elsewhere from its day on."""
    last = history[-1]
    changes = ", ".join(
        f"{name} {old} -> {getattr(placed.entry, name)}"
        for name in _PLACE
        if (old := getattr(last, name)) != getattr(placed.entry, name)
    )
    if placed.since is None or placed.since <= last.since:
        raise ConfigError(
            placed.at,
            f"{last.device!r} changed ({changes}) without a day",
            f"`since: YYYY-MM-DD`, the day of the change, after {max(last.since, when.today)}",
        )
    if placed.since <= when.today and not when.backdate:
        raise ConfigError(
            placed.at,
            f"{last.device!r} changed ({changes}) since {placed.since}, of which readings are stored as they were",
            f"{when.tomorrow} or later, so that every collector has it first; --backdate if it must be",
        )
    return [*history, msgspec.structs.replace(placed.entry, since=placed.since)]


def _end(history: list[RegistryEntry], when: When) -> list[RegistryEntry]:
    """Let the history of a device that is gone end with today; an entry that was yet to begin never held, and goes."""
    if history[-1].until is not None:
        return history
    *former, last = history
    if last.since > when.today:
        return _end(former, when) if former else []
    return [*former, msgspec.structs.replace(last, until=when.tomorrow)]


def lost(before: Iterable[RegistryEntry], devices: Iterable[Placed]) -> tuple[int, int]:
    """Return how many of the devices that the registry has the town no longer has, and how many it has."""
    had = {device for device, history in by_device(before).items() if history[-1].until is None}
    return len(had - {placed.entry.device for placed in devices}), len(had)


def keep_sites(before: RegistryFile, now: dict[str, Site], entries: Iterable[RegistryEntry]) -> dict[str, Site]:
    """Return the town's sites, and those that only former entries name."""
    named = {entry.site for entry in entries}
    return {**{site: entry for site, entry in before.sites.items() if site in named - now.keys()}, **now}
