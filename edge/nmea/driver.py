"""The driver of NMEA 0183: checks a bus at the desk, listens in the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge import planning
from edge.listening import ListeningPlan, target_of
from edge.nmea import profile as profiles
from edge.stream import LineConfig, line_of
from edge.thinning import Thinner
from wire.ids import Id  # noqa: TC001 - msgspec reads annotations when it decodes
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan
    from edge.listening import Decoder, Gatherer
    from wire import profile as public


class NmeaDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The device on such a line."""


class NmeaBusConfig(LineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line with one device that speaks NMEA 0183."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["nmea"]
    """What listens to the device."""
    devices: Annotated[list[NmeaDevice], msgspec.Meta(min_length=1, max_length=1)]
    """The device."""


class NmeaDriver:
    """The driver as the table knows it."""

    title = "A line on which NMEA 0183 is spoken"
    config: type[msgspec.Struct] = NmeaBusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (profiles.NmeaProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(NmeaBusConfig, path)
        device = planning.device_of(document, (*path, "devices", 0), config.devices[0], "nmea", profiles.load)
        profile = device.profile
        line = line_of(document, path, config, profile.nmea.settings)

        def make() -> tuple[Decoder, Gatherer]:
            from edge.nmea.decoder import NmeaDecoder  # noqa: PLC0415 - what only an open bus needs

            return NmeaDecoder(profile.nmea, device.parameters), Thinner(profile.rules)

        return ListeningPlan(config.id, line, target_of(device), make)


DRIVER = NmeaDriver()
