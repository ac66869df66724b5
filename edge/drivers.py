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
    "line": "edge.line.driver",
    "modbus": "edge.modbus.driver",
    "pms": "edge.pms.driver",
    "nmea": "edge.nmea.driver",
    "radar": "edge.radar.driver",
    "s0": "edge.s0.driver",
}
"""Name in a gateway's file -> module, whose `DRIVER` it is."""
DECODERS: dict[str, str] = {
    "nmea": "edge.nmea.decode:decode",
    "pms": "edge.pms.decode:decode",
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
