"""The SML driver: an electricity meter that speaks through an optical head, or over a wired interface (LMN, RS-485)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge import planning
from edge.listening import ListeningPlan, target_of
from edge.obis import Map
from edge.sml import profile as profiles
from edge.stream import LineConfig, line_of
from edge.thinning import Thinner
from wire.ids import Id  # noqa: TC001 - msgspec reads annotations when it decodes
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan
    from edge.listening import Decoder, Gatherer
    from wire import profile as public


class SmlDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A meter that speaks SML."""


class SmlBusConfig(LineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The line of an optical head, and the meter under it."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["sml"]
    """What understands the meter."""
    devices: Annotated[list[SmlDevice], msgspec.Meta(min_length=1)]
    """The one meter."""


class SmlDriver:
    """The driver as the table knows it."""

    title = "A meter that speaks SML"
    config: type[msgspec.Struct] = SmlBusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (profiles.SmlProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(SmlBusConfig, path)
        if len(config.devices) > 1:
            found = f"{config.devices[1].id!r} beside {config.devices[0].id!r}"
            raise document.error((*path, "devices", 1), found, "a bus of its own for each meter: a head hears one")
        device = planning.device_of(document, (*path, "devices", 0), config.devices[0], "sml", profiles.load)
        profile = device.profile
        line = line_of(document, path, config, profile.sml.settings)

        def make() -> tuple[Decoder, Gatherer]:
            from edge.sml.decoder import SmlDecoder  # noqa: PLC0415 - loaded where a bus is opened

            return SmlDecoder(device.id, Map(profile.sml.registers, device.parameters)), Thinner(profile.rules)

        return ListeningPlan(config.id, line, target_of(device), make)


DRIVER = SmlDriver()
