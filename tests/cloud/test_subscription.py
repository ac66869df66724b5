"""A subscription is what it delivers, not what was granted."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from base.broker import MqttConfig
from cloud import subscription as subscriptions
from cloud.config import CollectorFile
from cloud.stores.config import EmbeddedConfig, StoreConfig
from cloud.subscription import PROBE, Heard, Subscription
from simulator import broker as brokers

from mqtt_doubles import Client, FakeBroker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cloud.inbox import Arrival

    from servers import Mosquitto

WAIT_S = 30.0
PUBLISH = 3
GROUP = "secret-of-the-group"
STORE = StoreConfig(embedded=EmbeddedConfig(path="x"))
CONFIG = CollectorFile(collector="c1", prefix="test", mqtt=MqttConfig("127.0.0.1"), store=STORE)


class Ears:
    """What a subscription heard."""

    def __init__(self) -> None:
        self.batches: list[Arrival] = []
        self.statuses: list[tuple[str, bytes]] = []

    def heard(self) -> Heard:
        """Handlers that keep it."""
        return Heard(self.batches.append, lambda gateway, payload: self.statuses.append((gateway, payload)))


@contextmanager
def _running(port: int, group: str | None, *, name: str = "c1", protocol: str = "auto") -> Iterator[Subscription]:
    mqtt = MqttConfig("127.0.0.1", port, protocol=protocol)  # type: ignore[arg-type] # one of three
    made = Subscription(msgspec.structs.replace(CONFIG, collector=name, mqtt=mqtt), group, Ears().heard())
    made.start()
    try:
        yield made
    finally:
        made.stop()


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def deaf(client: Client) -> None:
    """Grant everything, and deliver nothing."""
    client.accept()
    client.grant(1, 1)
    client.wait_until_gone()


def honest(client: Client) -> None:
    """Deliver the first probe back."""
    client.accept()
    client.grant(1, 1)
    body = client.read(PUBLISH)
    end = 2 + int.from_bytes(body[:2], "big")
    echo = body[:end] + body[end + 2 :]  # without the packet id, as QoS 0
    client.send(b"\x30" + bytes([len(echo)]) + echo)
    client.wait_until_gone()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe for a moment only."""
    monkeypatch.setattr(subscriptions, "PROBE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(subscriptions, "PROBE_INTERVAL_S", 0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("group", [None, GROUP], ids=["plain", "shared"])
def test_a_broker_that_grants_and_does_not_deliver_is_named_and_tried_again(
    group: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log and for /healthz, without the group's secret; the next connection proves itself."""
    said: list[str] = []
    with FakeBroker([deaf, honest]) as broker, _running(broker.port, group) as subscription:
        _until(lambda: subscription.failures)
        said.append(subscription.trouble)
        assert not subscription.is_proven
        _until(lambda: subscription.is_proven)
        assert subscription.trouble == ""
        assert subscription.failures == 0
    assert "test/+/batch and delivers nothing of it" in said[0]
    assert "delivers nothing of it" in caplog.text
    assert GROUP not in said[0] + caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("group", [None, GROUP], ids=["plain", "shared"])
def test_mosquitto_proves_itself(protocol: str, group: str | None, mosquitto: Mosquitto) -> None:
    """By both versions of MQTT, alone and shared."""
    with _running(mosquitto.port, group, name=f"proof-{bool(group)}".lower(), protocol=protocol) as subscription:
        _until(lambda: subscription.is_proven)


@pytest.mark.slow
def test_members_of_a_group_prove_themselves_beside_each_other(mosquitto: Mosquitto) -> None:
    """Each takes some of the others' probes, and each gets one of its own in the end."""
    with (
        _running(mosquitto.port, "trio", name="m1") as first,
        _running(mosquitto.port, "trio", name="m2") as second,
        _running(mosquitto.port, "trio", name="m3") as third,
    ):
        for member in (first, second, third):
            _until(lambda member=member: member.is_proven)  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
def test_an_access_list_that_withholds_in_silence_is_named(
    tmp_path: Path, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    """Mosquitto grants the subscription and keeps what the collector may not read."""
    rules = tmp_path / "acl"
    rules.write_text("topic write test/#\n")
    broker = make_mosquitto(settings=[f"acl_file {rules}"])
    with _running(broker.port, None) as subscription:
        _until(lambda: subscription.failures)
        assert "look at its access list" in subscription.trouble


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
def test_amqtt_is_proven_alone_and_named_where_it_is_to_share(tmp_path: Path) -> None:
    """It takes `$share/...` for a topic of that name."""

    def stories(port: int) -> None:
        with _running(port, None, protocol="3.1.1") as subscription:
            _until(lambda: subscription.is_proven)
        with _running(port, GROUP, protocol="3.1.1") as subscription:
            _until(lambda: subscription.failures or "refused" in subscription.trouble)

    async def story() -> None:
        async with brokers.serve("amqtt", tmp_path) as (_, port):
            await asyncio.to_thread(stories, port)

    asyncio.run(story())


def _message(subscription: Subscription, topic: str, payload: bytes) -> None:
    subscription._arrived(topic, payload, False)  # noqa: FBT003 - paho's signature


def test_only_its_own_probe_of_this_connection_proves_it() -> None:
    """Not another collector's, not one of the connection before, not one that somebody guessed."""
    ears = Ears()
    subscription = Subscription(CONFIG, None, ears.heard())
    subscription._connected()
    former = subscription._probe or b""
    subscription._disconnected("cut")
    subscription._connected()
    for probe in (former, PROBE, PROBE + b"0" * 32):
        _message(subscription, "test/c1/batch", probe)
        assert not subscription.is_proven
    _message(subscription, "test/c1/batch", subscription._probe or b"")
    assert subscription.is_proven
    assert ears.batches == []
    subscription._disconnected("cut")
    assert not subscription.is_proven
    assert subscription.trouble == "broker: cut"


def test_batches_and_statuses_find_their_way() -> None:
    """Each to whoever wants it."""
    ears = Ears()
    subscription = Subscription(CONFIG, None, ears.heard())
    _message(subscription, "test/gw/batch", b"{}\npack")
    _message(subscription, "test/gw/status", b"{}")
    assert [(arrival.gateway, arrival.payload) for arrival in ears.batches] == [("gw", b"{}\npack")]
    assert ears.statuses == [("gw", b"{}")]


def test_stopping_before_anything_came_is_quick() -> None:
    """No probe keeps a collector from ending."""
    with FakeBroker([deaf]) as broker, _running(broker.port, None):
        pass
    assert "probe" not in {thread.name for thread in threading.enumerate()}
