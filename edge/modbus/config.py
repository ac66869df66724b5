"""A Modbus bus in a gateway's file."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec

from wire.ids import Id
from wire.town import DeviceEntry

_ENDPOINT = re.compile(r"^(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?$")
DEFAULT_PORT = 502


class Endpoint(NamedTuple):
    """A Modbus TCP server, or a serial server that carries RTU frames over TCP."""

    host: str
    port: int
    is_rtu: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class SerialSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a serial line is set; in a profile: as the model leaves the factory."""

    baud_rate: Annotated[int, msgspec.Meta(ge=300, le=4_000_000)] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1


class SerialLine(NamedTuple):
    """A serial port and how it is set."""

    port: str
    settings: SerialSettings

    def __str__(self) -> str:
        return self.port


Line: TypeAlias = Endpoint | SerialLine


def parse_endpoint(text: str, *, is_rtu: bool = False) -> Endpoint | None:
    """Read `HOST` or `HOST:PORT` (502 unless given; IPv6 in brackets); None where it is neither."""
    match = _ENDPOINT.match(text)
    if match is None:
        return None
    port = int(match["port"] or DEFAULT_PORT)
    return Endpoint(match["host"].strip("[]"), port, is_rtu) if 0 < port < 65536 else None


class ModbusDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device on a Modbus bus."""

    unit: Annotated[int, msgspec.Meta(ge=1, le=254)]
    """Its unit id (address) on the bus. On a serial line the norm gives devices 1 to 247; 254 is what Senseair's
    sensors answer whatever their own, so above 247 a device must be alone on its line."""


class ModbusBusConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One Modbus bus: a TCP endpoint or a serial port, and the devices on it."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["modbus"]
    """What speaks to the devices."""
    tcp: str | None = None
    """`HOST:PORT` of a Modbus TCP server; the port is 502 unless given. One of `tcp`, `rtu_over_tcp` and `serial`."""
    rtu_over_tcp: str | None = None
    """`HOST:PORT` of a serial server that passes RTU frames through as they are."""
    serial: str | None = None
    """The serial port, best by its lasting name: `/dev/serial/by-id/...`."""
    baud_rate: Annotated[int, msgspec.Meta(ge=300, le=4_000_000)] | None = None
    """Of a serial line; unless set, what the first device's profile says is usual."""
    parity: Literal["N", "E", "O"] | None = None
    """None, even or odd; likewise."""
    stop_bits: Literal[1, 2] | None = None
    """Likewise."""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.05, le=30)] = 1.0
    """How long a device may take to answer one request."""
    devices: Annotated[list[ModbusDevice], msgspec.Meta(min_length=1)]
    """What hangs on the bus."""
