"""A small town for the cloud's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TOWN = "name: Musterstadt\n"
SITES = """\
school: {name: Schule am Ring, sector: buildings, coordinates: {lat: 51.36, lon: 7.46}}
plant: {name: Klärwerk, sector: industry}
"""
GATEWAY = """\
gateway: school-gw
mqtt: {host: broker.example}
buses:
  - id: hall
    driver: modbus
    tcp: 192.0.2.10
    devices:
      - {id: school-main, profile: eastron/sdm630, site: school, unit: 1, privacy: public}
      - {id: school-gym, profile: janitza/b23, site: school, unit: 2, interval_s: 60, since: 2026-11-01}
site: school
"""
OTHER = """\
gateway: plant-gw
mqtt: {host: broker.example}
buses:
  - id: hall
    driver: modbus
    tcp: 192.0.2.11
    devices:
      - {id: plant-pump, profile: eastron/sdm630, site: plant, unit: 1}
site: plant
"""


def make(directory: Path, **replaced: str) -> Path:
    """Write the town; `town`, `sites`, `gateway` or `other` replace a file's text."""
    (directory / "gateways").mkdir(parents=True)
    (directory / "town.yaml").write_text(replaced.get("town", TOWN))
    (directory / "sites.yaml").write_text(replaced.get("sites", SITES))
    (directory / "gateways" / "school-gw.yaml").write_text(replaced.get("gateway", GATEWAY))
    (directory / "gateways" / "plant-gw.yaml").write_text(replaced.get("other", OTHER))
    return directory
