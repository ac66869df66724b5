"""Towns of any size. The same arguments give the same town, to the last id, for ever."""

from __future__ import annotations

import random

from simulator.models import B23, SDM630
from simulator.spec import Device, GatewaySpec, TownSpec

MOST_UNITS = 16
"""Devices behind one Modbus TCP endpoint."""
ON_LINE = 4
"""Devices on a gateway's serial line, where it has one."""
LEAST_INTERVAL_ON_LINE_S = 2.0
"""Four meters at 9600 baud need more than a second for all their registers."""
MOST_LINES = 20
"""Every line is two pseudo-terminals."""

KINDS = (
    ("school", "Schule", "buildings"),
    ("plant", "Werk", "industry"),
    ("crossing", "Kreuzung", "traffic"),
    ("boiler-house", "Heizhaus", "heat"),
    ("park", "Park", "climate"),
    ("office", "Amt", "buildings"),
)
SOUTH, WEST = 51.0, 10.6
STEP = 0.002


def town(gateways: int, devices: int, *, interval_s: float = 2.0, seed: int = 0) -> TownSpec:
    """Make a town with so many gateways, and so many devices in all, spread evenly; one site a gateway.

    Raises: ValueError for fewer devices than gateways, or no gateway.
    """
    if not 1 <= gateways <= devices:
        raise ValueError(f"{gateways} gateways and {devices} devices: each gateway needs one device at least")
    chance = random.Random(seed)  # noqa: S311 - no secret
    width = max(3, len(str(gateways)))
    sites: dict[str, dict[str, object]] = {}
    specs = []
    for number in range(1, gateways + 1):
        kind, german, sector = KINDS[(number - 1) % len(KINDS)]
        site = f"{kind}-{number:0{width}}"
        row, column = divmod(number - 1, 100)
        sites[site] = {
            "name": f"{german} {number}",
            "sector": sector,
            "coordinates": {"lat": round(SOUTH + row * STEP, 4), "lon": round(WEST + column * STEP, 4)},
        }
        share = devices // gateways + (number <= devices % gateways)
        has_line = share > ON_LINE and interval_s >= LEAST_INTERVAL_ON_LINE_S and number <= MOST_LINES
        specs.append(_gateway(f"gw-{number:0{width}}", site, share, chance, has_line=has_line))
    return TownSpec(f"Musterstadt {gateways}/{devices}", sites, tuple(specs), interval_s)


def _gateway(name: str, site: str, share: int, chance: random.Random, *, has_line: bool) -> GatewaySpec:
    line = f"{name}-line"
    devices = []
    for index in range(share):
        on_line = has_line and index < ON_LINE
        place = index if on_line or not has_line else index - ON_LINE
        bus = line if on_line else f"{name}-tcp-{place // MOST_UNITS + 1}"
        model = chance.choice((SDM630, B23))
        devices.append(Device(f"{site}-m{index + 1:02}", model, site, bus, place % MOST_UNITS + 1))
    return GatewaySpec(name, site, tuple(devices), frozenset({line} if has_line else ()))
