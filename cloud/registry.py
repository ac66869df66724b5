"""The registry: which device stands where, read by which gateway, from which day on.

Tags come from here and never from the wire. It is dated: the entry of a device that held on the day of a
reading decides, so that the same reading gets the same tags whenever it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from base import strict_yaml
from cloud.points import Series
from wire import profile as profiles
from wire.ids import Id
from wire.profile import NAME_PATTERN, Profile
from wire.town import Day, Site
from wire.vocabulary import measurements, quantities

if TYPE_CHECKING:
    from pathlib import Path

BEGINNING = "1970-01-01"


class RegistryEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device from one day on."""

    device: Id
    gateway: Id
    profile: Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
    site: Id
    interval_s: Annotated[float, msgspec.Meta(gt=0)]
    privacy: Literal["public", "internal"] = "internal"
    since: Day = BEGINNING


class RegistryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`registry.yaml`, built from a town's directory by `messnetz town registry`."""

    format: Literal[1]
    town: str
    sites: dict[str, Site]
    entries: list[RegistryEntry]


@dataclass(frozen=True)
class Slot:
    """Where one reading of a device goes."""

    unit: str
    good: Series
    suspect: Series


@dataclass(frozen=True)
class Placement:
    """One device from one time on: whose it is, and where its readings go (by quantity and channel)."""

    since_ms: int
    gateway: str
    slots: dict[tuple[str, str], Slot]


class Registry:
    """The registry, compiled for routing."""

    def __init__(self, file: RegistryFile) -> None:
        self.file = file
        self._placements: dict[str, list[Placement]] = {}
        loaded: dict[str, Profile] = {}
        for entry in file.entries:
            profile = loaded.setdefault(entry.profile, profiles.load(entry.profile))
            placement = _placement(entry, profile, file.sites[entry.site])
            self._placements.setdefault(entry.device, []).append(placement)
        for placements in self._placements.values():
            placements.sort(key=lambda placement: placement.since_ms, reverse=True)

    def __len__(self) -> int:
        return len(self._placements)

    def find(self, device: str, at_ms: int) -> Placement | None:
        """Return what held for a device at a time; None where it was not registered."""
        for placement in self._placements.get(device, ()):
            if placement.since_ms <= at_ms:
                return placement
        return None


def load(path: Path) -> Registry:
    """Read and check a registry.

    Raises: ConfigError at the line that is wrong.
    """
    document = strict_yaml.load(path)
    file = document.convert(RegistryFile)
    seen: set[tuple[str, str]] = set()
    for index, entry in enumerate(file.entries):
        at = ("entries", index)
        if entry.site not in file.sites:
            raise document.error((*at, "site"), f"the site {entry.site!r}", "one of those under 'sites'")
        if (entry.device, entry.since) in seen:
            raise document.error((*at, "device"), f"{entry.device!r} twice from {entry.since} on", "one entry a day")
        seen.add((entry.device, entry.since))
        check_day(document, (*at, "since"), entry.since)
    return Registry(file)


def check_day(document: strict_yaml.Document, path: strict_yaml.Path_, day: str) -> None:
    """Check that a day is one of the calendar.

    Raises: ConfigError at its place.
    """
    try:
        _start_of(day)
    except ValueError as error:
        raise document.error(path, repr(day), "a day of the calendar as YYYY-MM-DD") from error


def _start_of(day: str) -> int:
    """Return the start of a day in UTC, in Unix milliseconds."""
    return round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def _placement(entry: RegistryEntry, profile: Profile, site: Site) -> Placement:
    tags = {"site": entry.site, "sector": site.sector, "gateway": entry.gateway, "device": entry.device}
    by_channel = {channel: _series(channel, profile, tags) for channel in ("", *profile.channels)}
    slots = {}
    for name in (*measurements().readings.common, *profile.readings):  # common: such as whether it answers
        quantity, _, channel = name.partition("/")
        slots[quantity, channel] = Slot(quantities()[quantity].unit, *by_channel[channel])
    return Placement(_start_of(entry.since), entry.gateway, slots)


def _series(channel: str, profile: Profile, tags: dict[str, str]) -> tuple[Series, Series]:
    """Build the series of one channel, for good and for suspect readings; one object each, however many readings."""
    parts = profile.channels[channel].parts() if channel else ()
    all_tags = {**tags, "channel": channel, **dict(parts)}
    return Series.of(profile.measurement, **all_tags), Series.of(f"{profile.measurement}_suspect", **all_tags)
