"""The table of drivers. A driver's module, and with it its libraries, is imported when it is first needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

import msgspec

if TYPE_CHECKING:
    import click

    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan, Driver

DRIVERS = {
    "chirpstack": "edge.lorawan.chirpstack.driver",
    "d0": "edge.d0.driver",
    "http_json": "edge.http_json.driver",
    "line": "edge.line.driver",
    "lorawan_udp": "edge.lorawan.udp.driver",
    "mbus": "edge.mbus.driver",
    "modbus": "edge.modbus.driver",
    "mqtt_json": "edge.mqtt_json.driver",
    "nmea": "edge.nmea.driver",
    "p1": "edge.p1.driver",
    "pms": "edge.pms.driver",
    "radar": "edge.radar.driver",
    "s0": "edge.s0.driver",
    "sml": "edge.sml.driver",
    "ttn": "edge.lorawan.ttn.driver",
    "wmbus": "edge.wmbus.driver",
}
"""Name in a gateway's file -> module, whose `DRIVER` it is."""
DECODERS: dict[str, str] = {
    "d0": "edge.d0.decode:command",
    "lorawan": "edge.lorawan.decode:decode",
    "lorawan-codec": "edge.lorawan.codec.decode:decode",
    "mbus": "edge.mbus.decode:decode",
    "nmea": "edge.nmea.decode:decode",
    "pms": "edge.pms.decode:decode",
    "sml": "edge.sml.decode:command",
    "wmbus": "edge.wmbus.decode:decode",
}
"""`messnetz device decode NAME` -> `module:command`, a command of click's."""


class _Named(msgspec.Struct):
    driver: str


def load(name: str) -> Driver:
    """Import a driver of the table."""
    return cast("Driver", import_module(DRIVERS[name]).DRIVER)


def load_decoder(name: str) -> click.Command:
    """Import a decoder's command."""
    module, _, command = DECODERS[name].partition(":")
    return cast("click.Command", getattr(import_module(module), command))


def plan_bus(document: Document, path: Path_) -> BusPlan:
    """Check the bus at a path of a gateway's file, by the driver that it names.

    Raises: ConfigError at the line that is wrong.
    """
    name = document.convert(_Named, path).driver
    if name not in DRIVERS:
        raise document.error((*path, "driver"), repr(name), f"one of: {', '.join(DRIVERS)}")
    return load(name).plan(document, path)
