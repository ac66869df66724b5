"""The demo town's directory: the same files that a real town keeps, with the ports of this run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from simulator.control import SOCKET
from simulator.town import DEMO, GATEWAY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simulator.kinds import Kind
    from simulator.spec import Device, GatewaySpec, TownSpec

COLLECTOR = "demo-collector"
PREFIX = "messnetz"
TOWN = {"name": DEMO.name, "prefix": PREFIX, "timezone": "Europe/Berlin", "language": "de"}
SEAL_INTERVAL_S = 2
SEAL_READINGS = 500


@dataclass(frozen=True)
class TownFiles:
    """Where the files of a town lie.

    The spool and socket of the only gateway lie beside the town's files; of several each has a directory of its own.
    """

    directory: Path
    town: TownSpec = DEMO

    @property
    def gateway(self) -> Path:
        """The first agent's configuration."""
        return self.gateway_file(self.town.gateways[0].id)

    @property
    def collector(self) -> Path:
        """The collector's configuration."""
        return self.directory / "collector.yaml"

    @property
    def registry(self) -> Path:
        """What `messnetz town registry` makes for the collector."""
        return self.directory / "registry.yaml"

    @property
    def control(self) -> Path:
        """The socket by which the running town is told of faults."""
        return self.directory / SOCKET

    @property
    def lines(self) -> Path:
        """Where the links to serial ports are."""
        return self.directory / "lines"

    def gateway_file(self, gateway: str) -> Path:
        """An agent's configuration."""
        return self.directory / "gateways" / f"{gateway}.yaml"

    def home(self, gateway: str) -> Path:
        """Where an agent keeps its spool, its socket and its log."""
        return self.directory if len(self.town.gateways) == 1 else self.directory / "agents" / gateway

    def write(self, where: Mapping[str, str], mqtt: Mapping[str, object], store: Mapping[str, object]) -> None:
        """Write the town; `where` names the address of each bus, `mqtt` and `store` are sections.

        A bus that `where` does not name has no meters at work: its address leads nowhere.

        Raises: OSError where the directory cannot be written.
        """
        (self.directory / "gateways").mkdir(parents=True, exist_ok=True)
        _dump(self.directory / "town.yaml", {**TOWN, "name": self.town.name})
        _dump(self.directory / "sites.yaml", {site: dict(entry) for site, entry in self.town.sites.items()})
        for gateway in self.town.gateways:
            self.home(gateway.id).mkdir(parents=True, exist_ok=True)
            _dump(self.gateway_file(gateway.id), self._gateway(gateway, where, mqtt))
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

    def _gateway(self, gateway: GatewaySpec, where: Mapping[str, str], mqtt: Mapping[str, object]) -> dict[str, Any]:
        spool = {
            "path": str(self.home(gateway.id) / "spool.sqlite"),
            "seal_interval_s": SEAL_INTERVAL_S,
            "seal_readings": SEAL_READINGS,
        }
        return {
            "gateway": gateway.id,
            "site": gateway.site,
            "prefix": PREFIX,
            "clock": "trusted",
            "mqtt": dict(mqtt),
            "spool": spool,
            "socket": str(self.home(gateway.id) / "agent.sock"),
            "buses": [self._bus(gateway, bus, where.get(bus)) for bus in gateway.buses],
        }

    def _bus(self, gateway: GatewaySpec, bus: str, address: str | None) -> dict[str, Any]:
        kind = gateway.kind(bus)
        devices = [self._device(kind, device) for device in gateway.buses[bus]]
        return {"id": bus, **kind.section(bus, address, self.lines), "devices": devices}

    def _device(self, kind: Kind, device: Device) -> dict[str, Any]:
        return {
            "id": device.id,
            "profile": device.model.profile,
            "site": device.site,
            **kind.entry(device),
            "interval_s": self.town.interval_of(device),
        }


def _dump(file: Path, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    file.write_text(text, encoding="utf-8")


__all__ = ["COLLECTOR", "GATEWAY", "PREFIX", "SEAL_INTERVAL_S", "TOWN", "TownFiles"]
