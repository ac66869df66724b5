"""How much a session with a broker holds in memory, without a broker."""

from __future__ import annotations

import pytest

from edge import mqtt_source
from edge.interface import Measured
from edge.mqtt_config import SourceBroker, SourceSession
from edge.mqtt_source import Message, MqttSource, Subscription
from wire.readings import Reading

SAID = ("hall", Measured((Reading("temp_air", 20.0, "Cel"),), 0.0))


def _message(number: int) -> Message:
    return Message("hall", b"%060d" % number, is_retained=False, arrived_s=0.0, token=None)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> MqttSource:
    """A session with room for one message and a half."""
    monkeypatch.setattr(mqtt_source, "MOST_HELD_BYTES", 90)
    session = SourceSession(SourceBroker("broker.example"), "gw-hall", 20)
    return MqttSource(session, [Subscription("hall", qos=0)], "bus hall")


def test_what_is_not_acknowledged_is_forgotten_when_it_was_taken(source: MqttSource) -> None:
    """A bus of QoS 0 hears for years, and holds no more than what nobody has taken yet."""
    for number in range(10):
        source.took(_message(number))
        assert [heard.device for heard in source.heard(source._queue.popleft(), [SAID])] == ["hall"]


def test_what_nobody_takes_is_passed_over(source: MqttSource, caplog: pytest.LogCaptureFixture) -> None:
    """Rather than to fill the memory; at QoS 0 it does not come again."""
    for number in range(2):
        source.took(_message(number))
    assert [message.payload[-1:] for message in source._queue] == [b"0"]
    assert "more than can be held" in caplog.text
    assert not source._left_to_the_broker
