"""The HTTP JSON driver: checks a bus at the desk; asks in the field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from edge.http_json.config import HttpJsonBusConfig, Server, server_of
from edge.interface import Place
from edge.json_source import profile as profiles
from edge.json_source.model import Model
from edge.speaking import patience_s
from edge.turns import AskedTarget

if TYPE_CHECKING:
    import msgspec

    from base.strict_yaml import Document, Path_
    from edge.interface import Bus, BusPlan
    from edge.json_source.profile import JsonDevice
    from wire.profile import Profile

REQUEST_S = 0.3
"""What one answer usually takes."""


@dataclass(frozen=True)
class HttpTarget(AskedTarget):
    """One device of such a bus."""

    path: str
    meaning: tuple[object, ...]
    """What its answers mean: profile, parameters, parts."""
    model: Model = field(compare=False, repr=False)

    @property
    def patience_s(self) -> float:
        """For how long what it has may stay as it is."""
        return patience_s(self.interval_s)


@dataclass(frozen=True)
class HttpPlan:
    """A checked bus of one server."""

    id: str
    server: Server
    devices: tuple[HttpTarget, ...]
    listens = False

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place("url", str(self.server))

    def cost_s(self, device: str) -> float:
        """Estimate for how many seconds one request keeps the bus busy; devices with one path share it."""
        path = next(target.path for target in self.devices if target.id == device)
        return REQUEST_S / sum(1 for target in self.devices if target.path == path)

    def faster(self, share: float) -> str:
        """Nothing but a longer interval would be faster."""
        del share
        return ""

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether another plan asks the same server in the same way."""
        return isinstance(other, HttpPlan) and self.server == other.server

    def open(self) -> Bus:
        """Make the bus ready; each request connects anew."""
        from edge.http_json.bus import HttpBus  # noqa: PLC0415 - http.client is loaded when it is first needed

        return HttpBus(self)


class HttpJsonDriver:
    """The driver as the table knows it."""

    title = "An HTTP bus with JSON"
    config: type[msgspec.Struct] = HttpJsonBusConfig

    def profile_kinds(self) -> tuple[type[Profile], ...]:
        """Return the profiles of what speaks JSON."""
        return (profiles.JsonProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(HttpJsonBusConfig, path)
        targets = tuple(
            _target(document, (*path, "devices", index), device) for index, device in enumerate(config.devices)
        )
        return HttpPlan(config.id, server_of(document, path, config), targets)


def _target(document: Document, at: Path_, entry: JsonDevice) -> HttpTarget:
    device, parts = profiles.device_of(document, at, entry)
    profile = device.profile
    if profile.json.path is None:
        found = f"the profile {entry.profile!r}, which only a broker brings"
        raise document.error((*at, "profile"), found, "one with 'json: path:'")
    path = profiles.filled(profile.json.path, {name: quote(part, safe="/:") for name, part in parts.items()})
    meaning = (*device.meaning, tuple(sorted(parts.items())))
    return HttpTarget(device.id, device.interval_s, path, meaning, Model(profile, device.parameters, parts))


DRIVER = HttpJsonDriver()
