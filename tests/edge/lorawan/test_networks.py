"""ChirpStack and The Things Stack: what their messages say, of whom, and what is told to them."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge
from base import strict_yaml
from base.errors import ConfigError, PermanentError, TransientError
from edge.drivers import plan_bus
from edge.interface import CountingBus
from edge.lorawan.broker import LorawanMqttBus, NetworkInterpreter
from edge.lorawan.chirpstack import events as chirpstack
from edge.lorawan.codec.codecs import shared
from edge.lorawan.ttn import events as ttn
from edge.mqtt_bus import MqttPlan
from edge.mqtt_source import Message
from wire.command import Downlink

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from edge.hearing import Said

    from servers import Mosquitto

READ = {"chirpstack": chirpstack.read, "ttn": ttn.read}
FOLDERS = sorted(folder for name in READ for folder in (Path(edge.__path__[0]) / "lorawan" / name / "cases").iterdir())
EUI = "a84041ffff1eb3c4"
FILE = f"""\
gateway: gw
buses:
  - id: town
    driver: chirpstack
    mqtt: {{host: 127.0.0.1}}
    devices:
      - {{id: hall, profile: elsys/elt-2, site: s, dev_eui: "{EUI}"}}
      - {{id: cellar, profile: elsys/elt-2, site: s, dev_eui: "A84041FFFF1EB3C5", network_decodes: true}}
"""
TOPIC = f"application/app-1/device/{EUI}/event/up"


def _given(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "input.json").read_text())
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.parent.name}-{folder.name}")
def test_case(folder: Path) -> None:
    """A message becomes exactly the expected uplink, nothing, or exactly the expected error."""
    given_ = _given(folder)
    read = READ[folder.parent.parent.name]
    expected, error = folder / "expected.json", folder / "error.txt"
    assert expected.exists() != error.exists(), "a case has either expected.json or error.txt"
    payload = given_["text"].encode() if "text" in given_ else json.dumps(given_["payload"]).encode()
    if error.exists():
        with pytest.raises(ValueError, match=rf"^{re.escape(error.read_text().strip())}$"):
            read(given_["topic"], payload)
        return
    event = read(given_["topic"], payload)
    wanted = json.loads(expected.read_text())
    if event is None:
        assert wanted is None
        return
    uplink = event.uplink._asdict()
    uplink["payload"], uplink["radio"] = event.uplink.payload.hex(), event.uplink.radio._asdict()
    assert {"uplink": uplink, "decoded": event.decoded, "address": list(event.address)} == wanted


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_a_case_says_why_it_is_there(folder: Path) -> None:
    """Who breaks it must learn what was promised."""
    assert len(_given(folder)["why"]) > 15


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, derandomize=True)
@given(st.sampled_from(FOLDERS), st.data())
def test_whatever_stands_in_a_message_it_is_an_uplink_or_an_error_in_words(folder: Path, data: st.DataObject) -> None:
    """Any value anywhere: no crash, no exception type but ours."""
    given_ = _given(folder)
    message = given_.get("payload")
    if not isinstance(message, dict):
        return
    inner, key = message, data.draw(st.sampled_from(sorted(message)))
    while isinstance(inner[key], dict) and inner[key] and data.draw(st.booleans()):
        inner = inner[key]
        key = data.draw(st.sampled_from(sorted(inner)))
    inner[key] = data.draw(JSON)
    _survives(folder.parent.parent.name, given_["topic"], json.dumps(message).encode())


@settings(max_examples=100, derandomize=True)
@given(st.sampled_from(sorted(READ)), st.text(max_size=40), st.binary(max_size=60))
def test_whatever_bytes_come_under_whatever_topic(network: str, topic: str, payload: bytes) -> None:
    """Likewise."""
    for each in (topic, TOPIC, "v3/a/devices/b/up"):
        _survives(network, each, payload)


def _survives(network: str, topic: str, payload: bytes) -> None:
    """Read it; a ValueError is the border's own word, any other fails the test."""
    try:
        event = READ[network](topic, payload)
    except ValueError as error:
        said = str(error)
    else:
        said = "nothing" if event is None else event.uplink.dev_eui
    assert said


