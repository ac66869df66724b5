"""The demo's brokers come up, carry a message, and end."""

from __future__ import annotations

import asyncio
import queue
from typing import TYPE_CHECKING

import pytest

from base import mqtt
from base.broker import MqttConfig
from base.mqtt import Connection, Handlers, Will
from simulator import broker
from simulator.processes import DemoError

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 30.0


def echo(port: int, will: Will | None = None) -> bytes:
    """Send a message to ourselves, by the connection that agents and collectors use."""
    connected: queue.Queue[None] = queue.Queue()
    messages: queue.Queue[bytes] = queue.Queue()
    handlers = Handlers(
        connected=lambda: connected.put(None),
        disconnected=lambda _reason: None,
        message=lambda _topic, payload, _retained: messages.put(payload),
    )
    connection = Connection(MqttConfig("127.0.0.1", port), "echo", handlers, subscriptions=["echo/+"], will=will)
    connection.start()
    try:
        connected.get(timeout=DEADLINE_S)
        assert connection.publish("echo/a", b"hello")
        return messages.get(timeout=DEADLINE_S)
    finally:
        connection.stop()


@pytest.mark.slow
def test_a_broker_carries_messages_and_ends(kind: broker.Kind, tmp_path: Path) -> None:
    """On a free port of loopback, by MQTT as the town speaks it; SIGTERM ends it with 0."""

    async def story() -> None:
        async with broker.serve(kind, tmp_path) as (process, port):
            assert await asyncio.to_thread(echo, port) == b"hello"
            await process.stop(DEADLINE_S)

    asyncio.run(story())


@pytest.mark.slow
def test_auto_finds_the_version_of_amqtt_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing at all to an MQTT 5 CONNECT with a Last Will, as every agent sends it."""
    monkeypatch.setattr(mqtt, "CONNECT_TIMEOUT_S", 10 * DEADLINE_S)  # waiting it out is no way

    async def story() -> None:
        async with broker.serve("amqtt", tmp_path) as (_, port):
            assert await asyncio.to_thread(echo, port, Will("will", b"gone")) == b"hello"

    asyncio.run(story())


@pytest.mark.slow
def test_a_broker_that_does_not_come_up_is_named_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few tries, for its port may have been taken."""
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho no room\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(broker, "find_mosquitto", lambda: str(program))

    async def story() -> None:
        async with broker.serve("mosquitto", tmp_path):
            pass

    with pytest.raises(DemoError, match=r"does not come up\n    no room\n    no room\n    no room"):
        asyncio.run(story())


def test_mosquitto_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what towns run."""
    monkeypatch.setattr(broker, "find_mosquitto", lambda: "/usr/sbin/mosquitto")
    assert [broker.choose(None), broker.choose("amqtt")] == ["mosquitto", "amqtt"]


def test_without_mosquitto_amqtt_is_taken_and_a_wish_for_mosquitto_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it."""
    monkeypatch.setattr(broker, "find_mosquitto", lambda: None)
    assert broker.choose(None) == "amqtt"
    with pytest.raises(DemoError, match="apt install mosquitto"):
        broker.choose("mosquitto")
