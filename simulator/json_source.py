"""Sources of JSON: a camera that publishes its counts to a broker, and a charging station that answers HTTP requests.

Written down apart from the profiles that read them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from simulator.devices import Poll, now_ms
from simulator.ports import ended
from simulator.servers import LOOPBACK, AnswersOnly, free_port
from simulator.stations import Speaker
from simulator.words import Row, WordModel, known, wave

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from paho.mqtt.reasoncodes import ReasonCode

    from simulator.faults import Wrong
    from simulator.kinds import Rig
    from simulator.servers import Bus
    from simulator.spec import Device

NOBODY_SUBSCRIBED = 16
PROBE_S = 0.2
REQUEST_S = 5.0
MAX_REQUEST_BYTES = 8192
ACKNOWLEDGE_S = 5.0


@dataclass(frozen=True)
class CameraModel(WordModel):
    """A camera: its words say when the interval ended."""

    def word(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "") -> bytes:
        """What it publishes at a Unix time in ms."""
        content = json.loads(super().word(device, at_ms, wrong, sector))
        end = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000)) + f".{at_ms % 1000:03d}Z"
        return json.dumps({"end": end, **content}).encode()


_CLASSES = {
    "count_vehicles/{}.car": "car",
    "count_vehicles/{}.truck": "truck",
    "count_bicycles/{}": "bicycle",
    "count_pedestrians/{}": "pedestrian",
    "speed_mean/{}": "speed_kmh",
}


def _counts(device: str, numbers: Mapping[str, int | None]) -> bytes:
    ways: dict[str, object] = {}
    for way in ("in", "out"):
        named = {key: numbers[name.format(way)] for name, key in _CLASSES.items()}
        ways[way] = {
            key: number / 10 if key == "speed_kmh" and number is not None else number for key, number in named.items()
        }
    return json.dumps({"counters": [{"id": device, **ways}]}).encode()


CAMERA = CameraModel(
    "generic/traffic-json",
    {
        f"{name.format(way)}": Row(wave(middle, middle / 2, 1800), 10 if "speed" in name else 1, 2000)
        for way in ("in", "out")
        for name, middle in zip(_CLASSES, (24, 4, 6, 8, 38), strict=True)
    },
    _counts,
)


def _status(_device: str, numbers: Mapping[str, int | None]) -> bytes:
    """What a go-e charger says (API v2): 16 numbers in `nrg`, energy in Wh."""
    power = numbers["active_power"]
    nrg: list[float | None] = [0] * 16
    for index, phase in enumerate(("L1", "L2", "L3")):
        nrg[index] = numbers[f"voltage/{phase}"]
        current = numbers[f"current/{phase}"]
        nrg[4 + index] = None if current is None else current / 10
    nrg[11] = power
    charging = numbers["charging"]
    car = None if charging is None else 2 if charging else 1
    return json.dumps({"car": car, "eto": numbers["active_energy_import"], "nrg": nrg}).encode()


CHARGER = WordModel(
    "go-e/charger",
    {
        "active_energy_import": Row(known("active_energy_import"), 1000, 2**53),
        "active_power": Row(wave(5500, 5000), 1, 22_000),
        **{f"voltage/{phase}": Row(known(f"voltage/{phase}"), 1, 400) for phase in ("L1", "L2", "L3")},
        **{f"current/{phase}": Row(wave(8, 7), 10, 320) for phase in ("L1", "L2", "L3")},
        "charging": Row(lambda _device, at_ms, _sector: float(at_ms // 60_000 % 2), 1, 1),
    },
    _status,
)


class HttpSite(AnswersOnly):
    """One device that answers GET requests; each is a poll."""

    def __init__(self, device: Device, model: WordModel, rig: Rig) -> None:
        self._device, self._model, self._rig = device, model, rig
        self._sector = rig.sectors[device.id]
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self.address = f"{LOOPBACK}:{self._port}"

    async def plug(self) -> None:
        """Let it answer."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port, limit=MAX_REQUEST_BYTES)

    async def unplug(self) -> None:
        """Take it off the network."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                await reader.readuntil(b"\r\n\r\n")
                await self._answer(writer)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        fault = self._rig.faults.of(self._device.id)
        kind = fault.kind if fault is not None else ""
        if kind in ("silent", "refuse", "garbage"):
            self._rig.journal.spoiled += 1
        if kind == "silent":
            await asyncio.sleep(REQUEST_S)
            return
        if kind == "refuse":
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        wrong, at_ms = fault.wrong if fault is not None else None, now_ms()
        body = self._model.word(self._device.id, at_ms, wrong, self._sector)
        if kind == "garbage":
            body = body[: len(body) // 2]
        else:
            readings = self._model.count(self._device.id, at_ms, wrong, self._sector)
            self._rig.journal.note(Poll(self._device.id, at_ms, wrong, is_certain=kind != "slow"), readings)
        if kind == "slow" and fault is not None:
            await asyncio.sleep(fault.delay_s)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)


class MqttSite:
    """Devices that publish to a broker of MQTT 5, each under a topic of its own, at QoS 1.

    They begin when somebody listens; from then on the broker keeps what they say.
    """

    def __init__(self, speakers: Sequence[Speaker], host: str, port: int) -> None:
        self.address = f"{host}:{port}"
        self._host, self._port, self._speakers = host, port, speakers
        self._client: paho.Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_hushed = False

    async def plug(self) -> None:
        """Switch the devices on."""
        if self._task is not None:
            return
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_async(self._host, self._port)
        client.loop_start()
        self._task = asyncio.create_task(self._work(client))

    async def unplug(self) -> None:
        """Switch them off."""
        task, self._task = self._task, None
        await ended(task)
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    async def hush(self) -> None:
        """Say nothing more."""
        self._is_hushed = True

    async def _work(self, client: paho.Client) -> None:
        async with asyncio.TaskGroup() as group:
            for speaker in self._speakers:
                topic = topic_of(speaker.device)
                while not await self._is_heard(client, topic):  # noqa: ASYNC110 - only the broker knows
                    await asyncio.sleep(PROBE_S)
                say = partial(_publish, client, topic)
                group.create_task(speaker.speak(say, lambda: not self._is_hushed))

    @staticmethod
    async def _is_heard(client: paho.Client, topic: str) -> bool:
        """Whether somebody is subscribed: a broker of MQTT 5 tells whoever publishes."""
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        reasons: dict[int, int] = {}

        def on_publish(_client: paho.Client, _data: object, mid: int, reason: ReasonCode, _more: object) -> None:
            reasons[mid] = reason.value
            loop.call_soon_threadsafe(told.set)

        client.on_publish = on_publish
        info = client.publish(topic, b"{}", qos=1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACKNOWLEDGE_S):
                while info.mid not in reasons:
                    await told.wait()
                    told.clear()
        return reasons.get(info.mid, NOBODY_SUBSCRIBED) != NOBODY_SUBSCRIBED


def _publish(client: paho.Client, topic: str, word: bytes) -> None:
    client.publish(topic, word, qos=1)


def topic_of(device: Device) -> str:
    """Under which topic a device publishes."""
    return f"town/{device.site}/{device.id}"


class Http:
    """A charging station on the network."""

    speaks = False

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:
        """Put one behind a free port."""
        del name
        (device,) = devices
        return HttpSite(device, _model_of(device), rig)

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name its address."""
        del lines
        return {"driver": "http_json", "url": f"http://{address or f'{name}.invalid'}", "timeout_s": 2.0}

    def entry(self, device: Device) -> dict[str, Any]:
        """Nothing: it is alone."""
        del device
        return {}


class Mqtt:
    """Cameras that publish to a broker which is there already."""

    speaks = True

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:
        """Let them publish."""
        del name
        return MqttSite([Speaker(device, _model_of(device), rig) for device in devices], self._host, self._port)

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name the broker."""
        del name, address, lines
        return {"driver": "mqtt_json", "mqtt": {"host": self._host, "port": self._port}}

    def entry(self, device: Device) -> dict[str, Any]:
        """Name the topic, and the camera in its messages."""
        return {"parts": {"topic": topic_of(device), "counter": device.id}}


def _model_of(device: Device) -> WordModel:
    if not isinstance(device.model, WordModel):
        raise TypeError(f"{device.id} says no words")
    return device.model


HTTP = Http()
