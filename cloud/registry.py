"""The registry, compiled for routing.

Tags come from here and never from the wire. It is dated: the entry of a device that held on the day of a
reading decides, so that the same reading gets the same tags whenever it is written.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from cloud import registry_file
from cloud.points import Series
from wire import profile as profiles
from wire.vocabulary import measurements, quantities

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cloud.registry_file import RegistryEntry, RegistryFile

GAP = "gap"
SUSPECT = "_suspect"
SHARED_PAIRS = 65_536
Tags: TypeAlias = tuple[tuple[str, str], ...]
"""Sorted by tag."""


class Slot(NamedTuple):
    """Where one reading of a profile's devices goes: `channel` counts those of the profile, 0 is the whole device."""

    unit: str
    channel: int


class Placement:
    """One device from one time on: whose it is, and where its readings go.

    A city has a hundred thousand of them, so what devices have in common (tables, pairs of tag and value) is one
    object for all, and what depends on the device is made when it first sends.
    """

    __slots__ = ("_seen", "_series", "_touched", "entry", "gateway", "profile", "since_ms", "slots", "until_ms")

    def __init__(self, entry: RegistryEntry) -> None:
        self.since_ms = _start_of(entry.since)
        self.until_ms = None if entry.until is None else _start_of(entry.until)
        self.entry = entry
        self.gateway = entry.gateway
        """The one gateway whose word on this device counts."""
        self.profile = profiles.load(entry.profile)
        self.slots: Mapping[tuple[str, str], Slot] = _slots(entry.profile)
        """By quantity and channel; one table for all devices of a profile."""
        self._series: tuple[Series, ...] | None = None
        self._seen: Series | None = None
        self._touched: Series | None = None

    @property
    def series(self) -> tuple[Series, ...]:
        """By channel as in `slots`, for good readings."""
        if self._series is None:
            measurement, tags = self.profile.measurement, self._tags()
            channels = _channel_tags(self.entry.profile)
            self._series = tuple(Series(measurement, _joined(tags, channel)) for channel in channels)
        return self._series

    def suspect(self, channel: int) -> Series:
        """Return where readings of a channel go that cannot be believed; few devices ever have one."""
        good = self.series[channel]
        return Series(f"{good.measurement}{SUSPECT}", good.tags)

    @property
    def seen(self) -> Series:
        """Where its arrivals are kept."""
        if self._seen is None:
            self._seen = Series("device_seen", self.series[0].tags)
        return self._seen

    @property
    def touched(self) -> Series:
        """Where the hours are kept that its readings touched."""
        if self._touched is None:
            self._touched = Series.of("touched", device=self.entry.device)
        return self._touched

    def gap(self, reason: str) -> Series:
        """Return where it is kept that readings are missing; one for good and suspect, a gap is a gap."""
        return Series(GAP, _joined(self._tags(), (("reason", reason),)))

    def _tags(self) -> Tags:
        entry = self.entry
        shared = (_pair("gateway", entry.gateway), _pair("sector", entry.sector), _pair("site", entry.site))
        return (("device", entry.device), *shared)


class Registry:
    """Which device stood where, at any time."""

    def __init__(self, file: RegistryFile) -> None:
        self.file = file
        for profile in file.profiles.values():
            profiles.declare(profile)
        self._placements: dict[str, list[Placement]] = {}
        for entry in file.entries:
            self._placements.setdefault(entry.device, []).append(Placement(entry))
        for placements in self._placements.values():
            placements.sort(key=lambda placement: placement.since_ms, reverse=True)
        self._gateways = {entry.gateway for entry in file.entries}

    def __len__(self) -> int:
        """How many devices there are; those that are gone are not counted."""
        return sum(placements[0].until_ms is None for placements in self._placements.values())

    def names(self, name: str) -> bool:
        """Whether a gateway or a device has this id, or ever had."""
        return name in self._placements or name in self._gateways

    def has_gateway(self, gateway: str) -> bool:
        """Whether a device is a gateway's own, or ever was."""
        return gateway in self._gateways

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


@cache
def _channel_tags(profile: str) -> tuple[Tags, ...]:
    """Return the tags of each channel of a profile; the first are those of the whole device: none."""
    channels = profiles.load(profile).channels.items()
    return ((), *((("channel", name), *channel.parts()) for name, channel in channels))


@lru_cache(SHARED_PAIRS)
def _pair(tag: str, value: str) -> tuple[str, str]:
    """Return the one object of a tag and a value that many series have."""
    return tag, value


def _joined(tags: Tags, others: Tags) -> Tags:
    return tuple(sorted((*tags, *others)))


@lru_cache(SHARED_PAIRS)
def _start_of(day: str) -> int:
    return registry_file.start_of(day)
