"""What two registries say differently of days that have come: the check that history was not altered.

Compares what the entries mean, day by day, and knows nothing of how they came to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from base.errors import ConfigError
from base.messages import Text
from cloud.history import MOST_LOST_PERCENT, When, by_device

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from base.errors import Position
    from cloud.registry_file import RegistryEntry, RegistryFile
    from wire.ids import Day

GIVEN = Text(
    de="{device} steht hier seit {since}; was seither kam und in `unregistered` liegt, holt `messnetz cloud adopt`",
    en="{device} stands here since {since}; what came since then and lies in `unregistered`, `messnetz cloud adopt` "
    "brings to its place",
)
ALTERED = Text(
    de="{device}: was seit {since} gemessen und schon gespeichert ist, bleibt unter {old}. Was ein Gateway davon noch "
    "einmal sendet, liegt auch unter {new}, und eine Summe über beide zählt es doppelt: lösche dann in der Datenbank, "
    "was unter {old} seit {since} liegt",
    en="{device}: what was measured since {since} and is stored stays under {old}. What of it a gateway sends again "
    "lies under {new} as well, and a sum over both counts it twice: then delete from the database what lies under "
    "{old} since {since}",
)

IF_MEANT = "if that is meant, start the collector anew, with --force where it is to take such a one while it runs"

Place: TypeAlias = tuple[str, str, str, str]
"""Gateway, profile, site, sector."""


@dataclass(frozen=True)
class Amendment:
    """From a day on, a device's readings go elsewhere than they would have gone before."""

    device: str
    since: Day
    old: Place | None
    """None: they were unregistered."""
    new: Place | None

    @property
    def is_altered(self) -> bool:
        """Whether readings that are stored keep a place that they would no longer get."""
        return self.old is not None

    def say(self) -> str:
        """Return what this means for what is stored, and what to do."""
        old, new = _words(self.old), _words(self.new)
        return (ALTERED if self.is_altered else GIVEN).say(device=self.device, since=self.since, old=old, new=new)


def amendments(before: Iterable[RegistryEntry], after: Iterable[RegistryEntry], until: Day) -> Iterator[Amendment]:
    """Yield where two registries differ on days before `until`, each stretch once, by device and day."""
    old, new = by_device(before), by_device(after)
    for device in sorted(old.keys() | new.keys()):
        yield from _of(device, old.get(device, ()), new.get(device, ()), until)


def _of(device: str, old: Sequence[RegistryEntry], new: Sequence[RegistryEntry], until: Day) -> Iterator[Amendment]:
    days = {day for entry in (*old, *new) for day in (entry.since, entry.until) if day is not None and day < until}
    last: tuple[Place | None, Place | None] | None = None
    for day in sorted(days):
        places = place_on(old, day), place_on(new, day)
        if places[0] != places[1] and places != last:
            yield Amendment(device, day, *places)
        last = places


def _words(place: Place | None) -> str:
    return "unregistered" if place is None else "/".join(place[i] for i in (0, 2, 3)) + f" ({place[1]})"


def place_on(history: Sequence[RegistryEntry], day: Day) -> Place | None:
    """Return where a device stood on a day, by its entries in order of time; None where it was not registered."""
    for entry in reversed(history):
        if entry.since <= day:
            return entry.place if entry.until is None or day < entry.until else None
    return None


def check_successor(before: RegistryFile, after: RegistryFile, today: Day, at: Position) -> None:
    """Check that a registry may take the place of the one in force.

    Raises: ConfigError where it alters history, or has lost many devices.
    """
    check_unaltered(before, after, today, at)
    had = {device for device, history in by_device(before.entries).items() if place_on(history, today)}
    gone = had - {device for device, history in by_device(after.entries).items() if history[-1].until is None}
    if len(gone) * 100 > len(had) * MOST_LOST_PERCENT:
        expected = f"at most {MOST_LOST_PERCENT} % to be gone; {IF_MEANT}"
        raise ConfigError(at, f"{len(gone)} of {len(had)} devices gone", expected)


def check_unaltered(before: RegistryFile, after: RegistryFile, today: Day, at: Position) -> None:
    """Check that a registry says of today and the days before it what the one in force says.

    Raises: ConfigError where readings that are stored would find another place now.
    """
    changes = amendments(before.entries, after.entries, When(today).tomorrow)
    change = next((change for change in changes if change.is_altered), None)
    if change is not None:
        found = f"another history than the one in force: {change.device} since {change.since}"
        raise ConfigError(at, found, f"the registry to carry on what it said; {IF_MEANT}")
