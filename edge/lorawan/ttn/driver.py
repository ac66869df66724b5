"""The driver of The Things Stack: checks a bus at the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge.lorawan.broker import LorawanBusConfig, plan_of
from edge.lorawan.profile import LorawanProfile
from edge.lorawan.ttn import events
from edge.mqtt_bus import Topic
from wire.ids import END, Id

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan
    from edge.lorawan.broker import Event
    from wire.profile import Profile

ApplicationName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}(@[a-z0-9][a-z0-9-]{0,62})?" + END,
        description="the name of an application, as town@ttn",
    ),
]


class TtnBusConfig(LorawanBusConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One application of The Things Stack, by its MQTT server."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["ttn"]
    """What reads the messages."""
    application: ApplicationName | None = None
    """The application, as town@ttn; the user's unless set."""


class TheThingsStack:
    """The network, as `edge.lorawan.broker` wants to know it."""

    def read(self, topic: str, payload: bytes) -> Event | None:
        """Return the uplink of a message."""
        return events.read(topic, payload)

    def downlink(self, address: tuple[str, str], port: int, payload: bytes, *, confirmed: bool) -> tuple[str, bytes]:
        """Return topic and message that queue a downlink."""
        return events.downlink(address, port, payload, confirmed=confirmed)


class TtnDriver:
    """The driver as the table knows it."""

    title = "An application of The Things Stack"
    config: type[msgspec.Struct] = TtnBusConfig

    def profile_kinds(self) -> tuple[type[Profile], ...]:
        """Return the profiles of LoRaWAN devices."""
        return (LorawanProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(TtnBusConfig, path)
        # Its MQTT server knows no other QoS than 0; one that did would bring what came while we were away.
        topic = Topic(f"v3/{config.application or '+'}/devices/+/up")
        return plan_of(document, path, config.id, config, [topic], TheThingsStack())


DRIVER = TtnDriver()
