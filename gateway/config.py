"""The agent's configuration: one gateway's file, checked as a whole before anything is touched."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec

from base import strict_yaml
from base.broker import MqttConfig
from base.errors import ConfigError
from edge.drivers import plan_bus
from gateway import bustime
from wire import profile as profiles
from wire.ids import END, Day, Id, is_day, not_a_day
from wire.signing import PUBLIC_KEY_PATTERN
from wire.topics import DEFAULT_PREFIX, Prefix
from wire.town import GATEWAY_PROFILE, DeviceEntry
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge.interface import BusPlan
    from gateway.bustime import BusTime


DEFAULT_SOCKET = "/run/messnetz/agent.sock"
MAX_SOCKET_BYTES = 107
"""The kernel takes no longer path of a Unix socket: unix(7)."""


CommandKey: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"{PUBLIC_KEY_PATTERN}|^/.+" + END,
        description="a public key (44 characters), or the absolute path of a file that holds some",
    ),
]


class SpoolConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where sealed batches are kept, and how often they are sealed."""

    path: str = "/var/lib/messnetz/spool.sqlite"
    """The file, on a disk of this machine; its directory must be writable."""
    seal_interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 30.0
    """What a power cut may cost at most; the knob for the wear of an SD card."""
    seal_readings: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 500
    """Seal earlier where so many readings have come together."""
    keep_confirmed_d: Annotated[float, msgspec.Meta(ge=0, le=3650)] = 7.0
    """Days for which confirmed batches stay, for a database that has to be made whole again."""
    keep_unconfirmed_d: Annotated[float, msgspec.Meta(ge=1, le=3650)] = 365.0
    """Days for which batches stay that nobody has confirmed; what is evicted then is recorded as a gap."""
    quota_mb: Annotated[int, msgspec.Meta(ge=4, le=1_000_000)] = 1024
    """MiB that the spool may take, at most half of the file system; then the oldest go, confirmed ones first."""
    floor_mb: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 200
    """MiB of free disk under which nothing is sealed any more; at most a twentieth of the file system."""


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
    site: Id | None = None
    """Where it is mounted; `messnetz town check` wants it, the agent alone does not need it."""
    interval_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] | None = None
    """Seconds between readings of its own condition; 60 unless set."""
    since: Day | None = None
    """First day (UTC) on which the gateway hangs there. Set it whenever its site changes."""
    prefix: Prefix = DEFAULT_PREFIX
    """Beginning of all topics: as in `town.yaml`."""
    clock: Literal["kernel", "trusted"] = "kernel"
    """`kernel`: right once the kernel says that it is synchronised; `trusted`: right from the start (an RTC, a virtual
    machine). What is read before is placed later."""
    mqtt: MqttConfig
    """The broker."""
    spool: SpoolConfig = SpoolConfig()
    """Where sealed batches are kept."""
    uplink: UplinkConfig = UplinkConfig()
    """How batches are sent."""
    socket: str = DEFAULT_SOCKET
    """The agent's socket, where `messnetz gateway status` asks."""
    command_key: CommandKey | list[CommandKey] = []
    """Whose commands the agent obeys: one key, or several while an old one is replaced. None: nobody's."""
    buses: Annotated[list[dict[str, object]], msgspec.Meta(min_length=1)]
    """What carries devices, one item each; `driver` says which of the sections below holds."""


@dataclass(frozen=True)
class GatewayConfig:
    """A checked gateway file with its buses planned."""

    path: Path
    file: GatewayFile
    buses: tuple[BusPlan, ...]
    hash: str
    """Of the file's bytes; tells which configuration is in force."""
    devices: Mapping[str, DeviceEntry]
    """By id: what concerns the agent and not the driver."""
    bus_times: tuple[BusTime, ...]

    @property
    def condition_interval_s(self) -> float:
        """Seconds between readings of the gateway's own condition."""
        return self.file.interval_s or profiles.load(GATEWAY_PROFILE).interval_s


def load(path: Path) -> GatewayConfig:
    """Read and check a gateway's file; opens no port.

    Raises: ConfigError at the line that is wrong.
    """
    data = strict_yaml.read(path)
    document = strict_yaml.parse(data, path)
    file = document.convert(GatewayFile)
    _check_own(document, file)
    buses = tuple(plan_bus(document, ("buses", index)) for index in range(len(file.buses)))
    _check_unique(document, file.gateway, buses)
    devices = _devices(document, buses)
    times = tuple(_bus_time(document, index, bus) for index, bus in enumerate(buses))
    return GatewayConfig(path, file, buses, hash_of(data), devices, times)


def _check_own(document: strict_yaml.Document, file: GatewayFile) -> None:
    """Check what concerns the gateway itself and no type can say."""
    _check_day(document, ("since",), file.since)
    length = len(os.fsencode(file.socket))
    if length > MAX_SOCKET_BYTES:
        raise document.error(("socket",), f"a path of {length} bytes", f"one of at most {MAX_SOCKET_BYTES} bytes")


def _check_day(document: strict_yaml.Document, at: strict_yaml.Path_, day: str | None) -> None:
    if day is not None and not is_day(day):
        raise document.error(at, *not_a_day(day))


def hash_of(data: bytes) -> str:
    """Return what tells one content of a gateway's file from another."""
    return hashlib.sha256(data).hexdigest()[:16]


def _devices(document: strict_yaml.Document, buses: tuple[BusPlan, ...]) -> dict[str, DeviceEntry]:
    devices: dict[str, DeviceEntry] = {}
    for index, bus in enumerate(buses):
        for number in range(len(bus.devices)):
            at = ("buses", index, "devices", number)
            device = devices[bus.devices[number].id] = document.convert(DeviceEntry, at)
            _check_day(document, (*at, "since"), device.since)
            _check_dead_band(document, at, device)
    return devices


def _check_dead_band(document: strict_yaml.Document, at: strict_yaml.Path_, device: DeviceEntry) -> None:
    measured = list(dict.fromkeys(name.partition("/")[0] for name in profiles.load(device.profile).readings))
    fitting = [name for name in measured if quantities()[name].kind in ("gauge", "counter")]
    for quantity in device.dead_band:
        if quantity in fitting:
            continue
        found = f"{quantity!r}, which {device.profile} does not measure"
        if quantity in measured:
            found = f"{quantity!r}, of which every value counts (a {quantities()[quantity].kind})"
        expected = f"one of: {', '.join(fitting)}" if fitting else "no dead band"
        raise ConfigError(document.key_at(*at, "dead_band", quantity), found, expected)


def _bus_time(document: strict_yaml.Document, index: int, bus: BusPlan) -> BusTime:
    time = bustime.of(bus)
    if time.share > bustime.MOST:
        found = f"{bustime.percent(time.share)} of the time of bus {bus.id!r} asked for ({time.sum_shown()})"
        most, safe = bustime.percent(bustime.MOST), bustime.percent(bustime.SAFE)
        raise document.error(("buses", index, "id"), found, f"at most {most}, better {safe}: {time.remedy}")
    return time


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
