"""JSON from a broker: what becomes a sample, what is thinned, what is passed over."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from base import strict_yaml
from edge.drivers import plan_bus
from edge.interface import CommandableBus, EventfulBus, NoAnswerError, ParkedError
from edge.mqtt_bus import MqttBus, MqttPlan
from edge.mqtt_json.interpreter import JsonInterpreter
from edge.mqtt_source import Message

if TYPE_CHECKING:
    from edge.hearing import Said

    from servers import Mosquitto

PATIENCE_S = 20.0
FILE = """\
gateway: gw
buses:
  - id: street
    driver: mqtt_json
    client_id: CLIENT
    mqtt: {host: 127.0.0.1, port: PORT}
    devices:
      - {id: plug, profile: tasmota/energy, site: s, parts: {name: CLIENT-plug}}
      - {id: roof, profile: opendtu/inverter, site: s, parts: {base: CLIENT, serial: "1"}}
      - {id: north, profile: generic/traffic-json, site: s, parts: {counter: north, topic: CLIENT/t}}
      - {id: south, profile: generic/traffic-json, site: s, parts: {counter: south, topic: CLIENT/t}}
"""


def plan(port: int = 1883, client: str = "c", *, without: str = "nothing") -> MqttPlan:
    """Check the bus."""
    text = "\n".join(line for line in FILE.splitlines() if f"id: {without}," not in line)
    document = strict_yaml.parse(text.replace("PORT", str(port)).replace("CLIENT", client).encode(), Path("gw.yaml"))
    found = plan_bus(document, ("buses", 0))
    assert isinstance(found, MqttPlan)
    return found


def counters(age_s: float = 0.0, **cars: int) -> bytes:
    """The message of counters, whose interval ended so long ago."""
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age_s))
    return json.dumps({"end": end, "counters": [{"id": k, "in": {"car": v}} for k, v in cars.items()]}).encode()


def understood(ear: JsonInterpreter, topic: str, payload: bytes, *, retained: bool = False) -> list[Said] | None:
    """What a message says."""
    message = Message(topic, payload, is_retained=retained, arrived_s=time.monotonic(), token=None)
    said = asyncio.run(ear.understand(message))
    return None if said is None else list(said)


def test_a_message_of_two_counters_is_a_sample_of_each() -> None:
    """Each takes its own; one that is not in it is neither there nor broken."""
    ear = JsonInterpreter(plan().devices)
    said = understood(ear, "c/t", counters(north=3, south=4)) or []
    assert [(s.device, s.measured.readings[0].value) for s in said if s.measured] == [("north", 3), ("south", 4)]
    alone = understood(ear, "c/t", counters(north=5)) or []
    assert [(s.device, s.measured is None, s.is_beside_the_point) for s in alone] == [
        ("north", False, False),
        ("south", True, True),
    ]


def test_a_number_alone_is_thinned() -> None:
    """Of an interval one sample is kept, made of all that came."""
    ear = JsonInterpreter(plan().devices)
    for power in (100, 200, 600):
        assert understood(ear, "c/1/0/power", str(power).encode()) == [("roof", None, "", False)]
    understood(ear, "c/1/0/yieldtotal", b"12.5")
    measured = ear.take("roof")
    assert measured is not None
    assert {r.name: r.value for r in measured.readings} == {"active_power": 300.0, "active_energy_export": 12.5}
    assert measured.at_ms is None
    assert ear.take("roof") is None
    assert ear.take("plug") is None


def test_a_retained_message_is_of_any_age() -> None:
    """It counts only where it says of itself that it is fresh."""
    ear = JsonInterpreter(plan().devices)
    assert understood(ear, "tele/c-plug/SENSOR", b'{"ENERGY":{"Power":9}}', retained=True) == []
    assert len(understood(ear, "tele/c-plug/SENSOR", b'{"ENERGY":{"Power":9}}') or []) == 1
    assert understood(ear, "c/t", counters(age_s=86_400, north=3), retained=True) == []
    assert [
        s.device for s in understood(ear, "c/t", counters(age_s=60, north=3), retained=True) or [] if s.measured
    ] == ["north"]


def test_what_cannot_be_read_names_its_device() -> None:
    """Counted there; a topic of nobody ends its subscription."""
    ear = JsonInterpreter(plan().devices)
    (said,) = understood(ear, "tele/c-plug/SENSOR", b"Online") or []
    assert (said.device, said.measured) == ("plug", None)
    assert "no JSON" in said.garbled
    assert understood(ear, "somewhere/else", b"1") is None


def test_a_reload_keeps_what_was_said_in_this_interval() -> None:
    """Of devices that did not change."""
    ear = JsonInterpreter(plan().devices)
    understood(ear, "c/1/0/power", b"100")
    ear.follow(plan(without="south").devices)
    measured = ear.take("roof")
    assert measured is not None
    assert measured.readings[0].value == 100
    assert len(understood(ear, "c/t", counters(north=3)) or []) == 1


@pytest.mark.slow
def test_an_open_bus_says_who_is_there(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples come by themselves, thinned ones when they are due; who is silent for too long does not answer."""
    client = uuid.uuid4().hex
    publisher = paho.Client(CallbackAPIVersion.VERSION2)
    publisher.connect("127.0.0.1", mosquitto.port)
    publisher.loop_start()

    async def scene() -> None:
        bus = plan(mosquitto.port, client).open()
        assert isinstance(bus, MqttBus)
        assert isinstance(bus, EventfulBus)
        assert not isinstance(bus, CommandableBus)
        hearing = asyncio.ensure_future(bus.heard())
        async with asyncio.timeout(PATIENCE_S):
            while bus.source.why:  # noqa: ASYNC110 - nobody says when a connection stands
                await asyncio.sleep(0.01)
            publisher.publish(f"{client}/1/0/power", "100", qos=0)
            publisher.publish(f"tele/{client}-plug/SENSOR", "Online", qos=0)
            publisher.publish(f"{client}/t", counters(north=3), qos=1)
            heard = await hearing
        assert (heard.device, heard.measured.readings[0].value) == ("north", 3)
        assert heard.sealed is not None
        assert (await bus.read("roof")).readings[0].value == 100
        with pytest.raises(ParkedError):
            await bus.read("roof")
        assert (bus.traffic("plug"), bus.traffic("north"), bus.traffic("south")) == ((1, 1), (1, 0), (1, 0))
        now_s = time.monotonic()
        monkeypatch.setattr("edge.hearing.time.monotonic", lambda: now_s + 86_400)
        for device, why in (("plug", "cannot be read: no JSON"), ("south", "nothing that the profile knows")):
            with pytest.raises(NoAnswerError, match=why):
                await bus.read(device)
        with pytest.raises(NoAnswerError, match="no message of device north for"):
            await bus.read("north")
        monkeypatch.undo()
        await bus.close()

    asyncio.run(scene())
    publisher.disconnect()
    publisher.loop_stop()


@pytest.mark.slow
def test_who_stops_waiting_loses_no_message(mosquitto: Mosquitto) -> None:
    """A reload hands an open bus from one poller to the next while a message is being understood."""
    client = uuid.uuid4().hex

    async def scene() -> None:
        bus = plan(mosquitto.port, client).open()
        first = asyncio.ensure_future(bus.heard())
        async with asyncio.timeout(PATIENCE_S):
            while bus.source.why:  # noqa: ASYNC110 - nobody says when a connection stands
                await asyncio.sleep(0.01)
            first.cancel()
            await asyncio.wait({first})
            bus.source.publish(f"{client}/t", counters(north=3))
            heard = await bus.heard()
        assert heard.device == "north"
        await bus.close()

    asyncio.run(scene())
