"""A new town: a directory of files that pass every check at once, and say what to change first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from base.errors import ConfigError, Position, TransientError
from base.messages import Text, language
from cloud import town_texts as texts
from wire.ids import id_from

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wire.town import Sector

COLLECTOR = "collector-1"
FIRST_HOST = 20
"""Last part of the first gateway's address in 192.0.2.0/24, the net for examples (RFC 5737)."""


@dataclass(frozen=True)
class Example:
    """A site with one meter, to be replaced by what there is."""

    site: Text
    bus: Text
    meter: Text
    profile: str
    coordinates: tuple[float, float]


EXAMPLES: dict[Sector, Example] = {
    "buildings": Example(
        Text(de="Schule Jägerstraße", en="School Jägerstraße"),
        Text(de="keller", en="cellar"),
        Text(de="strom", en="power"),
        "eastron/sdm630",
        (51.0541, 10.7093),
    ),
    "industry": Example(
        Text(de="Klärwerk", en="Sewage works"),
        Text(de="verteilung", en="switchboard"),
        Text(de="geblaese", en="blower"),
        "janitza/b23",
        (51.0602, 10.7421),
    ),
    "heat": Example(
        Text(de="Heizzentrale Südring", en="Heating plant Südring"),
        Text(de="heizraum", en="boiler-room"),
        Text(de="waermepumpe", en="heat-pump"),
        "eastron/sdm72d-m-2",
        (51.0478, 10.7166),
    ),
    "traffic": Example(
        Text(de="Kreuzung Bahnhofstraße", en="Crossing Bahnhofstraße"),
        Text(de="schaltschrank", en="cabinet"),
        Text(de="ampel", en="lights"),
        "eastron/sdm120",
        (51.0519, 10.7128),
    ),
    "climate": Example(
        Text(de="Wetterstation Stadtgärtnerei", en="Weather station Stadtgärtnerei"),
        Text(de="mast", en="mast"),
        Text(de="wetter", en="weather"),
        "thies/clima-sensor-us",
        (51.0563, 10.7034),
    ),
}


@dataclass(frozen=True)
class _Site:
    """An example with its ids."""

    sector: Sector
    example: Example
    address: str

    @property
    def id(self) -> str:
        return id_from(self.example.site.say())

    @property
    def gateway(self) -> str:
        return f"{self.id}-gw"


def make(directory: Path, name: str, sectors: Sequence[Sector]) -> list[Path]:
    """Write the files of a new town with one site and gateway for each sector; returns them.

    Raises: ConfigError where the directory is not empty: nothing that is there is ever written over;
    TransientError where it cannot be written.
    """
    sites = [
        _Site(sector, EXAMPLES[sector], f"192.0.2.{FIRST_HOST + number}")
        for number, sector in enumerate(dict.fromkeys(sectors))
    ]
    files: dict[str, str] = {
        "town.yaml": _town(name),
        "sites.yaml": _sites(sites),
        **{f"gateways/{site.gateway}.yaml": _gateway(site) for site in sites},
        "hosts.yml": _hosts(sites),
        "collector.yaml": _collector(),
        "README.md": texts.README.say(name=name, gateway=sites[0].gateway),
    }
    try:
        if directory.exists() and any(directory.iterdir()):
            raise ConfigError(Position(directory), "a directory that is not empty", "an empty one, or none yet")
        return [_write(directory / file, text) for file, text in files.items()]
    except OSError as error:
        raise TransientError(f"{error.filename or directory}: cannot be written ({error.strerror})") from error


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as handle:  # x: whatever came there in the meantime stays
        handle.write(text)
    return file


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _comment(text: Text, indent: int = 0, **values: object) -> str:
    """Write a text as lines of comment."""
    return "".join(f"{' ' * indent}# {line}\n" for line in text.say(**values).splitlines())


def _town(name: str) -> str:
    return (
        f"{_comment(texts.TOWN)}"
        f"name: {_quoted(name)}\n"
        "timezone: Europe/Berlin\n"
        f"language: {language()}\n"
        f"{_comment(texts.PREFIX)}"
        f"# prefix: {id_from(name) or 'town'}\n"
    )


def _sites(sites: list[_Site]) -> str:
    parts = [_comment(texts.SITES)]
    for site in sites:
        lat, lon = site.example.coordinates
        parts.append(
            f"{site.id}:\n"
            f"  name: {_quoted(site.example.site.say())}\n"
            f"  sector: {site.sector}\n"
            f"  coordinates: {{lat: {lat}, lon: {lon}}}\n"
        )
    return "".join(parts)


def _gateway(site: _Site) -> str:
    example = site.example
    return (
        f"{_comment(texts.GATEWAY, gateway=site.gateway)}"
        f"gateway: {site.gateway}\nsite: {site.id}\n"
        "mqtt:\n"
        f"{_comment(texts.BROKER, 2)}"
        "  host: broker.town.example\n"
        f"{_comment(texts.TLS, 2)}"
        "  # tls:\n"
        "  #   ca: /etc/messnetz/ca.pem\n"
        "  #   certificate: /etc/messnetz/gateway.pem\n"
        "  #   key: /etc/messnetz/gateway.key\n"
        "buses:\n"
        f"  - id: {example.bus.say()}\n"
        "    driver: modbus\n"
        f"{_comment(texts.BUS, 4)}"
        "    tcp: 192.0.2.10\n"
        "    # serial: /dev/serial/by-id/usb-FTDI_FT232R_A1B2C3D4-if00-port0\n"
        "    devices:\n"
        f"{_comment(texts.DEVICE, 6)}"
        f"      - id: {site.id}-{example.meter.say()}\n"
        f"        profile: {example.profile}\n"
        f"        site: {site.id}\n"
        "        unit: 1\n"
        f"{_comment(texts.OPTIONS, 8)}"
        "        # interval_s: 60\n"
        "        # privacy: public\n"
        "        # since: 2027-01-15\n"
    )


def _hosts(sites: list[_Site]) -> str:
    hosts = "".join(f"        {site.gateway}: {{ansible_host: {site.address}}}\n" for site in sites)
    return (
        f"{_comment(texts.HOSTS)}"
        "all:\n"
        "  children:\n"
        "    gateways:\n"
        "      hosts:\n"
        f"{hosts}"
        "    collectors:\n"
        "      hosts:\n"
        f"        {COLLECTOR}: {{ansible_host: 192.0.2.2}}\n"
    )


def _collector() -> str:
    return (
        f"{_comment(texts.COLLECTOR)}"
        f"collector: {COLLECTOR}\n"
        "mqtt:\n"
        "  host: broker.town.example\n"
        f"{_comment(texts.TLS_COLLECTOR, 2)}"
        "  # tls:\n"
        "  #   ca: /etc/messnetz/ca.pem\n"
        f"  #   certificate: /etc/messnetz/{COLLECTOR}.pem\n"
        f"  #   key: /etc/messnetz/{COLLECTOR}.key\n"
        "registry: registry.yaml\n"
        f"{_comment(texts.STORE)}"
        "store:\n"
        "  embedded: {path: store.sqlite}\n"
        '  # influx1: {url: "http://127.0.0.1:8086"}\n'
    )
