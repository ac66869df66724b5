"""The driver of sensors that write lines of text: checks a bus at the desk, listens in the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge import planning
from edge.line import profile as profiles
from edge.listening import ListeningPlan, target_of
from edge.stream import LineConfig, line_of
from edge.thinning import Thinner
from wire.ids import Id  # noqa: TC001 - msgspec reads annotations when it decodes
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan
    from edge.listening import Decoder, Gatherer
    from wire import profile as public


class LineDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sensor on such a line."""


class LineBusConfig(LineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line with one sensor that writes lines of text."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["line"]
    """What reads the lines."""
    devices: Annotated[list[LineDevice], msgspec.Meta(min_length=1, max_length=1)]
    """The sensor."""


class LineDriver:
    """The driver as the table knows it."""

    title = "A line with a sensor that writes text"
    config: type[msgspec.Struct] = LineBusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (profiles.LineProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(LineBusConfig, path)
        device = planning.device_of(document, (*path, "devices", 0), config.devices[0], "line", profiles.load)
        profile = device.profile
        line = line_of(document, path, config, profile.line.settings)

        def make() -> tuple[Decoder, Gatherer]:
            from edge.line.decoder import LineDecoder  # noqa: PLC0415 - what only an open bus needs

            return LineDecoder(profile.line, device.parameters), Thinner(profile.rules)

        return ListeningPlan(config.id, line, target_of(device), make)


DRIVER = LineDriver()
