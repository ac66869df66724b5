"""The collector as a whole: pre-sealed batches of many gateways through a real broker into InfluxDB 1.

The feeder keeps a window of unconfirmed batches, as gateways do. The collector has one core for itself; feeder, broker
and database share the others, and may be the limit: so what a second of the collector's CPU does is said, too.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bench import plant, rig
from bench.harness import Row, Scale, main, say
from bench.path import batch
from wire import batch as wire_batch
from wire import confirm as wire_confirm

from servers import Influx1, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wire.readings import Sample

GATEWAYS = 50
WINDOW = 4
"""Batches of one gateway that are under way: 200 in all."""
SAMPLES = 32
"""Of 16 readings: what a default seal holds."""
STEP_MS = 1000
DEVICES_A_GATEWAY = 400
"""20,000 in all, and each of them sends."""
ALL_HAVE_SENT = GATEWAYS * (DEVICES_A_GATEWAY // SAMPLES + 2)
"""Batches; what it takes a database to make a series is no part of a sustained rate."""
STREAM = "0123456789abcdef"


class Load(NamedTuple):
    """What a collector did."""

    readings_per_s: float
    readings_per_cpu_s: float
    memory_mb: float
    shares: str
    """Which process took how much of a core."""


class Gone(NamedTuple):
    """What a collector held while its store was gone."""

    memory_mb: float
    grown_mb: float
    """In the second half of the time."""
    batches: int


class Feeder:
    """Many gateways in one client: each has its devices, its numbers and its window."""

    def __init__(self, port: int, batches: list[bytes]) -> None:
        self._batches = batches
        self._sent = [0] * GATEWAYS
        self._confirmed: list[set[int]] = [set() for _ in range(GATEWAYS)]
        self._turn = threading.Condition()
        self._listener = rig.Listener(port, "messnetz/+/confirm", self._take)

    @property
    def confirmed(self) -> int:
        """How many batches are confirmed."""
        return sum(map(len, self._confirmed))

    def _take(self, topic: str, payload: bytes) -> None:
        index = int(topic.split("/")[1].removeprefix("gw"))
        with self._turn:
            for first, last in wire_confirm.decode(payload).batches:
                self._confirmed[index].update(range(first, last + 1))
            self._turn.notify()

    def begin_again(self) -> None:
        """Send everything again while nothing is confirmed: the collector was not there yet."""
        if not self.confirmed:
            self._sent = [0] * GATEWAYS

    def feed(self, seconds: float) -> None:
        """Send for some seconds, or until there is no batch left."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            if not self._send_free():
                with self._turn:
                    self._turn.wait(0.05)

    def _send_free(self) -> bool:
        """Fill every window; returns whether anything was sent."""
        is_sent = False
        for index in range(GATEWAYS):
            while self._sent[index] - len(self._confirmed[index]) < WINDOW:
                self._sent[index] += 1
                number = self._sent[index]
                if number * GATEWAYS > len(self._batches):
                    raise rig.BenchError("the feeder has no more batches")
                packed = self._batches[(number - 1) * GATEWAYS + index]
                header = wire_batch.seal_header(STREAM, number, time.time_ns() // 1_000_000, packed)
                self._listener.publish(f"messnetz/gw{index}/batch", header + packed)
                is_sent = True
        return is_sent

    def close(self) -> None:
        """Hang up."""
        self._listener.__exit__()


def packs(count: int) -> list[bytes]:
    """Make packs, one gateway after the other; no two hold a reading of one device and time."""
    say(f"collector: sealing {count} batches beforehand")
    bodies = [batch(number)[:SAMPLES] for number in range(8)]
    now_ms = time.time_ns() // 1_000_000 - count * STEP_MS
    made = []
    for index in range(count):
        gateway, turn = index % GATEWAYS, index // GATEWAYS
        samples = _moved(bodies[index % 8], f"gw{gateway}", turn, now_ms + turn * SAMPLES * STEP_MS)
        made.append(wire_batch.compress(samples))
    return made


def _moved(samples: list[Sample], gateway: str, turn: int, at_ms: int) -> list[Sample]:
    """Let a batch be the next one of a gateway whose devices send in turn."""
    return [
        msgspec.structs.replace(
            sample,
            device=f"{gateway}-{(turn * SAMPLES + number) % DEVICES_A_GATEWAY:03}",
            measured_at_ms=at_ms + number * STEP_MS,
        )
        for number, sample in enumerate(samples)
    ]


def write_town(directory: Path, broker: int, store: dict[str, object]) -> rig.Town:
    """Write a town of many gateways; the agents are the feeder's part."""
    town = rig.Town(directory, 0, 10)
    town.write([], broker, broker, store)
    town.gateway.unlink()
    for index in range(GATEWAYS):
        devices = [
            {"id": f"gw{index}-{number:03}", "profile": plant.PROFILE, "site": "school", "unit": number % 200 + 1}
            for number in range(DEVICES_A_GATEWAY)
        ]
        buses = [
            {"id": f"bus{half}", "driver": "modbus", "tcp": f"192.0.2.{half + 1}", "devices": devices[half::2]}
            for half in range(2)
        ]
        content = {"gateway": f"gw{index}", "site": "school", "mqtt": {"host": rig.LOOPBACK}, "buses": buses}
        (directory / "gateways" / f"gw{index}.yaml").write_bytes(msgspec.json.encode(content))
    rig.run("town", "registry", str(directory), "--output", str(directory / "registry.yaml"), "--first")
    return town


@contextmanager
def apart() -> Iterator[None]:
    """Leave the first core to the collector: what is started from here on runs on the others."""
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:
        os.sched_setaffinity(0, cores - {0})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def sustained(directory: Path, scale: Scale) -> tuple[Load, Gone]:
    """Measure the collector at full load; then with the store gone."""
    batches = packs(scale.count(20_000, 4_000))
    with apart(), Mosquitto(directory / "mosquitto") as broker, Influx1(directory / "influxdb") as influx:
        town = write_town(directory / "town", broker.port, {"influx1": {"url": influx.url}})
        with rig.collector(town, core=0) as collector:
            feeder = Feeder(broker.port, batches)
            try:
                deadline_s = time.monotonic() + rig.WAIT_S
                while not feeder.confirmed:  # the collector may be late for the first ones
                    feeder.feed(0.5)
                    feeder.begin_again()
                    collector.check()
                    if time.monotonic() > deadline_s:
                        raise rig.BenchError(f"nothing is confirmed: {collector.log.read_text()[-2000:]}")
                while not scale.quick and feeder.confirmed < ALL_HAVE_SENT:
                    feeder.feed(0.5)
                    collector.check()
                feeder.feed(scale.seconds(2, 0.5))
                pids = {"collector": collector.process.pid, "database": influx.pid, "broker": broker.pid}
                pids["feeder"] = os.getpid()
                began_s, cpu_s, done = (
                    time.monotonic(),
                    {n: rig.cpu_s(pid) for n, pid in pids.items()},
                    feeder.confirmed,
                )
                feeder.feed(scale.seconds(20, 1))
                elapsed_s = time.monotonic() - began_s
                used_s = {name: rig.cpu_s(pid) - cpu_s[name] for name, pid in pids.items()}
                readings = (feeder.confirmed - done) * SAMPLES * plant.READINGS
                load = Load(
                    readings / elapsed_s,
                    readings / max(used_s["collector"], 0.01),
                    collector.peak_mb(),
                    ", ".join(f"{name} {100 * used / elapsed_s:.0f} %" for name, used in used_s.items()),
                )
                return load, _store_gone(collector, influx, broker.port, (batches, scale))
            finally:
                feeder.close()


def _store_gone(collector: rig.Measured, influx: Influx1, port: int, more: tuple[list[bytes], Scale]) -> Gone:
    """Push batches at a collector whose store hangs, as gateways do that hear nothing.

    What 50 gateways with a window of 4 send in an hour, each batch again every 15 s to 5 minutes, is some 5,000
    batches; this is many times as much. What it holds then must not grow any more.
    """
    batches, scale = more
    os.kill(influx.pid, signal.SIGSTOP)
    try:
        with rig.Listener(port, "messnetz/none", lambda _topic, _payload: None) as pusher:
            begin_s, whole_s = time.monotonic(), scale.seconds(120, 4)
            number = 1_000_000
            half_mb = 0.0
            while (elapsed_s := time.monotonic() - begin_s) < whole_s:
                if elapsed_s > whole_s / 2:
                    half_mb = half_mb or collector.peak_mb()
                for packed in batches[: GATEWAYS * 20]:
                    number += 1
                    header = wire_batch.seal_header(STREAM, number, time.time_ns() // 1_000_000, packed)
                    pusher.publish(f"messnetz/gw{number % GATEWAYS}/batch", header + packed)
                collector.check()
                time.sleep(0.3)
        peak_mb = collector.peak_mb()
        return Gone(peak_mb, peak_mb - half_mb, number - 1_000_000)
    finally:
        os.kill(influx.pid, signal.SIGCONT)


def measure(scale: Scale) -> list[Row]:
    """Measure every row of the collector."""
    missing = Influx1.missing() or Mosquitto.missing()
    if missing:
        return [Row(what="collector", measured=None, unit="", note=missing)]
    with tempfile.TemporaryDirectory() as name:
        load, gone = sustained(Path(name), scale)
    return [
        Row(
            what="collector: readings/s on one core into InfluxDB 1, sustained",
            measured=load.readings_per_s,
            unit="readings/s",
            must=120_000,
            dream=250_000,
            better="more",
            note=f"{load.readings_per_cpu_s:,.0f} a second of its CPU; of a core: {load.shares}",
        ),
        Row(
            what="collector: memory at that rate",
            measured=load.memory_mb,
            unit="MB",
            must=150,
            dream=100,
            note=f"{GATEWAYS * DEVICES_A_GATEWAY:,} devices, each of which has sent",
        ),
        Row(
            what="collector: memory with the store gone",
            measured=gone.memory_mb,
            unit="MB",
            must=150,
            dream=100,
            note=f"the database stopped, {gone.batches:,} batches pushed; second half: {gone.grown_mb:+.1f} MB",
        ),
    ]


if __name__ == "__main__":
    main(measure)
