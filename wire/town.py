"""The part of a gateway's file that concerns the whole town: which devices there are, and where.

The same file is the agent's configuration; what only the agent needs is read by `gateway`, and what only a
driver needs by that driver.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from wire.ids import Day, Id
from wire.profile import ProfileName
from wire.topics import DEFAULT_PREFIX, Prefix

Sector: TypeAlias = Literal["traffic", "buildings", "industry", "heat", "climate"]


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One device on a bus. Drivers extend it by what their protocol needs to find it."""

    id: Id
    profile: ProfileName
    site: Id
    interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=86400)] | None = None
    """Seconds between samples; the profile's unless set."""
    parameters: dict[str, float] = {}
    """What the profile leaves to the place: its `parameters` say which there are."""
    privacy: Literal["public", "internal"] = "internal"
    """`public` devices may appear on the public page one by one."""
    since: Day | None = None
    """First day (UTC) on which the device stands here. Set it, to tomorrow or later, whenever gateway, site or profile
    change; what was measured before keeps its place."""


class BusEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One bus of a gateway, as far as the town is concerned."""

    id: Id
    driver: str
    devices: Annotated[list[DeviceEntry], msgspec.Meta(min_length=1)]


class GatewayEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway's file, as far as the town is concerned."""

    gateway: Id
    prefix: Prefix = DEFAULT_PREFIX
    buses: list[BusEntry] = []


class Coordinates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """WGS 84, degrees."""

    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place with a name, a sector and coordinates: a row of `sites.yaml`."""

    name: str
    sector: Sector
    coordinates: Coordinates | None = None
    address: str | None = None
