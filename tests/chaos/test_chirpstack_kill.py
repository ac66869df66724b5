"""kill -9 of an agent that hears a ChirpStack: what its broker was not acknowledged comes again, and counts once."""

from __future__ import annotations

import base64
import json
import os
import random
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from gateway import status
from gateway.spool import Spool
from simulator.devices import now_ms
from wire import batch as wire_batch

from chain import Messnetz
from servers import HOST, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from servers import Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EUI = "a84041ffff1eb3c4"
MESSAGES = 40
WAIT_S = 60.0
APART_MS = 10
"""More than the agent's clock ticks: which of two values is the latest is a question of time."""


def _gateway(directory: Path, port: int) -> Path:
    device = {"id": "hall", "profile": "elsys/ers", "site": "s", "dev_eui": EUI}
    bus = {"id": "town", "driver": "chirpstack", "mqtt": {"host": HOST, "port": port}, "client_id": uuid.uuid4().hex}
    content = {
        "gateway": "gw",
        "clock": "trusted",
        "mqtt": {"host": HOST, "port": free_port()},  # nobody is there: what counts is on the disk
        "spool": {"path": str(directory / "spool.sqlite"), "seal_interval_s": 0.2, "floor_mb": 0},
        "socket": str(directory / "agent.sock"),
        "buses": [{**bus, "devices": [device]}],
    }
    file = directory / "gw.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def _event(number: int, at_ms: int) -> bytes:
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000)) + f".{at_ms % 1000:03}Z"
    data = base64.b64encode(b"\x01" + number.to_bytes(2, "big")).decode()
    return json.dumps({"deviceInfo": {"devEui": EUI}, "fCnt": number, "fPort": 5, "data": data, "time": at}).encode()


def _meet(network: paho.Client, topic: str, socket: Path, at_ms: int) -> None:
    """Say the first message again and again, until the agent's session stands: no broker keeps what comes before it."""
    for _ in range(100):
        network.publish(topic, _event(100, at_ms), qos=1).wait_for_publish(WAIT_S)
        said: Any = status.ask(socket)
        if said is not None and said["buses"][0]["counts"].get("new"):
            return
        time.sleep(0.1)
    pytest.fail("the agent does not hear its broker")


def _wait_for(socket: Path, tenths: int) -> None:
    """Wait until a temperature is the last that was heard."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        said: Any = status.ask(socket, latest=True)
        latest = said["buses"][0]["devices"][0].get("latest", ()) if said else ()
        if any(each["name"] == "temp_air" and round(each["value"] * 10) == tenths for each in latest):
            return
        time.sleep(0.1)
    pytest.fail(f"{tenths} tenths of a degree were not heard")


def _sealed(spool_file: Path) -> Counter[tuple[int, int]]:
    """Return how often each temperature was sealed (time in ms, tenths of a degree)."""
    spool = Spool(spool_file, keep_confirmed_ms=2**62)
    found: Counter[tuple[int, int]] = Counter()
    try:
        for number in range(1, spool.totals().sealed_batches + 1):
            batch = spool.get(number)
            assert batch is not None
            for sample in wire_batch.open_pack(*wire_batch.open_header(batch.payload())):
                found.update(
                    (sample.measured_at_ms, round(each.value * 10))
                    for each in sample.readings
                    if each.quantity == "temp_air"
                )
    finally:
        spool.close()
    return found


def test_no_uplink_is_lost_and_none_is_another_point(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Whenever the agent dies: what was sealed and not acknowledged comes again, as the same reading at its time."""
    seed = int(os.environ.get("MESSNETZ_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"MESSNETZ_CHAOS_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
    chance = random.Random(seed)  # noqa: S311 - no secret
    agent = Messnetz(tmp_path / "agent", "gateway", _gateway(tmp_path, mosquitto.port), tmp_path / "agent.sock")
    topic = f"application/{uuid.uuid4().hex}/device/{EUI}/event/up"
    network = paho.Client(CallbackAPIVersion.VERSION2)
    network.connect(HOST, mosquitto.port)
    network.loop_start()
    begin_ms = now_ms()
    sent = {(begin_ms + APART_MS * number, 100 + number) for number in range(1, MESSAGES + 1)}
    agent.start()
    try:
        _meet(network, topic, tmp_path / "agent.sock", begin_ms)
        for at_ms, tenths in sorted(sent):
            network.publish(topic, _event(tenths, at_ms), qos=1).wait_for_publish(WAIT_S)
            time.sleep(chance.uniform(0.0, 0.3))  # the moment is what is tried here
            if tenths % 8 == 0:
                agent.kill()
                agent.start()
        _wait_for(tmp_path / "agent.sock", 100 + MESSAGES)
    finally:
        agent.stop()
        network.loop_stop()
    assert _sealed(tmp_path / "spool.sqlite").keys() == sent | {(begin_ms, 100)}