def plan(text: str = FILE) -> MqttPlan:
    """Check the first bus of a gateway's file."""
    found = plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ("buses", 0))
    assert isinstance(found, MqttPlan)
    return found


def message(f_cnt: int, dev_eui: str = EUI, **more: object) -> Message:
    """An uplink event of ChirpStack."""
    event = _given(Path(edge.__path__[0]) / "lorawan" / "chirpstack" / "cases" / "two-gateways-heard-it")["payload"]
    event["deviceInfo"]["devEui"] = dev_eui
    event.update(fCnt=f_cnt, **more)
    return Message(TOPIC, json.dumps(event).encode(), is_retained=False, arrived_s=time.monotonic(), token=None)


def interpreter() -> NetworkInterpreter:
    """Of the plan's bus."""
    bus = plan()
    made = bus.make(bus, None)  # type: ignore[arg-type]
    assert isinstance(made, NetworkInterpreter)
    return made


async def closing(work: Coroutine[Any, Any, None]) -> None:
    """Do it, and end the codecs' worker."""
    try:
        await work
    finally:
        await shared().close()


def values(said: Sequence[Said]) -> list[dict[str, float]]:
    """The readings of samples, by name."""
    return [{r.name: r.value for r in each.measured.readings} for each in said if each.measured is not None]


@pytest.mark.slow
def test_an_uplink_is_decoded_by_our_own_codec_at_the_network_s_time() -> None:
    """Both agree on this message; the first of a run does not say how many were lost before it."""

    async def scene() -> None:
        ear = interpreter()
        (said,) = await ear.understand(message(7))
        assert said.measured is not None
        assert said.measured.at_ms == 1_659_537_463_384
        first = values([said])[0]
        assert (first["temp_air"], first["humidity"], first["rssi"]) == (22.6, 41.0, -52.0)
        assert "frames_lost" not in first
        again = await ear.understand(message(7))
        assert [(each.device, each.measured) for each in again] == [("hall", None)]
        assert values(await ear.understand(message(10, data="AQDj")))[0]["frames_lost"] == 2

    asyncio.run(closing(scene()))


@pytest.mark.slow
def test_where_the_entry_says_so_the_network_s_decode_counts() -> None:
    """For a device whose codec only the network has; where it decodes nothing, that is said."""

    async def scene() -> None:
        ear = interpreter()
        (said,) = await ear.understand(message(7, "a84041ffff1eb3c5", object={"temperature": 19.5}))
        assert values([said])[0]["temp_air"] == 19.5
        (said,) = await ear.understand(message(8, "a84041ffff1eb3c5", object=None, data="AQDj"))
        assert "decoded nothing" in said.garbled

    asyncio.run(closing(scene()))


@pytest.mark.slow
def test_duplicates_replays_and_resets_are_told_apart_and_counted() -> None:
    """As `messnetz gateway status` shows them."""

    async def scene() -> None:
        ear = interpreter()
        for f_cnt, payload in ((700, "AQDi"), (701, "AQDj"), (701, "AQDj"), (5, "AQDk"), (0, "AQDl"), (1, "AQDm")):
            await ear.understand(message(f_cnt, data=payload))
        await ear.understand(message(9, "0000000000000001"))
        await ear.understand(Message(TOPIC, b"{", is_retained=False, arrived_s=0.0, token=None))
        assert ear.counts == {
            "new": 4,
            "duplicates": 1,
            "replay": 1,
            "counter_reset": 1,
            "foreign": 1,
            "rubbish": 1,
        }

    asyncio.run(closing(scene()))


def test_strangers_and_retained_messages_say_nothing() -> None:
    """A network has more devices than the town; and a retained message is of any age."""

    async def scene() -> None:
        ear = interpreter()
        assert await ear.understand(message(7, "0000000000000001")) == []
        old = message(7)
        old.is_retained = True
        assert await ear.understand(old) == []
        assert await ear.understand(Message(TOPIC, b"\xff", is_retained=False, arrived_s=0.0, token=None)) == []

    asyncio.run(scene())


