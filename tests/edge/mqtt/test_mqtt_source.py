"""The session with a town's own broker, against a real mosquitto."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from base.errors import TransientError
from edge import mqtt_source
from edge.interface import Measured
from edge.mqtt_config import SourceBroker, SourceSession
from edge.mqtt_source import Message, MqttSource, Subscription
from wire.readings import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Literal

    from servers import Mosquitto

HOST = "127.0.0.1"
PATIENCE_S = 60.0
SILENCE_S = 0.4
"""Long enough for a message on loopback; that none comes is never the only proof."""

pytestmark = pytest.mark.slow


class Publisher:
    """Somebody who publishes to the broker."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.connect(HOST, port)
        self._client.loop_start()

    def say(self, topic: str, *payloads: str, retain: bool = False, qos: int = 1) -> None:
        """Publish, and wait until the broker has it."""
        for info in [self._client.publish(topic, payload, qos=qos, retain=retain) for payload in payloads]:
            info.wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        """Hang up."""
        self._client.disconnect()
        self._client.loop_stop()


def session(
    broker: Mosquitto, name: str = "", protocol: Literal["auto", "5", "3.1.1"] = "auto", *, max_inflight: int = 20
) -> SourceSession:
    """A session of its own unless named."""
    return SourceSession(
        SourceBroker(host=HOST, port=broker.port, protocol=protocol), name or uuid.uuid4().hex, max_inflight
    )


async def connected(source: MqttSource, times: int = 1) -> None:
    """Wait until a source listens; what waits for it at the broker would be lost by this."""
    waiting = asyncio.ensure_future(source.next())
    async with asyncio.timeout(PATIENCE_S):
        while source.connections < times or source.why:  # noqa: ASYNC110 - nobody says when a connection stands
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait({waiting})


async def take(source: MqttSource, count: int) -> list[Message]:
    """Take so many messages."""
    async with asyncio.timeout(PATIENCE_S):
        return [await source.next() for _ in range(count)]


async def rest(source: MqttSource) -> list[str]:
    """Whatever else comes, as text."""
    found = []
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                found.append((await source.next()).payload.decode())
        except TimeoutError:
            return found


def texts(messages: Sequence[Message]) -> list[str]:
    """What messages say."""
    return [message.payload.decode() for message in messages]


def measured(value: float) -> Measured:
    """A sample with a time of its own."""
    return Measured((Reading("temp_air", value, "Cel"),), time.monotonic(), at_ms=1_800_000_000_000)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_was_not_acknowledged_comes_again_to_the_next_run(
    mosquitto: Mosquitto, protocol: Literal["5", "3.1.1"]
) -> None:
    """A message is the broker's until the source says that it is done with it; then it never comes again."""
    topic, name = uuid.uuid4().hex, uuid.uuid4().hex
    publisher = Publisher(mosquitto.port)

    async def first() -> None:
        source = MqttSource(session(mosquitto, name, protocol), [Subscription(topic)], "first")
        await connected(source)
        publisher.say(topic, "sealed", "pending")
        messages = await take(source, 2)
        source.done(messages[0])
        await source.close()

    async def second() -> list[str]:
        publisher.say(topic, "while away")
        source = MqttSource(session(mosquitto, name, protocol), [Subscription(topic)], "second")
        found = texts(await take(source, 2)) + await rest(source)
        await source.close()
        return found

    asyncio.run(first())
    assert asyncio.run(second()) == ["pending", "while away"]
    publisher.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_message_that_comes_again_in_one_run_is_not_said_twice(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path, protocol: Literal["5", "3.1.1"]
) -> None:
    """The broker restarts with its session on disk: what is pending is acknowledged on the new connection, silently."""
    kept = ("persistence true", f"persistence_location {tmp_path}/", "autosave_interval 1", "autosave_on_changes true")
    broker = make_mosquitto(settings=kept)
    name = uuid.uuid4().hex

    async def scene() -> tuple[list[str], int]:
        source = MqttSource(session(broker, name, protocol), [Subscription("t")], "scene")
        await connected(source)
        publisher = Publisher(broker.port)
        publisher.say("t", "sealed before", "sealed after", "never sealed")
        messages = await take(source, 3)
        publisher.close()
        broker.stop()
        while not source.why:  # noqa: ASYNC110 - nobody says when it notices
            await asyncio.sleep(0.01)
        source.done(messages[0])  # its acknowledgement has no connection to go by
        broker.start()
        await connected(source, 2)
        publisher = Publisher(broker.port)
        source.done(messages[1])
        publisher.say("t", "new")
        found = await rest(source)
        publisher.close()
        held = len(source._held)
        await source.close()
        return found, held

    found, held = asyncio.run(scene())
    assert found == ["new"]
    assert held == 2, "'never sealed' and 'new' are owed on the connection that stands"

    async def afterwards() -> list[str]:
        source = MqttSource(session(broker, name, protocol), [Subscription("t")], "afterwards")
        found = texts(await take(source, 2))
        await source.close()
        return found

    assert asyncio.run(afterwards()) == ["never sealed", "new"]


