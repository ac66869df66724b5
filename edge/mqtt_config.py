"""A town's own MQTT broker, as the bus of a gateway's file names it; opens nothing and loads no library.

Drivers that listen to a broker extend `MqttSourceConfig`, and check it with `session_of`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from base.broker import AnyTlsConfig, BrokerAddress
from edge.interface import Place

if TYPE_CHECKING:
    from base.strict_yaml import Document

SESSION_S = 7 * 86_400
"""For so long a broker of MQTT 5 keeps what comes while we are away; one of 3.1.1 has a setting of its own."""


class SourceBroker(BrokerAddress, forbid_unknown_fields=True, frozen=True):
    """A broker that others feed."""

    tls: AnyTlsConfig | None = None
    """`{}`: TLS, the broker's certificate checked by the authorities that this machine trusts."""


class MqttSourceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What every bus that listens to a broker has."""

    mqtt: SourceBroker
    """The broker that the devices, or their network, publish to."""
    client_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}$(?!\n)")] | None = None
    """Our name for the session that the broker keeps; `<gateway>-<bus>` unless set. Nobody else may use it."""
    max_inflight: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 20
    """How many messages the broker sends before it waits for an acknowledgement; 20 as mosquitto's
    `max_inflight_messages`. Near it a seal comes early, so a larger number on both sides saves writes to the SD
    card."""


class SourceSession(NamedTuple):
    """Where to listen, and as whom."""

    broker: SourceBroker
    client_id: str
    max_inflight: int

    @property
    def place(self) -> Place:
        """Where it is: several buses may share a broker, but no session on it."""
        host, port = self.broker.endpoint()
        return Place("client_id", f"{host.lower()}:{port} as {self.client_id}")

    def __str__(self) -> str:
        return "{}:{}".format(*self.broker.endpoint())


def session_of(document: Document, bus: str, config: MqttSourceConfig) -> SourceSession:
    """Return the session of a bus of a gateway's file."""
    gateway = document.lookup(("gateway",))
    own = f"{gateway}-{bus}" if isinstance(gateway, str) else bus
    return SourceSession(config.mqtt, config.client_id or own, config.max_inflight)
