"""The registry, compiled for routing.

Tags come from here and never from the wire. It is dated: the entry of a device that held on the day of a
reading decides, so that the same reading gets the same tags whenever it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

from cloud import registry_file
from cloud.points import Series
from wire import gaps
from wire import profile as profiles
from wire.vocabulary import measurements, quantities

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cloud.registry_file import RegistryEntry, RegistryFile
    from wire.profile import Profile

GAP = "gap"


class Slot(NamedTuple):
    """Where one reading of a profile's devices goes: `channel` counts those of the profile, 0 is the whole device."""

    unit: str
    channel: int


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

    @property
    def slots(self) -> Mapping[tuple[str, str], Slot]:
        """By quantity and channel; one table for all devices of a profile, since a city has many."""
        return _slots(self.entry.profile)

    @cached_property
    def series(self) -> tuple[tuple[Series, Series], ...]:
        """By channel as in `slots`: for good and for suspect readings. Made when the device first sends."""
        return tuple(_series(channel, self.profile, self._tags) for channel in ("", *self.profile.channels))

    @cached_property
    def seen(self) -> Series:
        """Where its arrivals are kept."""
        return Series.of("device_seen", **self._tags)

    @cached_property
    def touched(self) -> Series:
        """Where the hours are kept that its readings touched."""
        return Series.of("touched", device=self.entry.device)

    @cached_property
    def gaps(self) -> dict[str, Series]:
        """By reason: where it is kept that readings are missing; one for good and suspect, a gap is a gap."""
        return {reason: Series.of(GAP, **self._tags, reason=reason) for reason in gaps.REASONS}

    @property
    def _tags(self) -> dict[str, str]:
        entry = self.entry
        return {"site": entry.site, "sector": entry.sector, "gateway": entry.gateway, "device": entry.device}


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
        self._gateways = {entry.gateway for entry in file.entries}

    def __len__(self) -> int:
        """How many devices there are; those that are gone are not counted."""
        return sum(placements[0].until_ms is None for placements in self._placements.values())

    def names(self, name: str) -> bool:
        """Whether a gateway or a device has this id, or ever had."""
        return name in self._placements or name in self._gateways

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


@cache
def _slots(profile: str) -> dict[tuple[str, str], Slot]:
    """Build the table of a profile; there are as many as files in `firmware-config`."""
    known = profiles.load(profile)
    channels = {channel: index for index, channel in enumerate(("", *known.channels))}
    slots = {}
    for name in (*measurements().readings.common, *known.readings):  # common: such as whether it answers
        quantity, _, channel = name.partition("/")
        slots[quantity, channel] = Slot(quantities()[quantity].unit, channels[channel])
    return slots


def _series(channel: str, profile: Profile, tags: dict[str, str]) -> tuple[Series, Series]:
    """Build the series of one channel, for good and for suspect readings; one object each, however many readings."""
    parts = profile.channels[channel].parts() if channel else ()
    all_tags = {**tags, "channel": channel, **dict(parts)}
    good = Series.of(profile.measurement, **all_tags)
    return good, Series(f"{profile.measurement}_suspect", good.tags)
