"""Sources that publish, the agent as a real process, and whoever dies: counted to the last message."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from gateway.spool import Spool
from wire import batch as wire_batch

from chain import MESSNETZ, Messnetz

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MINUTE_MS = 60_000
CLASSES = ("car", "truck")
WAIT_S = 60.0


class Point(NamedTuple):
    """Where a reading falls in the store: twice there is once."""

    device: str
    name: str
    time_ms: int


class Counter:
    """A camera that publishes the counts of its intervals, each once, at QoS 1; and knows what it published."""

    def __init__(self, port: int, first_ms: int) -> None:
        self._port = port
        self._next_ms = first_ms
        self.truth: dict[Point, float] = {}

    def publish(self, count: int) -> None:
        """Publish so many intervals; returns when the broker has them."""
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self._port)
        client.loop_start()
        sent = []
        for _ in range(count):
            at_ms, self._next_ms = self._next_ms, self._next_ms + MINUTE_MS
            number = at_ms // MINUTE_MS % 97
            end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))
            way = {name: number + offset for offset, name in enumerate(CLASSES)}
            message = {"end": end, "counters": [{"id": "north", "in": way}]}
            for offset, name in enumerate(CLASSES):
                self.truth[Point("north", f"count_vehicles/in.{name}", at_ms)] = float(number + offset)
            sent.append(client.publish("town/crossing", json.dumps(message), qos=1))
        for info in sent:
            info.wait_for_publish(WAIT_S)
            assert info.is_published()
        client.disconnect()
        client.loop_stop()


class Agent(Messnetz):
    """An agent whose one bus listens to the broker."""

    def __init__(self, directory: Path, port: int, protocol: str, *, seal_interval_s: float) -> None:
        self.spool = directory / "spool.sqlite"
        file = directory / "gateway.yaml"
        super().__init__(directory, "gateway", file)
        broker = {"host": "127.0.0.1", "port": port}
        device = {"id": "north", "profile": "generic/traffic-json", "site": "crossing"}
        device["parts"] = {"counter": "north", "topic": "town/crossing"}  # type: ignore[assignment]
        bus = {"id": "street", "driver": "mqtt_json", "mqtt": {**broker, "protocol": protocol}, "devices": [device]}
        content = {
            "gateway": "gw",
            "clock": "trusted",
            "mqtt": broker,
            "spool": {"path": str(self.spool), "seal_interval_s": seal_interval_s, "floor_mb": 0},
            "socket": str(directory / "agent.sock"),
            "buses": [bus],
        }
        file.write_text(yaml.safe_dump(content))
        self._gateway_file = file

    def _is_ready(self) -> bool:
        return bool(self.status()["running"])

    def status(self) -> dict[str, object]:
        """What the agent says of itself."""
        command = [*MESSNETZ, "gateway", "status", str(self._gateway_file), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        answer: dict[str, object] = json.loads(done.stdout) if done.returncode == 0 else {"running": False}
        return answer

    def sealed(self) -> Iterator[tuple[Point, float]]:
        """Every reading of the counter that was sealed, as often as it was."""
        spool = Spool(self.spool, keep_confirmed_ms=2**62)
        try:
            batches = [spool.get(number) for number in range(1, spool.totals().sealed_batches + 1)]
        finally:
            spool.close()
        for batch in batches:
            assert batch is not None
            for sample in wire_batch.open_pack(*wire_batch.open_header(batch.payload())):
                for reading in sample.readings:
                    if reading.quantity == "count_vehicles":
                        yield Point(sample.device, reading.name, sample.measured_at_ms), reading.value


def _requests(agent: Agent) -> int:
    """How many messages the agent took."""
    requests: int = agent.status()["buses"][0]["devices"][0]["requests"]  # type: ignore[index]
    return requests


def _count(agent: Agent, truth: dict[Point, float]) -> None:
    """Count to the last reading: all are there, none other, and each means the same however often it was sealed."""
    sealed = list(agent.sealed())
    assert {point for point, _ in sealed} == truth.keys()
    assert all(truth[point] == value for point, value in sealed)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_every_message_survives_the_death_of_the_agent_before_the_seal(
    tmp_path: Path, make_mosquitto: Callable[..., Mosquitto], protocol: str
) -> None:
    """Killed with messages in its hands that are not sealed, it gets them again; the broker lost none of them."""
    broker = make_mosquitto()
    counter = Counter(broker.port, (time.time_ns() // 1_000_000 // MINUTE_MS - 600) * MINUTE_MS)
    agent = Agent(tmp_path / "agent", broker.port, protocol, seal_interval_s=3600.0)
    with agent:
        time.sleep(1.0)  # until it is subscribed: before its first time nothing waits for it
        counter.publish(7)  # fewer than what makes a seal urgent
        deadline_s = time.monotonic() + WAIT_S
        while _requests(agent) < 7:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        agent.kill()
        assert not list(agent.sealed()), "a test that kills too late shows nothing"
        counter.publish(4)
        agent.start()
        deadline_s = time.monotonic() + WAIT_S
        while _requests(agent) < 11:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        agent.stop()  # seals what it holds
    _count(agent, counter.truth)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_every_message_survives_deaths_at_any_moment(
    tmp_path: Path, make_mosquitto: Callable[..., Mosquitto], protocol: str
) -> None:
    """Agent and broker (its sessions on disk), at moments that nobody chose; MESSNETZ_CHAOS_SEED runs it again."""
    seed = int(os.environ.get("MESSNETZ_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"MESSNETZ_CHAOS_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
    chance = random.Random(seed)  # noqa: S311 - no secret
    kept = ("persistence true", f"persistence_location {tmp_path}/", "max_queued_messages 0")
    broker = make_mosquitto(settings=kept)
    counter = Counter(broker.port, (time.time_ns() // 1_000_000 // MINUTE_MS - 5000) * MINUTE_MS)
    agent = Agent(tmp_path / "agent", broker.port, protocol, seal_interval_s=0.3)
    with agent:
        time.sleep(1.0)
        for victim in chance.sample(["agent", "agent", "agent", "broker"], 4):
            for _ in range(chance.randrange(1, 4)):
                counter.publish(chance.randrange(1, 40))
                time.sleep(chance.uniform(0.0, 0.3))
            if victim == "agent":
                agent.kill()
                counter.publish(chance.randrange(0, 30))
                agent.start()
            else:
                broker.stop()  # kindly: killed, mosquitto would forget what it has not yet written
                time.sleep(chance.uniform(0.0, 1.0))
                broker.start()
        counter.publish(5)
        newest = max(point.time_ms for point in counter.truth)
        deadline_s = time.monotonic() + WAIT_S
        while True:
            agent.stop()
            if {point for point, _ in agent.sealed()} >= {p for p in counter.truth if p.time_ms == newest}:
                break
            assert time.monotonic() < deadline_s, agent.log()
            agent.start()
            time.sleep(2.0)
    _count(agent, counter.truth)
