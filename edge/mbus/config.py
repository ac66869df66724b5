"""A wired M-Bus in a gateway's file."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge.stream import LineConfig
from wire.ids import Id  # noqa: TC001 - msgspec reads it
from wire.town import DeviceEntry


class MbusDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One meter on an M-Bus: by its primary address, or by its own number."""

    address: Annotated[int, msgspec.Meta(ge=0, le=250)] | None = None
    """Its primary address. 0 is what meters leave the factory with: only where it is alone. One of `address` and
    `secondary`."""
    secondary: str | None = None
    """Its own number, as printed on it, alone or with maker, version and medium: `66660205 LUG 07 04`. A digit F and
    a `*` stand for any."""


class MbusBusConfig(LineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One wired M-Bus: a level converter on a serial port or behind TCP, and the meters on it."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["mbus"]
    """What speaks to the meters."""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.05, le=30)] = 1.0
    """How long a meter may take to begin its answer. The norm allows 330 bits and 50 ms; converters add their own."""
    tries: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    """How often a meter is asked before it counts as silent."""
    devices: Annotated[list[MbusDevice], msgspec.Meta(min_length=1)]
    """What hangs on the bus."""
