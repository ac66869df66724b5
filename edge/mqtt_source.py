"""Messages of a town's own MQTT broker, each acknowledged only when what it said is on disk.

    source = MqttSource(session, [Subscription("wmbus/+", qos=1)], "bus cellar")
    message = await source.next()               # waits; connects, and connects again, by itself
    heard = source.heard(message, [("flat-7-heat", Measured(...))])    # for `EventfulBus.heard`, one after the other
    source.done(message)                        # instead, where nothing in it is to be sealed

(`edge.mqtt_bus` does that for a driver that only knows how to understand a message.)

The broker keeps a session for us: what comes at QoS 1 while we are away waits there, and what was not acknowledged
comes again. So a QoS 1 message must say when it was measured: it may be hours old, and whoever kills the agent between
seal and acknowledgement makes it come a second time, which then is the same sample at the same time. What has no time
of its own is to be subscribed to at QoS 0: it comes at once or never.

A message that comes again within one run of the agent is known by its topic and payload: it is not said twice, only
acknowledged on the new connection. Brokers limit how many messages they send unacknowledged (mosquitto: 20, in MQTT 5
as many as the client asks for): near that the samples ask for an early seal, so that a busy network never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from base.errors import ConfigError, TransientError
from base.mqtt import Connection, Handlers
from base.retry import Backoff
from edge.interface import Heard
from edge.mqtt_config import SESSION_S, SourceSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import paho.mqtt.client as paho
    from paho.mqtt.reasoncodes import ReasonCode

    from edge.interface import Measured

logger = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES = 256 * 1024
"""What is longer is no measurement: passed over, and counted."""
MOST_PACKET_BYTES = 1 << 20
"""What is longer by far a broker of MQTT 5 keeps to itself (Maximum Packet Size): MQTT allows 256 MB, and paho takes a
message into memory whole. One that killed the agent would come again, and kill it again."""
MOST_ASKED_FOR = 500
"""Messages that a broker of MQTT 5 may send unacknowledged (Receive Maximum)."""
MOST_HELD = 2000
"""Messages in memory, whatever the broker sends; further ones are left to it, unacknowledged ..."""
MOST_HELD_BYTES = 16 << 20
"""... and likewise where those held are larger."""


class Subscription(NamedTuple):
    """A topic filter; QoS 1 where its messages tell when they were measured, else 0."""

    topic: str
    qos: int = 1


class Token(NamedTuple):
    """On which connection a message came, and under which number; there it can be acknowledged."""

    client: paho.Client
    mid: int


@dataclass(eq=False, slots=True)
class Message:
    """One message of the broker."""

    topic: str
    payload: bytes
    is_retained: bool
    """Whether it was said before we subscribed: it may be of any age."""
    arrived_s: float
    """On the monotonic clock."""
    token: Token | None
    """None where nothing is to be acknowledged (QoS 0)."""
    is_done: bool = False
    """Whether it may be forgotten; then it is only still to be acknowledged."""

    @property
    def key(self) -> bytes:
        """Tells one message from another."""
        return hashlib.blake2b(self.topic.encode() + b"\0" + self.payload, digest_size=16).digest()


class MqttSource:
    """One session with a broker. Everything but the network runs on the event loop that calls `next`."""

    def __init__(self, session: SourceSession, subscriptions: Sequence[Subscription], what: str) -> None:
        """`what` the log calls it."""
        self._session = session
        self._subscriptions = tuple(subscriptions)
        self._what = what
        self._queue: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._bytes = 0
        self._held: dict[Token, Message] = {}
        """Not acknowledged, on the connection that stands."""
        self._orphans: OrderedDict[bytes, Message] = OrderedDict()
        """Not acknowledged on connections that are gone: the broker will send them again."""
        self._settled: OrderedDict[bytes, None] = OrderedDict()
        """The last messages that were acknowledged: the broker may not have heard it."""
        self._room = session.max_inflight
        self._left_to_the_broker = 0
        self._connection: _Connection | None = None
        self._client: paho.Client | None = None
        """Of the connection on which the last message at QoS 1 came."""
        self._starting: asyncio.Task[None] | None = None
        self._trouble = Backoff(what, logger)
        self._passed_over = Backoff(f"{what}: messages passed over", logger)
        self.why = "not connected yet"
        """Why nothing comes; empty while the connection stands."""
        self.connections = 0
        """How often it was connected."""

    async def next(self) -> Message:
        """Wait for the next message. The first call connects."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name=f"{self._what}: connecting")
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    def heard(self, message: Message, samples: Sequence[tuple[str, Measured]]) -> list[Heard]:
        """Turn what a message says of devices into what the gateway takes; sealed, the message is acknowledged.

        It is acknowledged at once where it says nothing.
        """
        if not samples:
            self.done(message)
            return []
        *others, last = [Heard(device, measured) for device, measured in samples]
        if message.token is None:
            self.done(message)
            return [*others, last]
        # The hook of the last one is called when all before it are sealed, too: they were delivered before it.
        return [*others, last._replace(sealed=partial(self.done, message), is_urgent=self._is_room_scarce())]

    def done(self, message: Message) -> None:
        """Say that the broker may forget a message. Where its connection is gone, that is said when it comes again."""
        if message.is_done:
            return
        message.is_done = True
        self._bytes -= len(message.payload)
        if message.token is not None and self._held.pop(message.token, None) is not None:
            self._settled[message.key] = None
            while len(self._settled) > MOST_HELD:
                self._settled.popitem(last=False)
            self._acknowledge(message.token)
        self._fetch_what_was_left()

    def unwanted(self, message: Message) -> None:
        """Say that nobody here wants this topic: an earlier subscription of the session, which is ended."""
        self.done(message)
        if self._connection is not None:
            self._connection.unsubscribe(message.topic)

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker, QoS 1.

        Raises: TransientError where there is no connection.
        """
        if self._connection is None or not self._connection.publish(topic, payload):
            raise TransientError(f"{self._session}: not connected ({self.why})")

    async def close(self) -> None:
        """Disconnect; the broker keeps the session."""
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting
        if self._connection is not None:
            await asyncio.to_thread(self._connection.stop)

    async def _start(self) -> None:
        """Begin to connect; a password that cannot be read is asked for again and again."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._connection = _Connection(self._session, self._subscriptions, self, loop)
            except ConfigError as error:
                self.why = str(error)
                await asyncio.sleep(self._trouble.failed(error))
                continue
            self._connection.start()
            return

    def took(self, message: Message) -> None:
        """Take a message off the connection."""
        if message.token is not None:
            if message.token.client is not self._client:  # perhaps one that was lost before it was fully there
                self._orphan()
                self._client = message.token.client
            if self._is_known(message, message.token):
                return
        if len(message.payload) > MAX_PAYLOAD_BYTES:
            self._passed_over.failed(f"{len(message.payload)} bytes on {message.topic}")
            message.is_done = True
            if message.token is not None:
                self._acknowledge(message.token)
            return
        if self._count() >= MOST_HELD or self._bytes + len(message.payload) > MOST_HELD_BYTES:
            self._left_to_the_broker += message.token is not None
            self._passed_over.failed("more than can be held until the next seal; QoS 1 will come again")
            return
        self._bytes += len(message.payload)
        if message.token is not None:
            self._held[message.token] = message
            self._room = max(self._room, len(self._held))  # it has shown that it lets so many be
        self._queue.append(message)
        self._arrived.set()

    def connected(self, *, has_session: bool) -> None:
        """Note that a connection stands."""
        self.why = ""
        self.connections += 1
        if not has_session:
            self._orphans.clear()
            if self.connections > 1:
                logger.warning("%s: the broker had forgotten us; what came meanwhile is lost", self._what)
        self._fetch_what_was_left()

    def disconnected(self, reason: str) -> None:
        """Note that the connection is gone: what it owed an acknowledgement for will come again."""
        self.why = reason
        self._orphan()

    def _orphan(self) -> None:
        for message in self._held.values():
            self._orphans[message.key] = message
        while len(self._orphans) > MOST_HELD:
            self._orphans.popitem(last=False)
        self._held.clear()
        self._room = self._session.max_inflight
        self._left_to_the_broker = 0

    def _fetch_what_was_left(self) -> None:
        """Connect anew when there is room for what was left to the broker: it sends that only then."""
        has_room = self._count() < MOST_HELD // 4 and self._bytes < MOST_HELD_BYTES // 4
        if self._left_to_the_broker and has_room and self._connection is not None and self._connection.is_connected:
            self._left_to_the_broker = 0
            self._connection.reconnect("there is room again for what was left to the broker")

    def _is_known(self, again: Message, token: Token) -> bool:
        """Whether a message came before, on a connection that is gone: it only wants an acknowledgement on this one."""
        key = again.key
        first = self._orphans.pop(key, None)
        if first is None and key not in self._settled:
            return False
        if first is None or first.is_done:
            self._acknowledge(token)
        else:
            first.token = token
            self._held[token] = first
        return True

    def _count(self) -> int:
        return max(len(self._queue), len(self._held))

    def _is_room_scarce(self) -> bool:
        return len(self._held) >= self._room // 2

    def _acknowledge(self, token: Token) -> None:
        token.client.ack(token.mid, 1)


