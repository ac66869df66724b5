"""The MQTT connection: paho, a fresh client for every try, MQTT 5 where the broker speaks it.

The broker is a relay: nothing is kept in the client. What was in flight when a connection broke is dropped
here and sent again by whoever owns it. Handlers run on paho's network thread and must return at once.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from base.broker import read_credentials
from base.errors import ConfigError
from base.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from base.broker import BrokerAddress

logger = logging.getLogger(__name__)
P = ParamSpec("P")

CONNECT_TIMEOUT_S = 10.0
FIRST_MQTT_5_TIMEOUT_S = 3.0
"""`auto` waits no longer for the CONNACK of a broker of which it does not know yet that it speaks MQTT 5: amqtt stays
silent where it cannot read a CONNECT."""
LASTING_S = 30.0
"""A connection that lasts so long was a success."""
MOST_UNACKNOWLEDGED = 512
"""Messages that the broker may owe a PUBACK for; more are not taken."""
ACKNOWLEDGE_TIMEOUT_S = 60.0
"""A broker that owes one for longer is as good as gone."""
WATCH_INTERVAL_S = 5.0
UNSUPPORTED_VERSION = (0x01, 0x84)  # CONNACK of MQTT 3.1.1, of MQTT 5
NO_MATCHING_SUBSCRIBERS = 16  # PUBACK of MQTT 5


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


def _send_at_once(_client: paho.Client, _userdata: object, connection: paho.SocketLike) -> None:
    """Set TCP_NODELAY: else a short message waits up to 40 ms for the other side's delayed acknowledgement."""
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Owed:
    """What the broker owes a PUBACK for, on one connection: message id -> when it was sent, and its state.

    (paho's `on_publish` is no help: it may speak before `publish` has returned the message id.)
    """

    def __init__(self) -> None:
        self._sent: dict[int, tuple[float, paho.MQTTMessageInfo]] = {}
        self._kept: set[int] = set()

    def add(self, info: paho.MQTTMessageInfo) -> None:
        self._sent[info.mid] = time.monotonic(), info

    def add_kept(self, info: paho.MQTTMessageInfo) -> None:
        """Add a message that the broker keeps for those who come later."""
        if not info.is_published():
            self._kept.add(info.mid)
        self.add(info)

    def is_read_at_once(self, mid: int) -> bool:
        """Whether a message that is just being acknowledged was meant for somebody who is there."""
        if mid in self._kept:
            self._kept.discard(mid)
            return False
        return True

    def is_full(self) -> bool:
        if len(self._sent) >= MOST_UNACKNOWLEDGED:
            self._forget_paid()
        return len(self._sent) >= MOST_UNACKNOWLEDGED

    def is_overdue(self) -> bool:
        self._forget_paid()
        now_s = time.monotonic()
        return any(now_s - sent_at_s > ACKNOWLEDGE_TIMEOUT_S for sent_at_s, _ in list(self._sent.values()))

    def _forget_paid(self) -> None:
        for mid, (_, info) in list(self._sent.items()):  # a copy: others publish meanwhile
            if info.is_published():
                self._sent.pop(mid, None)