@pytest.mark.parametrize(("protocol", "limit"), [("5", 500), ("3.1.1", 20)])
def test_near_the_broker_s_limit_a_seal_is_urgent(
    mosquitto: Mosquitto, protocol: Literal["5", "3.1.1"], limit: int
) -> None:
    """Mosquitto stops after 20 unacknowledged messages (MQTT 5: as many as asked for); half of 20 is near enough."""
    topic = uuid.uuid4().hex
    publisher = Publisher(mosquitto.port)

    async def scene() -> tuple[list[bool], int]:
        source = MqttSource(session(mosquitto, protocol=protocol), [Subscription(topic)], "scene")
        await connected(source)
        urgent = []
        for number in range(12):  # one by one, as they come in a town
            publisher.say(topic, str(number))
            (message,) = await take(source, 1)
            (heard,) = source.heard(message, [("d", measured(number))])
            urgent.append(heard.is_urgent)
        publisher.say(topic, *(str(number) for number in range(600)))
        await rest(source)
        held = len(source._held)
        await source.close()
        return urgent, held

    urgent, held = asyncio.run(scene())
    assert urgent == [False] * 9 + [True] * 3
    assert held == limit
    publisher.close()


def test_the_last_sample_of_a_message_settles_it(mosquitto: Mosquitto) -> None:
    """Of several samples only the last one carries the hook; a message that says nothing is settled at once."""
    topic = uuid.uuid4().hex
    publisher = Publisher(mosquitto.port)

    async def scene() -> None:
        source = MqttSource(session(mosquitto), [Subscription(topic)], "scene")
        await connected(source)
        publisher.say(topic, "two", "nothing")
        two, nothing = await take(source, 2)
        heard = source.heard(two, [("a", measured(1)), ("b", measured(2))])
        assert source.heard(nothing, []) == []
        assert [each.device for each in heard] == ["a", "b"]
        assert heard[0].sealed is None
        assert list(source._held.values()) == [two]
        assert heard[1].sealed is not None
        heard[1].sealed()
        heard[1].sealed()  # twice is no error
        assert source._held == {}
        await source.close()

    asyncio.run(scene())
    publisher.close()


def test_qos_0_wants_no_acknowledgement(mosquitto: Mosquitto) -> None:
    """What has no time of its own comes at once or never: nothing waits for it, and no hook is needed."""
    topic = uuid.uuid4().hex
    publisher = Publisher(mosquitto.port)

    async def scene() -> None:
        source = MqttSource(session(mosquitto), [Subscription(topic, 0)], "scene")
        await connected(source)
        publisher.say(topic, "now")
        (message,) = await take(source, 1)
        (heard,) = source.heard(message, [("a", measured(1))])
        assert (heard.sealed, heard.is_urgent, source._held) == (None, False, {})
        await source.close()

    asyncio.run(scene())
    publisher.close()


