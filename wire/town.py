"""The part of a gateway's file that concerns the whole town: which devices there are, and where.

The same file is the agent's configuration; what only the agent needs is read by `gateway`, and what only a
driver needs by that driver.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from wire.ids import Day, Id
from wire.mapping import CodecMapping, RepositoryModel, name_of
from wire.profile import Profile, ProfileName
from wire.topics import DEFAULT_PREFIX, Prefix

Sector: TypeAlias = Literal["traffic", "buildings", "industry", "heat", "climate"]


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One device on a bus. Drivers extend it by what their protocol needs to find it."""

    id: Id
    """Name of the device, unique in the town and for ever."""
    profile: ProfileName = ""
    """Its model: `messnetz device profiles` lists all. Required, unless `codec` and `mapping` stand in its place."""
    codec: RepositoryModel | None = None
    """A LoRaWAN device that no profile describes: `vendor/model` of the repository that its bus names under `codecs`.
    Wants `mapping` and `interval_s`."""
    mapping: CodecMapping | None = None
    """Measurement and readings of such a device."""
    site: Id
    """Where it measures: a key of `sites.yaml`."""
    interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=86400)] | None = None
    """Seconds between samples; the profile's unless set."""
    urgent: bool = False
    """Seal and send its samples at once, where others wait for the next seal; each costs the SD card a write."""
    dead_band: dict[str, Annotated[float, msgspec.Meta(gt=0)]] = {}
    """Quantity -> change in its unit: a reading that changed less since the last recorded one is left out. Gauges and
    counters of its profile."""
    dead_band_max_s: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 900.0
    """Record a reading within its dead band at least that often."""
    parameters: dict[str, float] = {}
    """What the profile leaves to the place: its `parameters` say which there are."""
    privacy: Literal["public", "internal"] = "internal"
    """`public` devices may appear on the public page one by one."""
    since: Day | None = None
    """First day (UTC) on which the device stands here. Set it, to tomorrow or later, whenever gateway, site or profile
    change; what was measured before keeps its place."""

    def __post_init__(self) -> None:
        is_mapped = self.codec is not None and self.mapping is not None and self.interval_s is not None
        if is_mapped == bool(self.profile) or (self.codec is None) != (self.mapping is None):
            raise ValueError("either 'profile', or 'codec' with 'mapping' and 'interval_s'")
        if self.codec is not None and self.mapping is not None:
            msgspec.structs.force_setattr(self, "profile", name_of(self.codec, self.mapping))


GATEWAY_PROFILE = "messnetz/gateway"
"""What a gateway measures of itself."""


def expected_interval_s(device: DeviceEntry, profile: Profile) -> float:
    """Return how many seconds may pass between two samples of a device that is well.

    Where each of its quantities has a dead band, a sample may be left out as a whole, up to `dead_band_max_s`.
    """
    interval_s = device.interval_s or profile.interval_s
    has_bands = all(reading.partition("/")[0] in device.dead_band for reading in profile.readings)
    return max(interval_s, device.dead_band_max_s) if has_bands else interval_s


class BusEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One bus of a gateway, as far as the town is concerned."""

    id: Id
    driver: str
    devices: Annotated[list[DeviceEntry], msgspec.Meta(min_length=1)]


class GatewayEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway's file, as far as the town is concerned.

    A gateway is a device of its own, of the same name: its condition travels as readings.
    """

    gateway: Id
    prefix: Prefix = DEFAULT_PREFIX
    site: Id | None = None
    interval_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] | None = None
    since: Day | None = None
    buses: list[BusEntry] = []


class Coordinates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """WGS 84, degrees."""

    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    """Latitude, north positive."""
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    """Longitude, east positive."""


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place with a name, a sector and coordinates: a row of `sites.yaml`."""

    name: str
    """As people call it."""
    sector: Sector
    """Part of the town's life; a tag of every reading."""
    coordinates: Coordinates | None = None
    """For maps."""
    address: str | None = None
    """For people who drive there."""
