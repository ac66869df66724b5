"""The demo town: its sites and meters in one table, its meters at work."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from simulator import field
from simulator.heat import HEAT_METER
from simulator.json_source import CHARGER, HTTP
from simulator.kinds import BAUD_RATE
from simulator.meters import Meters
from simulator.models import B23, SDM630
from simulator.particulate import PARTICULATE, SDS011
from simulator.radar import OPS243, RADAR
from simulator.spec import Device, GatewaySpec, TownSpec
from simulator.words import ROOM_SENSOR, SML_METER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from simulator.devices import Journal
    from simulator.kinds import Kind

INTERVAL_S = 2

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
    "crossing": {
        "name": "Kreuzung Nordring",
        "sector": "traffic",
        "coordinates": {"lat": 51.0631, "lon": 10.7012},
        "address": "Nordring / Bahnhofstraße",
    },
    "park": {
        "name": "Stadtpark",
        "sector": "climate",
        "coordinates": {"lat": 51.0549, "lon": 10.7121},
        "address": "Parkstraße 1",
    },
}


DEVICES = (
    Device("town-hall-main", SDM630, "town-hall", "town-hall", 1),
    Device("sewage-blower", B23, "sewage-works", "sewage-works", 1),
    Device("heating-pumps", SDM630, "heating-plant", "heating-plant", 1),
    Device("school-main", B23, "school", "school-cellar", 1),
    Device("school-kitchen", SDM630, "school", "school-cellar", 2),
    Device("school-gym", SDM630, "school", "school-cellar", 3),
    Device("school-ventilation", B23, "school", "school-cellar", 4),
    Device("town-hall-feed", SML_METER, "town-hall", "town-hall-meter"),
    Device("plant-heat-east", HEAT_METER, "heating-plant", "plant-heat", 1, interval_s=10),
    Device("plant-heat-west", HEAT_METER, "heating-plant", "plant-heat", 2, interval_s=10),
    Device("crossing-radar", OPS243, "crossing", "crossing-radar", interval_s=OPS243.interval_s),
    Device("crossing-charger", CHARGER, "crossing", "crossing-charger"),
    Device("park-air", SDS011, "park", "park-air"),
    Device("school-room-1", ROOM_SENSOR, "school", "school-roof", 1, interval_s=10),
    Device("school-room-2", ROOM_SENSOR, "school", "school-roof", 2, interval_s=10),
)
LINES = frozenset({"school-cellar"})
"""Buses that are serial lines; every other is a Modbus TCP endpoint of its own."""
GATEWAY = "demo-gw"
KINDS: Mapping[str, Kind] = {
    "town-hall-meter": field.SML,
    "plant-heat": field.MBUS,
    "crossing-radar": RADAR,
    "crossing-charger": HTTP,
    "park-air": PARTICULATE,
    "school-roof": field.LORAWAN,
}
"""Buses that are no Modbus."""
DEMO = TownSpec("Musterstadt", SITES, (GatewaySpec(GATEWAY, "town-hall", DEVICES, LINES, KINDS),), INTERVAL_S)
_ASKED = tuple(device for device in DEVICES if device.bus not in KINDS)
ASKED = TownSpec("Musterstadt", SITES, (GatewaySpec(GATEWAY, "town-hall", _ASKED, LINES),), INTERVAL_S)
"""The same town with its Modbus meters alone: what nobody asked for, nobody can miss when an agent is killed."""
MODELS = DEMO.models
BUSES = DEMO.gateways[0].buses
truth = DEMO.truth


@asynccontextmanager
async def serve(journal: Journal, spec: TownSpec = DEMO) -> AsyncIterator[dict[str, str]]:
    """Set all devices to work; yields where each bus is found: `HOST:PORT` or the path of a serial port."""
    async with Meters(spec, journal) as meters:
        yield meters.where


__all__ = [
    "ASKED",
    "BAUD_RATE",
    "BUSES",
    "DEMO",
    "DEVICES",
    "GATEWAY",
    "INTERVAL_S",
    "LINES",
    "MODELS",
    "SITES",
    "serve",
    "truth",
]
