"""The MQTT connection: paho, a fresh client for every try, MQTT 5 where the broker speaks it.

The broker is a relay: nothing is kept in the client. What was in flight when a connection broke is dropped
here and sent again by whoever owns it. Handlers run on paho's network thread and must return at once.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from base.errors import ConfigError, Position
from base.retry import Backoff
from base.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

logger = logging.getLogger(__name__)
P = ParamSpec("P")

CONNECT_TIMEOUT_S = 10.0
LASTING_S = 30.0
"""A connection that lasts so long was a success."""
MOST_UNACKNOWLEDGED = 512
"""Messages that the broker may owe a PUBACK for; more are not taken."""
ACKNOWLEDGE_TIMEOUT_S = 60.0
"""A broker that owes one for longer is as good as gone."""
WATCH_INTERVAL_S = 5.0
UNSUPPORTED_VERSION = (0x01, 0x84)  # CONNACK of MQTT 3.1.1, of MQTT 5


class TlsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Certificates of a mutual TLS connection (PEM files)."""

    ca: str
    certificate: str
    key: str


class MqttConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where the broker is and who we are to it."""

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """1883, with `tls` 8883, unless set."""
    user: str | None = None
    password_file: str | None = None
    """A file with mode 0600 that holds the password alone."""
    tls: TlsConfig | None = None
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 30
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """`auto` tries MQTT 5 first and stays with what the broker accepts."""

    def endpoint(self) -> tuple[str, int]:
        """Host and port to connect to."""
        return self.host, self.port or (8883 if self.tls else 1883)


@dataclass(frozen=True)
class Will:
    """The message that the broker publishes for us when we are gone; retained."""

    topic: str
    payload: bytes


@dataclass(frozen=True)
class Handlers:
    """What the owner of a connection wants to hear. All run on the network thread."""

    connected: Callable[[], None]
    disconnected: Callable[[str], None]
    """The reason; not called for `stop`."""
    message: Callable[[str, bytes, bool], None]
    """Topic, payload, and whether it was retained."""


class Connection:
    """One lasting connection to a broker, by a thread of its own.

    `start` returns at once; the thread connects, subscribes, tells the handlers, and after a loss begins
    again with a fresh client and a jittered delay.
    """

    def __init__(
        self,
        config: MqttConfig,
        client_id: str,
        handlers: Handlers,
        *,
        subscriptions: Sequence[str] = (),
        will: Will | None = None,
    ) -> None:
        self._config = config
        self._client_id = client_id
        self._handlers = handlers
        self._subscriptions = tuple(subscriptions)
        self._will = will
        self._credentials()  # a bad file is said at once; later, when one is renewed, it is a failure like others
        self._version = MQTTProtocolVersion.MQTTv311 if config.protocol == "3.1.1" else MQTTProtocolVersion.MQTTv5
        self._client: paho.Client | None = None
        self._unacknowledged: dict[int, float] = {}  # message id -> when it was sent
        self._ready = threading.Event()
        self._lost = threading.Event()
        self._settled = threading.Event()  # ready or lost, whichever came first
        self._stopping = threading.Event()
        self._accepted = False
        self._reason = ""
        self._network = threading.current_thread()  # paho's, once it has spoken
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{client_id}", daemon=True)

    def _credentials(self) -> tuple[str | None, ssl.SSLContext | None]:
        """Read password and certificates, which may have been renewed since the last connection.

        Raises: ConfigError naming the file that is wrong.
        """
        password = read_secret(Path(self._config.password_file)) if self._config.password_file else None
        return password, self._tls_context(self._config.tls) if self._config.tls else None

    @staticmethod
    def _tls_context(config: TlsConfig) -> ssl.SSLContext:
        for file in (config.ca, config.certificate, config.key):
            try:
                Path(file).read_bytes()
            except OSError as error:
                raise ConfigError(Position(Path(file)), f"no readable file ({error.strerror})", "a PEM file") from error
        try:
            context = ssl.create_default_context(cafile=config.ca)
        except ssl.SSLError as error:
            raise ConfigError(Position(Path(config.ca)), "no certificates", "those of the CA (PEM)") from error
        try:
            context.load_cert_chain(config.certificate, config.key)
        except ssl.SSLError as error:
            found = f"a certificate that does not load with {config.key} ({error.reason or error})"
            raise ConfigError(Position(Path(config.certificate)), found, "a certificate and its key (PEM)") from error
        return context

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted us and our subscriptions."""
        return self._ready.is_set() and not self._lost.is_set()

    def start(self) -> None:
        """Begin to connect; never blocks."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect cleanly (the broker keeps the will to itself) and end the thread."""
        self._stopping.set()
        self._give_up()
        if self._thread.is_alive():
            self._thread.join(CONNECT_TIMEOUT_S + 5)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the broker, QoS 1, without waiting.

        Returns: False where there is no connection; the message is then not kept.
        """
        client = self._client
        if client is None or not self.is_connected or len(self._unacknowledged) >= MOST_UNACKNOWLEDGED:
            return False
        info = client.publish(topic, payload, qos=1, retain=retain)
        self._unacknowledged[info.mid] = time.monotonic()
        if info.is_published():  # acknowledged before it was noted
            self._unacknowledged.pop(info.mid, None)
        return info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _run(self) -> None:
        host, port = self._config.endpoint()
        backoff = Backoff(f"broker {host}:{port}", logger, first_s=0.5, cap_s=30.0)
        while True:
            self._lost.clear()
            self._settled.clear()
            if self._stopping.is_set():  # asked only now: a `stop` before has set what was just cleared
                return
            try:
                self._connect_once(host, port, backoff)
            except (OSError, ValueError, ConfigError) as error:  # ValueError: a host name that is none
                self._reason = str(error)
            except Exception as error:
                logger.exception("internal error in the connection of %s, please report", self._client_id)
                self._reason = str(error)
            if not self._stopping.is_set():
                self._stopping.wait(backoff.failed(self._reason))

    def _connect_once(self, host: str, port: int, backoff: Backoff) -> None:
        """Connect with a fresh client, and stay as long as the connection does."""
        self._accepted = False
        self._reason = "no answer to CONNECT"
        self._unacknowledged.clear()
        client = self._fresh_client()
        client.connect(host, port, self._config.keepalive_s)
        client.loop_start()
        try:
            if self._await_acceptance():
                self._await_loss(backoff)
        finally:
            self._close(client)

    def _await_acceptance(self) -> bool:
        """Wait until the subscriptions stand or the connection is lost; choose the version of the next try."""
        self._settled.wait(CONNECT_TIMEOUT_S)
        if self._ready.is_set():
            return True
        if not self._accepted and self._config.protocol == "auto":
            is_v5 = self._version == MQTTProtocolVersion.MQTTv5
            self._version = MQTTProtocolVersion.MQTTv311 if is_v5 else MQTTProtocolVersion.MQTTv5
        return False

    def _await_loss(self, backoff: Backoff) -> None:
        """Wait until the connection is lost, or paho's thread is, or the broker acknowledges nothing any more.

        (paho 2.1 ends its thread over a packet that it cannot read.) Only a connection that lasts is a success: one
        that is cut again and again must wait ever longer.
        """
        lasting_at_s = time.monotonic() + LASTING_S
        while not self._lost.wait(WATCH_INTERVAL_S):
            now_s = time.monotonic()
            if now_s >= lasting_at_s:
                backoff.succeeded()
            if not self._network.is_alive():
                self._reason = "paho's thread has ended"
                self._lost.set()
            oldest_s = min(list(self._unacknowledged.values()), default=now_s)
            if now_s - oldest_s > ACKNOWLEDGE_TIMEOUT_S:
                self._reason = f"no PUBACK in {ACKNOWLEDGE_TIMEOUT_S:g} s"
                self._lost.set()

    def _fresh_client(self) -> paho.Client:
        is_v5 = self._version == MQTTProtocolVersion.MQTTv5
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if is_v5 else True,
            protocol=self._version,
            reconnect_on_failure=False,
        )
        password, tls = self._credentials()
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(MOST_UNACKNOWLEDGED)
        if self._config.user is not None:
            client.username_pw_set(self._config.user, password)
        if tls is not None:
            client.tls_set_context(tls)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: Any,  # noqa: ANN401 - paho's signature
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._network = threading.current_thread()
        if reason.is_failure:
            self._accepted = reason.value not in UNSUPPORTED_VERSION
            self._reason = f"refused: {reason}"
            self._give_up()
            return
        self._accepted = True
        self._client = client
        if self._subscriptions:
            client.subscribe([(topic, 1) for topic in self._subscriptions])
        else:
            self._announce()

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: Any,  # noqa: ANN401 - paho's signature
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refused = [t for t, r in zip(self._subscriptions, reasons, strict=False) if r.is_failure]
        if refused:
            self._reason = f"subscription refused: {', '.join(refused)}"
            self._give_up()
            return
        self._announce()

    def _announce(self) -> None:
        self._ready.set()
        self._settled.set()
        self._tell(self._handlers.connected)

    def _give_up(self) -> None:
        self._lost.set()
        self._settled.set()

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: Any,  # noqa: ANN401 - paho's signature
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._accepted and not self._lost.is_set():  # else it is we who hang up, and the reason is known
            self._reason = f"connection lost: {reason}"
        self._give_up()

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: Any,  # noqa: ANN401 - paho's signature
        mid: int,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        # Whatever the reason says: that the broker has it is not that the store has it.
        self._unacknowledged.pop(mid, None)

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ANN401
        try:
            topic = message.topic
        except UnicodeDecodeError:
            logger.warning("%s: passed over a message whose topic is no UTF-8", self._client_id)
            return
        self._tell(self._handlers.message, topic, bytes(message.payload), message.retain)

    def _tell(self, handler: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a handler. A fault in it is logged with its trace; it must not end the thread that it runs on."""
        try:
            handler(*args, **kwargs)
        except Exception:
            logger.exception("internal error in a handler of %s, please report", self._client_id)

    def _close(self, client: paho.Client) -> None:
        self._client = None
        client.disconnect()
        client.loop_stop()
        was_ready = self._ready.is_set()  # asked only now: until its thread has ended, paho may still make us ready
        self._ready.clear()
        if was_ready and not self._stopping.is_set():  # who asked us to stop need not be told
            self._tell(self._handlers.disconnected, self._reason)