def test_an_oversized_message_is_passed_over_and_forgotten(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs itself alone: it is acknowledged, so that it does not come again for ever."""
    monkeypatch.setattr(mqtt_source, "MAX_PAYLOAD_BYTES", 10)
    topic = uuid.uuid4().hex
    publisher = Publisher(mosquitto.port)

    async def scene() -> list[str]:
        source = MqttSource(session(mosquitto, protocol="3.1.1"), [Subscription(topic)], "scene")
        await connected(source)
        publisher.say(topic, *["x" * 11] * 30, "short")  # more than the broker sends unacknowledged
        found = texts(await take(source, 1))
        await source.close()
        return found

    assert asyncio.run(scene()) == ["short"]
    publisher.close()


def test_a_message_of_megabytes_stays_with_the_broker(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent never has it in memory, and what comes behind it comes."""
    came: list[int] = []
    took = MqttSource.took

    def counted(source: MqttSource, message: Message) -> None:
        came.append(len(message.payload))
        took(source, message)

    monkeypatch.setattr(MqttSource, "took", counted)
    topic = uuid.uuid4().hex
    publisher = Publisher(mosquitto.port)

    async def scene() -> list[str]:
        source = MqttSource(session(mosquitto, protocol="5"), [Subscription(topic)], "scene")
        await connected(source)
        publisher.say(topic, "x" * (10 << 20), "short")
        found = texts(await take(source, 1))
        await source.close()
        return found

    assert asyncio.run(scene()) == ["short"]
    assert came == [5]
    publisher.close()


def test_memory_is_bounded_and_nothing_is_lost_by_it(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is no room for is left to the broker, and comes when there is."""
    monkeypatch.setattr(mqtt_source, "MOST_HELD", 16)
    topic = uuid.uuid4().hex
    publisher = Publisher(mosquitto.port)

    async def scene() -> list[str]:
        source = MqttSource(session(mosquitto), [Subscription(topic)], "scene")
        await connected(source)
        publisher.say(topic, *(json.dumps(number) for number in range(30)))
        found: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < 30:
                message = await source.next()
                found.append(message.payload.decode())
                assert source._count() <= 16
                source.done(message)
        await source.close()
        return found

    assert sorted(asyncio.run(scene()), key=int) == [str(number) for number in range(30)]
    publisher.close()


def test_a_topic_that_nobody_wants_any_more_is_given_up(mosquitto: Mosquitto) -> None:
    """The session remembers the subscriptions of an earlier configuration; they end with their first message."""
    name, kept, gone = (uuid.uuid4().hex for _ in range(3))
    publisher = Publisher(mosquitto.port)

    async def scene() -> list[str]:
        source = MqttSource(session(mosquitto, name), [Subscription(kept), Subscription(gone)], "earlier")
        await connected(source)
        await source.close()
        source = MqttSource(session(mosquitto, name), [Subscription(kept)], "now")
        await connected(source)
        publisher.say(gone, "first")
        (message,) = await take(source, 1)
        source.unwanted(message)
        await asyncio.sleep(SILENCE_S)
        publisher.say(gone, "second")
        publisher.say(kept, "third")
        found = await rest(source)
        await source.close()
        return found

    assert asyncio.run(scene()) == ["third"]
    publisher.close()


def test_without_a_connection_nothing_can_be_published(tmp_path: Path) -> None:
    """A person reads why; a password that is not there yet is asked for again."""
    broker = SourceBroker(host=HOST, port=1, user="me", password_file=str(tmp_path / "password"))

    async def scene() -> None:
        source = MqttSource(SourceSession(broker, "x", 20), [Subscription("t")], "scene")
        waiting = asyncio.ensure_future(source.next())
        async with asyncio.timeout(PATIENCE_S):
            while "password" not in source.why:  # noqa: ASYNC110 - nobody says when it was tried
                await asyncio.sleep(0.01)
        with pytest.raises(TransientError, match="no readable file"):
            source.publish("t", b"")
        waiting.cancel()
        await asyncio.wait({waiting})
        await source.close()

    asyncio.run(scene())