class Connection:
    """One lasting connection to a broker, by a thread of its own.

    `start` returns at once; the thread connects, subscribes, tells the handlers, and after a loss begins
    again with a fresh client and a jittered delay.
    """

    keeps_session: ClassVar[bool] = False
    """Whether the broker keeps what comes while we are away, and messages are acknowledged by whoever takes them."""

    def __init__(
        self,
        config: BrokerAddress,
        client_id: str,
        handlers: Handlers,
        *,
        subscriptions: Sequence[str] = (),
        will: Will | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._client_id = client_id
        self._handlers = handlers
        self._subscriptions = tuple(subscriptions)
        self._will = will
        self._chance = chance
        read_credentials(config)  # a bad file is said at once; later, when one is renewed, it is a failure like others
        self._version = MQTTProtocolVersion.MQTTv311 if config.protocol == "3.1.1" else MQTTProtocolVersion.MQTTv5
        self._speaks_5 = False
        self._client: paho.Client | None = None
        self._ready = threading.Event()
        self._lost = threading.Event()
        self._settled = threading.Event()  # ready or lost, whichever came first
        self._stopping = threading.Event()
        self._accepted = False
        self._reason = ""
        self.unheard = 0
        """Messages for which a broker of MQTT 5 said that nobody is subscribed to them."""
        self._unheard = Backoff(f"messages of {client_id}", logger)
        self._network = threading.current_thread()  # paho's, once it has spoken
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{client_id}", daemon=True)

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted us and our subscriptions."""
        return self._ready.is_set() and not self._lost.is_set()

    def renew_will(self, will: Will) -> None:
        """Leave another will with the broker from the next connection on; that of this one cannot be changed."""
        self._will = will

    def start(self) -> None:
        """Begin to connect; never blocks."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect cleanly (the broker keeps the will to itself) and end the thread."""
        self._stopping.set()
        self._give_up()
        if self._thread.is_alive():
            self._thread.join(CONNECT_TIMEOUT_S + 5)

    def reconnect(self, reason: str) -> None:
        """Hang up and connect anew, for a reason that the owner has; does nothing where no connection stands.

        What the broker still holds for us, it forgets.
        """
        if self.is_connected:
            self._reason = reason
            self._give_up()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the broker, QoS 1, without waiting.

        Returns: False where there is no connection, or where the broker owes too many PUBACKs; the message is then
        not kept.
        """
        client = self._client
        if client is None or not self.is_connected:
            return False
        owed: _Owed = client.user_data_get()
        if owed.is_full():
            return False
        info = client.publish(topic, payload, qos=1, retain=retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:  # the connection broke this very moment
            return False
        if retain:
            owed.add_kept(info)
        else:
            owed.add(info)
        return True

    def _run(self) -> None:
        host, port = self._config.endpoint()
        backoff = Backoff(f"broker {host}:{port}", logger, first_s=0.5, cap_s=30.0, chance=self._chance)
        while True:
            self._lost.clear()
            self._settled.clear()
            if self._stopping.is_set():  # asked only now: a `stop` before has set what was just cleared
                return
            try:
                self._connect_once(host, port, backoff)
            except (OSError, ValueError, ConfigError) as error:  # ValueError: a host name that is none
                self._reason = str(error) or type(error).__name__
            except Exception as error:
                logger.exception("internal error in the connection of %s, please report", self._client_id)
                self._reason = str(error) or type(error).__name__
            if not self._stopping.is_set():
                self._stopping.wait(backoff.failed(self._reason))

    def _connect_once(self, host: str, port: int, backoff: Backoff) -> None:
        """Connect with a fresh client, and stay as long as the connection does."""
        self._accepted = False
        self._reason = "no answer to CONNECT"
        client = self._fresh_client()
        self._connect(client, host, port)
        try:
            client.loop_start()
            if self._await_acceptance():
                self._await_loss(client.user_data_get(), backoff)
        finally:
            self._close(client)

    def _await_acceptance(self) -> bool:
        """Wait until the subscriptions stand or the connection is lost; choose the version of the next try."""
        is_v5 = self._version == MQTTProtocolVersion.MQTTv5
        if self._config.protocol == "auto" and is_v5 and not self._speaks_5:
            is_settled = self._settled.wait(min(FIRST_MQTT_5_TIMEOUT_S, CONNECT_TIMEOUT_S))
            if not is_settled and self._accepted:  # the subscriptions may take longer
                self._settled.wait(CONNECT_TIMEOUT_S)
        else:
            self._settled.wait(CONNECT_TIMEOUT_S)
        if self._ready.is_set():
            self._speaks_5 = self._speaks_5 or is_v5
            return True
        if not self._accepted and self._config.protocol == "auto":
            self._version = MQTTProtocolVersion.MQTTv311 if is_v5 else MQTTProtocolVersion.MQTTv5
        return False

    def _await_loss(self, owed: _Owed, backoff: Backoff) -> None:
        """Wait until the connection is lost, or paho's thread is, or the broker acknowledges nothing any more.

        (paho 2.1 ends its thread over a packet that it cannot read.) Only a connection that lasts is a success: one
        that is cut again and again must wait ever longer.
        """
        lasting_at_s = time.monotonic() + LASTING_S
        is_lost = False
        while not is_lost:
            is_lost = self._lost.wait(WATCH_INTERVAL_S)
            if time.monotonic() >= lasting_at_s:
                backoff.succeeded()
            if not is_lost and not self._network.is_alive():
                self._reason = "paho's thread has ended"
                self._lost.set()
            elif not is_lost and owed.is_overdue():
                self._reason = f"no PUBACK in {ACKNOWLEDGE_TIMEOUT_S:g} s"
                self._lost.set()

    def _fresh_client(self) -> paho.Client:
        is_v5 = self._version == MQTTProtocolVersion.MQTTv5
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if is_v5 else not self.keeps_session,
            userdata=_Owed(),
            protocol=self._version,
            reconnect_on_failure=False,
            manual_ack=self.keeps_session,
        )
        password, tls = read_credentials(self._config)
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
        client.on_socket_open = _send_at_once
        return client

    def _connect(self, client: paho.Client, host: str, port: int) -> None:
        client.connect(host, port, self._config.keepalive_s)

    def _subscribe(self, client: paho.Client) -> None:
        client.subscribe([(topic, 1) for topic in self._subscriptions])

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
            self._reason = "no answer to SUBSCRIBE"
            self._subscribe(client)
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
        refused = [_shown(t) for t, r in zip(self._subscriptions, reasons, strict=False) if r.is_failure]
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
        owed: _Owed,
        mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        """Count what the broker took and gave to nobody. That is no failure here: who owns the data waits for more."""
        if not owed.is_read_at_once(mid):
            return
        if reason.value == NO_MATCHING_SUBSCRIBERS:
            self.unheard += 1
            self._unheard.failed("the broker says that nobody is subscribed to them")
        elif not reason.is_failure:
            self._unheard.succeeded()

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


def _shown(topic: str) -> str:
    """Write a subscription for the log; the name of a shared subscription's group is a secret."""
    share, _, rest = topic.partition("/")
    return f"$share/.../{rest.partition('/')[2]}" if share == "$share" else topic
