"""One MQTT connection among thousands: paho without threads, driven by the event loop."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from base.broker import read_credentials
from base.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.client import SocketLike
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from base.broker import MqttConfig

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
MISC_EVERY_S = 1.0
SUBSCRIBED_AT_ONCE = 200
MOST_INFLIGHT = 65_535


class Link:
    """Connects, subscribes, and after a loss begins again with a fresh session and a jittered delay."""

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        config: MqttConfig,
        client_id: str,
        topics: Sequence[str],
        *,
        on_message: Callable[[str, bytes], None],
        on_ready: Callable[[], None],
        on_lost: Callable[[], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._config, self._client_id, self._topics = config, client_id, tuple(topics)
        self._on_message, self._on_ready, self._on_lost = on_message, on_ready, on_lost
        self._backoff = Backoff("a simulated gateway's broker", logger, first_s=0.5, cap_s=30.0, chance=chance)
        self._loop = asyncio.get_running_loop()
        self._client: paho.Client | None = None
        self._gone = asyncio.Event()
        self._unsubscribed = 0
        self.is_ready = False
        self.sessions_lost = 0

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand a message to the broker, QoS 1; False where there is no connection."""
        if self._client is None or not self.is_ready:
            return False
        return self._client.publish(topic, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            self._gone.clear()
            client = self._fresh_client()
            try:
                client.connect(*self._config.endpoint(), self._config.keepalive_s)
                await self._stay(client)
            except OSError as error:
                logger.debug("%s: %s", self._client_id, error)
            finally:
                self._leave(client)
            await asyncio.sleep(self._backoff.failed("lost"))

    async def _stay(self, client: paho.Client) -> None:
        """Serve a connection until it is lost, or is not ready in time."""
        deadline_s = self._loop.time() + CONNECT_TIMEOUT_S
        while not self._gone.is_set() and (self.is_ready or self._loop.time() < deadline_s):
            client.loop_misc()
            try:
                async with asyncio.timeout(MISC_EVERY_S):
                    await self._gone.wait()
            except TimeoutError:
                continue

    def _leave(self, client: paho.Client) -> None:
        was_ready, self.is_ready, self._client = self.is_ready, False, None
        client.disconnect()
        if was_ready:
            self.sessions_lost += self._gone.is_set()
            self._on_lost()

    def _fresh_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            protocol=paho.MQTTv311,
            reconnect_on_failure=False,
        )
        password, tls = read_credentials(self._config)
        if self._config.user is not None:
            client.username_pw_set(self._config.user, password)
        if tls is not None:
            client.tls_set_context(tls)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(MOST_INFLIGHT)
        client.on_connect, client.on_subscribe = self._connected, self._subscribed
        client.on_disconnect, client.on_message = self._disconnected, self._arrived
        client.on_socket_open = lambda c, _, s: self._loop.add_reader(s, c.loop_read)
        client.on_socket_close = lambda _c, _, s: self._forget(s)
        client.on_socket_register_write = lambda c, _, s: self._loop.add_writer(s, c.loop_write)
        client.on_socket_unregister_write = self._has_written
        return client

    def _forget(self, sock: SocketLike) -> None:
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)

    def _has_written(self, _client: paho.Client, _userdata: Any, sock: SocketLike) -> None:  # noqa: ANN401
        self._loop.remove_writer(sock)

    def _connected(
        self,
        client: paho.Client,
        _userdata: Any,  # noqa: ANN401 - paho's signature
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._gone.set()
            return
        self._client = client
        parts = [self._topics[at : at + SUBSCRIBED_AT_ONCE] for at in range(0, len(self._topics), SUBSCRIBED_AT_ONCE)]
        self._unsubscribed = len(parts)
        for part in parts:
            client.subscribe([(topic, 1) for topic in part])

    def _subscribed(
        self,
        _client: paho.Client,
        _userdata: Any,  # noqa: ANN401 - paho's signature
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._gone.set()
            return
        self._unsubscribed -= 1
        if self._unsubscribed == 0:
            self.is_ready = True
            self._backoff.succeeded()
            self._on_ready()

    def _disconnected(
        self,
        _client: paho.Client,
        _userdata: Any,  # noqa: ANN401 - paho's signature
        _flags: paho.DisconnectFlags,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._gone.set()

    def _arrived(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ANN401
        self._on_message(message.topic, bytes(message.payload))
