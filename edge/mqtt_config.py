"""A town's own MQTT broker, as the bus of a gateway's file names it; opens nothing and loads no library.

Drivers that listen to a broker extend `MqttSourceConfig`, and check it with `session_of`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from base.broker import AnyTlsConfig, Host
from edge.interface import Place

if TYPE_CHECKING:
    from base.strict_yaml import Document

SESSION_S = 7 * 86_400
"""For so long a broker of MQTT 5 keeps what comes while we are away; one of 3.1.1 has a setting of its own."""


class SourceBroker(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A broker that others feed."""

    host: Host
    """Name or address of the broker; with `tls` the name that its certificate has."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """Port of the broker; 1883, with `tls` 8883, unless set."""
    user: str | None = None
    """Our name there, with `password_file`."""
    password_file: str | None = None
    """A file with mode 0600 that holds the password, or the API key, alone."""
    tls: AnyTlsConfig | None = None
    """`{}`: TLS, the broker's certificate checked by the authorities that this machine trusts."""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 30
    """After one and a half times as long without a sign of life the broker hangs up."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """`auto` tries MQTT 5 first and stays with what the broker accepts."""

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("both of 'user' and 'password_file', or neither")

    def endpoint(self) -> tuple[str, int]:
        """Host and port to connect to."""
        return self.host, self.port or (1883 if self.tls is None else 8883)


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
