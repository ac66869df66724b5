"""The agent's connection to the broker: what it publishes there, and a change of broker while it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from base.mqtt import Connection, Handlers, Will
from wire.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import GatewayFile


class Receiver(Protocol):
    """Who hears of the connection; always on the event loop."""

    def connected(self) -> None:
        """The broker has accepted us."""

    def disconnected(self) -> None:
        """The connection is gone."""

    def confirmed(self, payload: bytes) -> None:
        """The collector has spoken."""

    def commanded(self, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - as Handlers.message has it
        """City IT has spoken, or somebody who wants to be taken for it."""


class Link:
    """The connection as it is configured now. Its `prepare` and `switch` must run on the event loop."""

    def __init__(self, receiver: Receiver, will: Callable[[], bytes]) -> None:
        """`will`: the status that the broker is to publish when we are gone."""
        self._receiver = receiver
        self._will = will
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._topics = Topics("")
        self._gateway = ""

    def prepare(self, file: GatewayFile, commands: str | None) -> Connection:
        """Make a connection that is not started yet; `commands`: the topic of commands, where they are taken.

        Raises: ConfigError naming the password or certificate file that is wrong.
        """
        topics = Topics(file.prefix)

        def tell(what: Callable[[], None]) -> None:
            if connection is self._connection:  # a former one's last words concern nobody
                what()

        def on_connected() -> None:
            self._loop.call_soon_threadsafe(tell, self._receiver.connected)

        def on_disconnected(_reason: str) -> None:
            self._loop.call_soon_threadsafe(tell, self._receiver.disconnected)

        def on_message(topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
            if topic == commands:
                self._loop.call_soon_threadsafe(tell, lambda: self._receiver.commanded(payload, retained))
            elif not retained:
                self._loop.call_soon_threadsafe(tell, lambda: self._receiver.confirmed(payload))

        connection = Connection(
            file.mqtt,
            client_id=file.gateway,
            handlers=Handlers(on_connected, on_disconnected, on_message),
            subscriptions=[topics.of(file.gateway, "confirm"), *filter(None, [commands])],
            will=self._will_on(topics, file.gateway),
        )
        return connection

    async def switch(self, connection: Connection, file: GatewayFile) -> None:
        """Say goodbye on the connection so far, where there is one, and start another."""
        if self._connection is not None:
            await self.stop()
            self._receiver.disconnected()
        self._connection, self._topics, self._gateway = connection, Topics(file.prefix), file.gateway
        connection.start()

    def publish_batch(self, payload: bytes) -> bool:
        """Hand a batch to the broker; False where that cannot be now."""
        connection = self._connection
        return connection is not None and connection.publish(self._topics.of(self._gateway, "batch"), payload)

    def publish_reply(self, topic: str, payload: bytes) -> bool:
        """Hand the reply to a command to the broker; False where that cannot be now."""
        connection = self._connection
        return connection is not None and connection.publish(topic, payload)

    def publish_status(self, payload: bytes) -> None:
        """Publish the retained status, where there is a connection.

        Its next connection's will tells what is in force now. That of the connection that stands was fixed when it was
        made: to keep up after a reload is not worth a disconnect.
        """
        if self._connection is not None:
            self._connection.renew_will(self._will_on(self._topics, self._gateway))
            self._connection.publish(self._topics.of(self._gateway, "status"), payload, retain=True)

    def _will_on(self, topics: Topics, gateway: str) -> Will:
        return Will(topics.of(gateway, "status"), self._will())

    def renew(self) -> None:
        """Connect anew: what the broker still holds for us, it forgets."""
        if self._connection is not None:
            self._connection.reconnect("it is made anew for a resend")

    async def stop(self) -> None:
        """Publish that we are gone, and disconnect. May take seconds; the loop goes on meanwhile."""
        connection = self._connection
        if connection is not None:
            self.publish_status(self._will())
            await self._loop.run_in_executor(None, connection.stop)