class _Connection(Connection):
    """The connection itself; all but `start` and `stop` runs on paho's thread."""

    keeps_session: ClassVar[bool] = True

    def __init__(
        self,
        session: SourceSession,
        subscriptions: Sequence[Subscription],
        source: MqttSource,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._loop = loop
        self._source = source
        self._qos = {subscription.topic: subscription.qos for subscription in subscriptions}
        self._has_session = False
        handlers = Handlers(
            connected=lambda: self._call(lambda: source.connected(has_session=self._has_session)),
            disconnected=lambda reason: self._call(lambda: source.disconnected(reason)),
            message=lambda *_: None,
        )
        super().__init__(session.broker, session.client_id, handlers, subscriptions=list(self._qos))

    def unsubscribe(self, topic: str) -> None:
        """End a subscription."""
        client = self._client
        if client is not None and topic not in self._qos:
            client.unsubscribe(topic)

    def _call(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens any more
            self._loop.call_soon_threadsafe(call)

    def _connect(self, client: paho.Client, host: str, port: int) -> None:
        if self._version != MQTTProtocolVersion.MQTTv5:
            super()._connect(client, host, port)
            return
        wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wishes.SessionExpiryInterval = SESSION_S
        wishes.ReceiveMaximum = MOST_ASKED_FOR
        wishes.MaximumPacketSize = MOST_PACKET_BYTES
        client.connect(host, port, self._config.keepalive_s, clean_start=False, properties=wishes)

    def _subscribe(self, client: paho.Client) -> None:
        client.subscribe(list(self._qos.items()))

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401 - paho's signature
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._has_session = flags.session_present
        super()._on_connect(client, userdata, flags, reason, properties)

    def _on_subscribe(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401 - paho's signature
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        less = [
            t for (t, qos), r in zip(self._qos.items(), reasons, strict=False) if not r.is_failure and r.value < qos
        ]
        if less:
            logger.warning(
                "%s: the broker gives %s at QoS 0 only: what comes while we are away is lost",
                self._client_id,
                ", ".join(less),
            )
        super()._on_subscribe(client, userdata, mid, reasons, properties)

    def _on_message(self, client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ANN401
        token = Token(client, message.mid) if message.qos else None
        try:
            topic = message.topic
        except UnicodeDecodeError:
            logger.warning("%s: passed over a message whose topic is no UTF-8", self._client_id)
            client.ack(message.mid, message.qos)
            return
        taken = Message(topic, bytes(message.payload), message.retain, time.monotonic(), token)
        self._call(lambda: self._source.took(taken))
