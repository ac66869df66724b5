"""The agent's configuration: one gateway's file, checked as a whole before anything is touched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from base import strict_yaml
from base.mqtt import MqttConfig
from edge.drivers import plan_bus
from wire.ids import Id
from wire.topics import DEFAULT_PREFIX, Prefix

if TYPE_CHECKING:
    from pathlib import Path

    from edge.interface import BusPlan


class SpoolConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where sealed batches are kept, and how often they are sealed."""

    path: str = "/var/lib/messnetz/spool.sqlite"
    seal_interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 30.0
    """What a power cut may cost at most; the knob for the wear of an SD card."""
    seal_readings: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 500
    """Seal earlier where so many readings have come together."""
    keep_confirmed_d: Annotated[float, msgspec.Meta(ge=0, le=3650)] = 7.0
    """Days for which confirmed batches stay, for a database that has to be made whole again."""


class UplinkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How batches are sent."""

    window: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    """Most batches sent and not yet confirmed."""
    confirm_timeout_s: Annotated[float, msgspec.Meta(ge=0.5, le=600)] = 15.0
    """Send a batch again after that time without a confirm; grows with every try."""
    backlog_readings_per_s: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 2000.0
    """How fast a backlog goes after an outage, beside fresh data; 0: as fast as the collector confirms."""


class GatewayFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`gateways/<id>.yaml`."""

    gateway: Id
    """Id of the gateway; also its MQTT user and client id."""
    prefix: Prefix = DEFAULT_PREFIX
    clock: Literal["kernel", "trusted"] = "kernel"
    """`kernel`: wait until the kernel says that the clock is synchronised; `trusted`: it always is."""
    mqtt: MqttConfig
    spool: SpoolConfig = SpoolConfig()
    uplink: UplinkConfig = UplinkConfig()
    socket: str = "/run/messnetz/agent.sock"
    """Where `messnetz gateway status` asks."""
    buses: Annotated[list[dict[str, object]], msgspec.Meta(min_length=1)]


@dataclass(frozen=True)
class GatewayConfig:
    """A checked gateway file with its buses planned."""

    file: GatewayFile
    buses: tuple[BusPlan, ...]
    hash: str
    """Of the file's bytes; tells which configuration is in force."""


def load(path: Path) -> GatewayConfig:
    """Read and check a gateway's file; opens no port.

    Raises: ConfigError at the line that is wrong.
    """
    document = strict_yaml.load(path)
    file = document.convert(GatewayFile)
    buses = tuple(plan_bus(document, ("buses", index)) for index in range(len(file.buses)))
    _check_unique(document, file.gateway, buses)
    return GatewayConfig(file, buses, hashlib.sha256(path.read_bytes()).hexdigest()[:16])


def _check_unique(document: strict_yaml.Document, gateway: str, buses: tuple[BusPlan, ...]) -> None:
    seen_buses: set[str] = set()
    places: dict[str, str] = {}
    seen = {gateway: "the gateway itself"}
    for index, bus in enumerate(buses):
        if bus.id in seen_buses:
            raise document.error(("buses", index, "id"), f"a second bus {bus.id!r}", "an id of its own")
        seen_buses.add(bus.id)
        if bus.place.address in places:
            found = f"{bus.place.address!r}, which bus {places[bus.place.address]!r} has"
            raise document.error(("buses", index, bus.place.key), found, "one bus for all devices on one line")
        places[bus.place.address] = bus.id
        for number, device in enumerate(bus.devices):
            if device.id in seen:
                at = ("buses", index, "devices", number, "id")
                raise document.error(at, f"{device.id!r}, which is {seen[device.id]}", "an id of its own")
            seen[device.id] = f"a device on bus {bus.id!r}"