WRONG = [
    ('"A84041FFFF1EB3C5"', f'"{EUI.upper()}"', 8, "which 'hall' has"),
    ('"A84041FFFF1EB3C5"', '"A84041FFFF1EB3"', 8, "16 hexadecimal digits"),
    ('"A84041FFFF1EB3C5"', '"A8-40-41-FF-FF-1E-B3-C5"', 8, "16 hexadecimal digits"),
    ('"A84041FFFF1EB3C5"', "1234567890123456", 8, "a text in quotes"),
    ('"A84041FFFF1EB3C5"', '"0000000000000000"', 8, "nothing but zeros"),
    ('elsys/elt-2, site: s, dev_eui: "A8', 'eastron/sdm630, site: s, dev_eui: "A8', 8, "one of driver 'modbus'"),
    ("mqtt: {host: 127.0.0.1}", "mqtt: {host: 127.0.0.1}\n    applications: ['a/#']", 6, "an application"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "said"), WRONG)
def test_what_is_wrong_is_said_at_its_line(old: str, new: str, line: int, said: str) -> None:
    """A DevEUI is text, its own, and has 16 digits."""
    assert old in FILE
    with pytest.raises(ConfigError) as caught:
        plan(FILE.replace(old, new))
    assert caught.value.at.line == line
    assert said in str(caught.value)


def test_each_network_is_listened_to_where_it_publishes() -> None:
    """Topics as documented; applications where they are named."""
    named = FILE.replace("mqtt: {", "applications: [b, a]\n    mqtt: {")
    things = FILE.replace("chirpstack", "ttn").replace("mqtt: {", "application: town@ttn\n    mqtt: {")
    assert [tuple(topic) for topic in plan().topics] == [("application/+/device/+/event/up", 1)]
    assert [topic.filter for topic in plan(named).topics] == [f"application/{a}/device/+/event/up" for a in "ab"]
    assert [topic.filter for topic in plan(things).topics] == ["v3/town@ttn/devices/+/up"]


@pytest.mark.slow
def test_a_downlink_goes_to_the_network_s_queue(mosquitto: Mosquitto) -> None:
    """Under the names by which the device was last heard; not before it was heard, and not without a port."""
    text = FILE.replace("{host: 127.0.0.1}", f"{{host: 127.0.0.1, port: {mosquitto.port}}}")
    text = text.replace("mqtt:", f"client_id: {uuid.uuid4().hex}\n    mqtt:")
    command = Downlink(device="hall", payload="0102", port=6)

    async def scene() -> None:
        bus = plan(text).open()
        assert isinstance(bus, LorawanMqttBus)
        assert isinstance(bus, CountingBus)
        hearing = asyncio.ensure_future(bus.heard())
        with pytest.raises(TransientError, match="nothing was heard of it"):
            await bus.carry_out(command)
        async with asyncio.timeout(20):
            while bus.source.why:  # noqa: ASYNC110 - nobody says when a connection stands
                await asyncio.sleep(0.01)
            bus.source.publish(TOPIC, message(7).payload)
            heard = await hearing
            bus.source._queue.clear()
            told = await bus.carry_out(command)
        assert heard.device == "hall"
        assert told["topic"] == f"application/f8ca9f7e-8a73-4b0b-8a3d-2f0a4c6d5b11/device/{EUI}/command/down"
        with pytest.raises(PermanentError, match="wants a port"):
            await bus.carry_out(Downlink(device="hall", payload="0102"))
        await bus.close()

    asyncio.run(closing(scene()))


def test_downlinks_are_written_as_the_networks_read_them() -> None:
    """Topic and JSON as documented."""
    topic, body = chirpstack.downlink(("app", EUI), 6, b"\x01\x02", confirmed=True)
    assert topic == f"application/app/device/{EUI}/command/down"
    assert json.loads(body) == {"devEui": EUI, "confirmed": True, "fPort": 6, "data": "AQI="}
    topic, body = ttn.downlink(("town@ttn", "hall-3"), 6, b"\x01\x02", confirmed=False)
    assert topic == "v3/town@ttn/devices/hall-3/down/push"
    queued = {"f_port": 6, "frm_payload": "AQI=", "priority": "NORMAL", "confirmed": False}
    assert json.loads(body) == {"downlinks": [queued]}
