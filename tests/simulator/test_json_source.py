"""Simulated sources of JSON: what they say is what is measured, as another reads it."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from simulator.devices import Journal
from simulator.faults import Faults
from simulator.json_source import CAMERA, CHARGER, HTTP, Mqtt, topic_of
from simulator.kinds import Rig
from simulator.spec import Device

if TYPE_CHECKING:
    from servers import Mosquitto

AT_MS = 1_780_000_000_123
PATIENCE_S = 20.0
CAR = Device("car-park-1", CHARGER, "car-park", "charger")
EYE = Device("crossing-eye", CAMERA, "crossing", "street", interval_s=0.2)


def rig() -> Rig:
    """What the devices share."""
    return Rig(Journal(), Faults(1), {"car-park-1": "traffic", "crossing-eye": "traffic"}, Path(), 1.0)


def test_a_camera_says_the_truth_of_its_interval() -> None:
    """To the millisecond, and each number where its form has it."""
    said = json.loads(CAMERA.word("crossing-eye", AT_MS))
    assert said["end"] == "2026-05-28T20:26:40.123Z"
    (counter,) = said["counters"]
    assert counter["id"] == "crossing-eye"
    assert counter["in"]["car"] == CAMERA.truth("crossing-eye", "count_vehicles/in.car", AT_MS)
    assert counter["out"]["speed_kmh"] == CAMERA.truth("crossing-eye", "speed_mean/out", AT_MS)


async def ask(address: str) -> tuple[str, Any]:
    """Ask a station, as a program of somebody else would."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return head.split("\r\n")[0], body


def test_a_station_answers_with_what_it_noted() -> None:
    """Each answer is a poll in the journal; a spoilt one is none."""

    async def scene() -> None:
        shared = rig()
        station = HTTP.bus("charger", [CAR], shared)
        await station.plug()
        status, body = await ask(station.address)
        said, (poll,) = json.loads(body), shared.journal.polls
        assert status == "HTTP/1.1 200 OK"
        assert said["eto"] / 1000 == CHARGER.truth(CAR.id, "active_energy_import", poll.polled_at_ms, "traffic")
        assert said["nrg"][11] == CHARGER.truth(CAR.id, "active_power", poll.polled_at_ms, "traffic")
        assert shared.journal.readings == len(CHARGER.rows)
        shared.faults.set(CAR.id, "refuse")
        assert (await ask(station.address))[0].startswith("HTTP/1.1 503")
        shared.faults.set(CAR.id, "garbage")
        with pytest.raises(ValueError, match="."):  # noqa: RUF043 - json's own words
            json.loads((await ask(station.address))[1])
        shared.faults.set(CAR.id, "wrong", how="sentinel")
        assert json.loads((await ask(station.address))[1])["car"] is None
        assert (len(shared.journal.polls), shared.journal.spoiled) == (2, 2)
        await station.unplug()
        with pytest.raises(OSError, match="."):  # noqa: RUF043 - the system's own words
            await ask(station.address)

    asyncio.run(scene())


@pytest.mark.slow
def test_cameras_publish_when_somebody_listens(mosquitto: Mosquitto) -> None:
    """Nothing is in the journal that nobody could have heard; from then on each word is."""
    heard: list[dict[str, Any]] = []
    came = threading.Event()

    def take(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        content = json.loads(message.payload)
        if content:
            heard.append(content)
            came.set()

    async def scene() -> None:
        shared = rig()
        site = Mqtt("127.0.0.1", mosquitto.port).bus("street", [EYE], shared)
        await site.plug()
        await asyncio.sleep(0.7)
        assert shared.journal.polls == []
        listener = paho.Client(CallbackAPIVersion.VERSION2)
        listener.on_message = take
        listener.connect("127.0.0.1", mosquitto.port)
        listener.subscribe(topic_of(EYE), 1)
        listener.loop_start()
        assert await asyncio.to_thread(came.wait, PATIENCE_S)
        await site.hush()
        await site.unplug()
        listener.disconnect()
        listener.loop_stop()
        at_ms = shared.journal.polls[0].polled_at_ms
        assert heard[0]["end"].endswith(f"{at_ms % 1000:03d}Z")
        assert heard[0]["counters"][0]["in"]["car"] == CAMERA.truth(EYE.id, "count_vehicles/in.car", at_ms, "traffic")

    asyncio.run(scene())
