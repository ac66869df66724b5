"""The demo town: its sites and meters in one table, its meters at work."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator import servers
from simulator.devices import Journal, Meter
from simulator.models import B23, SDM630, Model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

INTERVAL_S = 2
BAUD_RATE = 9600

SITES: Mapping[str, Mapping[str, object]] = {
    "town-hall": {
        "name": "Rathaus",
        "sector": "buildings",
        "coordinates": {"lat": 51.0504, "lon": 10.7001},
        "address": "Marktplatz 1",
    },
    "school": {
        "name": "Schule am Stadtpark",
        "sector": "buildings",
        "coordinates": {"lat": 51.0541, "lon": 10.7093},
        "address": "Parkstraße 12",
    },
    "sewage-works": {
        "name": "Klärwerk Talwiesen",
        "sector": "industry",
        "coordinates": {"lat": 51.0379, "lon": 10.7322},
        "address": "Talwiesen 3",
    },
    "heating-plant": {
        "name": "Heizwerk Nord",
        "sector": "heat",
        "coordinates": {"lat": 51.0655, "lon": 10.6987},
        "address": "Nordring 40",
    },
}


@dataclass(frozen=True)
class Device:
    """One meter of the town. Those on one `bus` that is in `LINES` share a serial line."""

    id: str
    model: Model
    site: str
    bus: str
    unit: int


DEVICES = (
    Device("town-hall-main", SDM630, "town-hall", "town-hall", 1),
    Device("sewage-blower", B23, "sewage-works", "sewage-works", 1),
    Device("heating-pumps", SDM630, "heating-plant", "heating-plant", 1),
    Device("school-main", B23, "school", "school-cellar", 1),
    Device("school-kitchen", SDM630, "school", "school-cellar", 2),
    Device("school-gym", SDM630, "school", "school-cellar", 3),
    Device("school-ventilation", B23, "school", "school-cellar", 4),
)
LINES = frozenset({"school-cellar"})
"""Buses that are serial lines; every other is a Modbus TCP endpoint of its own."""
MODELS: Mapping[str, Model] = {device.id: device.model for device in DEVICES}
BUSES: Mapping[str, tuple[Device, ...]] = {
    bus: tuple(device for device in DEVICES if device.bus == bus) for bus in dict.fromkeys(d.bus for d in DEVICES)
}


def truth(device: str, quantity: str, polled_at_ms: int) -> float:
    """What a correct reading of a device's quantity must be, for a poll at a Unix time in ms.

    Raises: KeyError for a device that is none of the town's.
    """
    return MODELS[device].truth(device, quantity, polled_at_ms)


@asynccontextmanager
async def serve(journal: Journal) -> AsyncIterator[dict[str, str]]:
    """Set all meters to work; yields where each bus is found: `HOST:PORT` or the path of a serial port."""
    async with AsyncExitStack() as stack:
        where: dict[str, str] = {}
        for bus, devices in BUSES.items():
            meters = {device.unit: Meter(device.id, device.model, journal) for device in devices}
            if bus in LINES:
                where[bus] = await stack.enter_async_context(servers.rtu(meters, BAUD_RATE))
            else:
                port = await stack.enter_async_context(servers.tcp(meters))
                where[bus] = f"{servers.LOOPBACK}:{port}"
        yield where
