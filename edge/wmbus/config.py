"""Meters that send by radio, in a gateway's file."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge.mqtt_config import SourceBroker  # noqa: TC001 - msgspec reads it
from edge.stream import LineConfig
from edge.wmbus.receivers import Mode, Name  # noqa: TC001 - msgspec reads it
from wire.ids import END, Id
from wire.town import DeviceEntry


class WmbusDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One meter that sends by radio."""

    number: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{8}" + END, description="eight digits, in quotes")]
    """Its number, eight digits, as printed on it."""
    maker: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}" + END, description="three capital letters")] | None = None
    """The three letters of its maker, such as `KAM`; needed only where two meters have the same number."""


class WmbusBusConfig(LineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One receiver, on a serial port or behind TCP, or telegrams on a broker; and the meters that are heard."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["wmbus"]
    """What understands the meters."""
    receiver: Name | None = None
    """What hears them, on `serial` or `tcp`: `cul`, `im871a`, or `hex` for lines of hexadecimal digits."""
    mode: Mode = "T"
    """Which radio mode the receiver is told to listen to. `hex` is not told."""
    mqtt: SourceBroker | None = None
    """A broker on which the telegrams come, instead of `serial` and `tcp`."""
    topics: list[str] = []  # noqa: RUF012 - msgspec copies it
    """Topic filters on that broker, such as `wmbusmeters/#`."""
    format: Literal["wmbusmeters", "telegrams"] | None = None
    """What the messages are: the JSON of a `wmbusmeters` daemon, or raw telegrams in hexadecimal digits, alone or in
    JSON (`telegram`, `raw_hex`, `hex` or `data`)."""
    client_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}" + END)] | None = None
    """Our name for the session that the broker keeps; `<gateway>-<bus>` unless set. Nobody else may use it."""
    max_inflight: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 20
    """How many messages the broker sends before it waits for an acknowledgement."""
    key_file: str | None = None
    """A file with mode 0600: `NUMBER: KEY`, a line for each meter that encrypts. It is read again when it changes."""
    devices: Annotated[list[WmbusDevice], msgspec.Meta(min_length=1)]
    """The meters that are wanted; all others are passed over."""
