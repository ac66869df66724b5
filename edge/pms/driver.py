"""The driver of particulate and CO2 sensors: checks a bus at the desk, listens to or asks its sensor in the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge import planning
from edge.listening import ListeningPlan, target_of
from edge.pms import profile as profiles
from edge.stream import LineConfig, LineSettings, line_of
from edge.thinning import Thinner
from wire.ids import Id  # noqa: TC001 - msgspec reads annotations when it decodes
from wire.town import DeviceEntry

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan
    from edge.listening import Decoder, Gatherer
    from edge.pms.decoder import Working
    from edge.pms.profile import PmsProfile
    from wire import profile as public


class PmsDevice(DeviceEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sensor on such a line."""


class PmsBusConfig(LineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A serial line with one particulate or CO2 sensor."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["pms"]
    """What speaks to the sensor."""
    mode: Literal["active", "passive"] | None = None
    """`active`: it speaks by itself, about once a second; `passive`: it is asked every 5 s. The first where the sensor
    can."""
    sleeps: bool = False
    """Switch its laser and fan off between samples: lasers last 8,000 to 10,000 hours, a year of days and nights."""
    warm_up_s: Annotated[float, msgspec.Meta(ge=0, le=600)] | None = None
    """So long after its line was opened a sensor is not believed; as long as its profile says, unless set. 0 where it
    has a supply of its own: then it is warm when the agent starts."""
    measure_s: Annotated[float, msgspec.Meta(ge=5, le=600)] = 15.0
    """How long it measures for each sample where it sleeps, after it has warmed up."""
    devices: Annotated[list[PmsDevice], msgspec.Meta(min_length=1, max_length=1)]
    """The sensor."""


class PmsDriver:
    """The driver as the table knows it."""

    title = "A line with a particulate or CO2 sensor"
    config: type[msgspec.Struct] = PmsBusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (profiles.PmsProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(PmsBusConfig, path)
        device = planning.device_of(document, (*path, "devices", 0), config.devices[0], "pms", profiles.load)
        profile = device.profile
        working = _working(document, path, config, profile, device.interval_s)
        line = line_of(document, path, config, LineSettings(profile.sensor.baud_rate))

        def make() -> tuple[Decoder, Gatherer]:
            from edge.pms.decoder import PmsDecoder  # noqa: PLC0415 - what only an open bus needs

            return PmsDecoder(profile.sensor, profile.pms.values, working), Thinner(profile.rules)

        return ListeningPlan(config.id, line, target_of(device), make, (working,))


def _working(document: Document, path: Path_, config: PmsBusConfig, profile: PmsProfile, interval_s: float) -> Working:
    """Check that the sensor can work as asked."""
    from edge.pms.decoder import Working  # noqa: PLC0415 - as above

    sensor = profile.sensor
    warm_up_s = profile.warm_up_s if config.warm_up_s is None else config.warm_up_s
    if config.mode == "active" and not sensor.speaks:
        raise document.error((*path, "mode"), f"'active' of a {sensor.name}, which speaks only when asked", "'passive'")
    if config.mode == "passive" and not sensor.commands.ask:
        raise document.error((*path, "mode"), f"'passive' of a {sensor.name}, which cannot be asked", "'active'")
    is_asked = config.mode == "passive" or not sensor.speaks
    if not config.sleeps:
        return Working(is_asked, warm_up_s)
    if not sensor.commands.sleep:
        raise document.error(
            (*path, "sleeps"), f"'sleeps' of a {sensor.name}, which cannot be switched off", "no 'sleeps'"
        )
    busy_s = warm_up_s + config.measure_s + 2.0
    if busy_s >= interval_s:
        found = f"{warm_up_s:g} s to warm up, {config.measure_s:g} s to measure, every {interval_s:g} s"
        raise document.error((*path, "sleeps"), found, f"an interval above {busy_s:g} s, or no 'sleeps'")
    return Working(is_asked, warm_up_s, config.measure_s, interval_s)


DRIVER = PmsDriver()
