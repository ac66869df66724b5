"""The demo town's directory: the same files that a real town keeps, with the ports of this run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from simulator.town import BAUD_RATE, BUSES, INTERVAL_S, LINES, SITES, Device

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GATEWAY = "demo-gw"
GATEWAY_SITE = "town-hall"
COLLECTOR = "demo-collector"
PREFIX = "messnetz"
TOWN = {"name": "Musterstadt", "prefix": PREFIX, "timezone": "Europe/Berlin", "language": "de"}
SEAL_INTERVAL_S = 2
SEAL_READINGS = 500


@dataclass(frozen=True)
class TownFiles:
    """Where the files of a town lie."""

    directory: Path

    @property
    def gateway(self) -> Path:
        """The agent's configuration."""
        return self.directory / "gateways" / f"{GATEWAY}.yaml"

    @property
    def collector(self) -> Path:
        """The collector's configuration."""
        return self.directory / "collector.yaml"

    @property
    def registry(self) -> Path:
        """What `messnetz town registry` makes for the collector."""
        return self.directory / "registry.yaml"

    def write(self, where: Mapping[str, str], mqtt: Mapping[str, object], store: Mapping[str, object]) -> None:
        """Write the town; `where` names the address of each bus, `mqtt` and `store` are sections.

        Raises: OSError where the directory cannot be written.
        """
        self.gateway.parent.mkdir(parents=True, exist_ok=True)
        _dump(self.directory / "town.yaml", TOWN)
        _dump(self.directory / "sites.yaml", {site: dict(entry) for site, entry in SITES.items()})
        _dump(self.gateway, self._gateway(where, mqtt))
        _dump(
            self.collector,
            {
                "collector": COLLECTOR,
                "prefix": PREFIX,
                "mqtt": dict(mqtt),
                "registry": self.registry.name,
                "store": dict(store),
            },
        )

    def _gateway(self, where: Mapping[str, str], mqtt: Mapping[str, object]) -> dict[str, Any]:
        spool = {
            "path": str(self.directory / "spool.sqlite"),
            "seal_interval_s": SEAL_INTERVAL_S,
            "seal_readings": SEAL_READINGS,
        }
        return {
            "gateway": GATEWAY,
            "site": GATEWAY_SITE,
            "prefix": PREFIX,
            "clock": "trusted",
            "mqtt": dict(mqtt),
            "spool": spool,
            "socket": str(self.directory / "agent.sock"),
            "buses": [_bus(bus, devices, where[bus]) for bus, devices in BUSES.items()],
        }


def _bus(bus: str, devices: tuple[Device, ...], address: str) -> dict[str, Any]:
    if bus in LINES:
        reached = {"serial": address, "baud_rate": BAUD_RATE, "parity": "N", "stop_bits": 1}
    else:
        reached = {"tcp": address}
    return {"id": bus, "driver": "modbus", **reached, "devices": [_device(device) for device in devices]}


def _device(device: Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "profile": device.model.profile,
        "site": device.site,
        "unit": device.unit,
        "interval_s": INTERVAL_S,
    }


def _dump(file: Path, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    file.write_text(text, encoding="utf-8")
