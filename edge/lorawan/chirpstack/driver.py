"""The ChirpStack driver: checks a bus at the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge.lorawan.broker import LorawanBusConfig, plan_of
from edge.lorawan.chirpstack import events
from edge.lorawan.profile import LorawanProfile
from edge.mqtt_bus import Topic
from wire.ids import END, Id

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan
    from edge.lorawan.broker import Event
    from wire.profile import Profile

ApplicationId = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9A-Za-z-]{1,64}" + END, description="the id of an application, a UUID")
]


class ChirpStackBusConfig(LorawanBusConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ChirpStack (v4) network, by its MQTT integration."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["chirpstack"]
    """What reads the events."""
    applications: list[ApplicationId] = msgspec.field(default_factory=list)
    """Ids of the applications that are listened to; all that the broker lets us hear unless set."""


class ChirpStack:
    """The network, as `edge.lorawan.broker` wants to know it."""

    def read(self, topic: str, payload: bytes) -> Event | None:
        """Return the uplink of a message."""
        return events.read(topic, payload)

    def downlink(self, address: tuple[str, str], port: int, payload: bytes, *, confirmed: bool) -> tuple[str, bytes]:
        """Return topic and message that queue a downlink."""
        return events.downlink(address, port, payload, confirmed=confirmed)


class ChirpStackDriver:
    """The driver as the table knows it."""

    title = "A ChirpStack network"
    config: type[msgspec.Struct] = ChirpStackBusConfig

    def profile_kinds(self) -> tuple[type[Profile], ...]:
        """Return the profiles of LoRaWAN devices."""
        return (LorawanProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(ChirpStackBusConfig, path)
        topics = [Topic(f"application/{each}/device/+/event/up") for each in sorted(set(config.applications)) or ["+"]]
        return plan_of(document, path, config.id, config, topics, ChirpStack())


DRIVER = ChirpStackDriver()
