"""The registry, compiled for routing.

Tags come from here and never from the wire. It is dated: the entry of a device that held on the day of a
reading decides, so that the same reading gets the same tags whenever it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cloud import registry_file
from cloud.points import Series
from wire import profile as profiles
from wire.vocabulary import measurements, quantities

if TYPE_CHECKING:
    from pathlib import Path

    from cloud.registry_file import RegistryEntry, RegistryFile
    from wire.profile import Profile


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one reading of a device goes."""

    unit: str
    good: Series
    suspect: Series


@dataclass(frozen=True)
class Placement:
    """One device from one time on: whose it is, and where its readings go."""

    since_ms: int
    until_ms: int | None
    entry: RegistryEntry
    profile: Profile

    @property
    def gateway(self) -> str:
        """The one gateway whose word on this device counts."""
        return self.entry.gateway

    @cached_property
    def slots(self) -> dict[tuple[str, str], Slot]:
        """By quantity and channel. Made when the device first sends: 10 kB each, and a city has many."""
        entry = self.entry
        tags = {"site": entry.site, "sector": entry.sector, "gateway": entry.gateway, "device": entry.device}
        by_channel = {channel: _series(channel, self.profile, tags) for channel in ("", *self.profile.channels)}
        slots = {}
        for name in (*measurements().readings.common, *self.profile.readings):  # common: such as whether it answers
            quantity, _, channel = name.partition("/")
            slots[quantity, channel] = Slot(quantities()[quantity].unit, *by_channel[channel])
        return slots


class Registry:
    """Which device stood where, at any time."""

    def __init__(self, file: RegistryFile) -> None:
        self.file = file
        self._placements: dict[str, list[Placement]] = {}
        for entry in file.entries:
            until_ms = None if entry.until is None else registry_file.start_of(entry.until)
            placement = Placement(registry_file.start_of(entry.since), until_ms, entry, profiles.load(entry.profile))
            self._placements.setdefault(entry.device, []).append(placement)
        for placements in self._placements.values():
            placements.sort(key=lambda placement: placement.since_ms, reverse=True)

    def __len__(self) -> int:
        """How many devices there are; those that are gone are not counted."""
        return sum(placements[0].until_ms is None for placements in self._placements.values())

    def find(self, device: str, at_ms: int) -> Placement | None:
        """Return what held for a device at a time; None where it was not registered."""
        for placement in self._placements.get(device, ()):
            if placement.since_ms <= at_ms:
                return placement if placement.until_ms is None or at_ms < placement.until_ms else None
        return None

    def history(self, device: str) -> list[Placement]:
        """Return all that ever held for a device, in order of time."""
        return self._placements.get(device, [])[::-1]


def load(path: Path) -> Registry:
    """Read and check a registry.

    Raises: ConfigError at the line that is wrong.
    """
    return Registry(registry_file.load(path))


def _series(channel: str, profile: Profile, tags: dict[str, str]) -> tuple[Series, Series]:
    """Build the series of one channel, for good and for suspect readings; one object each, however many readings."""
    parts = profile.channels[channel].parts() if channel else ()
    all_tags = {**tags, "channel": channel, **dict(parts)}
    return Series.of(profile.measurement, **all_tags), Series.of(f"{profile.measurement}_suspect", **all_tags)
