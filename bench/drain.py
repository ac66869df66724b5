"""How fast a backlog of 72 h of a gateway with 25 devices drains, over a real mosquitto, while fresh data arrives.

Three rows: unthrottled to a collector that only confirms (what the gateway and the broker cost), unthrottled to a real
one with InfluxDB 1 or the embedded store (a part of the backlog, and what all of it would take), and what the default
rate makes of it. `python bench/drain.py --hours 72 --real-hours 4`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from unittest import mock

import msgspec

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "tests")]

from base.broker import MqttConfig
from base.mqtt import Connection, Handlers
from bench.path import START_MS, batch, town_registry
from gateway.config import SpoolConfig, UplinkConfig
from gateway.pace import SPREAD_S
from gateway.sealer import SpoolThread
from gateway.sender import Sender
from gateway.spool import Settled, Spool
from gateway.uplink import Uplink
from wire import batch as wire_batch
from wire import confirm as wire_confirm
from wire.confirm import Confirm
from wire.topics import Topics

from servers import Influx1, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wire.readings import Sample

GATEWAY = "gw"
HOST = "127.0.0.1"
READINGS_PER_S = 40
HOURS = 72
READY = "connected"
DISTINCT = 64
FIRST_FRESH = 1_000_000
SEALS_AT_ONCE = 200
SEAL_INTERVAL_S = 5.0
"""Of the fresh data; oftener than a gateway does, to have more of them to time."""
TOPICS = Topics("messnetz")


@dataclass(frozen=True)
class Drained:
    """What one drain showed."""

    readings: int
    seconds: float
    slowest_fresh_s: float
    resent_batches: int


def confirm_everything(port: int) -> None:
    """Confirm whatever comes, together what came together; the collector that does nothing else."""
    waiting: list[wire_batch.Header] = []
    news = threading.Event()

    def hear(_topic: str, payload: bytes, _retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
        waiting.append(wire_batch.open_header(payload)[0])
        news.set()

    handlers = Handlers(lambda: print(READY, flush=True), lambda _: None, hear)
    connection = Connection(MqttConfig(HOST, port), "quick", handlers, subscriptions=[TOPICS.of("+", "batch")])
    connection.start()
    while True:
        news.wait()
        news.clear()
        taken = [waiting.pop(0) for _ in range(len(waiting))]
        for stream in {header.stream for header in taken}:
            numbers = wire_confirm.ranges(header.number for header in taken if header.stream == stream)
            connection.publish(TOPICS.of(GATEWAY, "confirm"), wire_confirm.encode(Confirm(stream, 0, numbers)))


def backlog(hours: float, *, is_distinct: bool) -> Iterator[list[Sample]]:
    """Build the batches of so many hours, at most 500 readings each as the default is."""
    wanted, number = hours * 3600 * READINGS_PER_S, 0
    halves = [half for index in range(DISTINCT) for half in _parts(batch(index))]
    while wanted > 0:
        for half in _parts(batch(number)) if is_distinct else halves:
            yield half
            wanted -= sum(len(sample.readings) for sample in half)
            if wanted <= 0:
                return
        number += 1


def _parts(samples: list[Sample]) -> list[list[Sample]]:
    size = max(1, 500 // len(samples[0].readings))
    return [samples[at : at + size] for at in range(0, len(samples), size)]


def fill(path: Path, hours: float, *, is_distinct: bool) -> tuple[int, int]:
    """Seal a backlog; returns its batches and readings. Packs that are not distinct are compressed once."""
    packs: dict[int, bytes] = {}
    compress = wire_batch.compress

    def remember(samples: list[Sample]) -> bytes:
        if id(samples) not in packs:
            packs[id(samples)] = compress(samples)
        return packs[id(samples)]

    spool = Spool(path, keep_confirmed_ms=10**15)
    with mock.patch.object(wire_batch, "compress", compress if is_distinct else remember):
        together: list[list[Sample]] = []
        for number, samples in enumerate(backlog(hours, is_distinct=is_distinct)):
            together.append(samples)
            if len(together) == SEALS_AT_ONCE:
                spool.seal(together, Settled(), START_MS + number * 12_500)
                together = []
        if together:
            spool.seal(together, Settled(), START_MS + number * 12_500)
    totals = spool.totals()
    spool.close()
    return totals.sealed_batches, totals.sealed_readings


class Gateway:
    """The real uplink of a gateway, unthrottled, with its ears open."""

    def __init__(self, spool: SpoolThread, port: int, batches: int) -> None:
        self.spool = spool
        self.uplink = Uplink(window=UplinkConfig().window, timeout_s=UplinkConfig().confirm_timeout_s)
        self.wanted = batches
        self.fresh = 0
        self.fresh_is_confirmed = asyncio.Event()
        self.is_done = asyncio.Event()
        call = asyncio.get_running_loop().call_soon_threadsafe

        def connected() -> None:
            call(self.sender.connected)

        def disconnected(_reason: str) -> None:
            call(self.sender.disconnected)

        def message(_topic: str, payload: bytes, _retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
            call(self._hear, payload)

        self.connection = Connection(
            MqttConfig(HOST, port),
            GATEWAY,
            Handlers(connected, disconnected, message),
            subscriptions=[TOPICS.of(GATEWAY, "confirm")],
        )
        topic = TOPICS.of(GATEWAY, "batch")
        self.sender = Sender(spool, self.uplink, lambda payload: self.connection.publish(topic, payload))

    def _hear(self, payload: bytes) -> None:
        self.sender.confirmed(payload)
        if wire_confirm.members(wire_confirm.decode(payload).batches)(self.fresh):
            self.fresh_is_confirmed.set()
        if self.uplink.counters.confirmed_batches >= self.wanted:
            self.is_done.set()

    async def seal(self, samples: list[Sample]) -> None:
        """Seal a fresh batch, as the sealer does."""
        settled, now_ms = self.uplink.settled(), time.time_ns() // 1_000_000
        self.wanted += 1
        self.is_done.clear()
        self.fresh_is_confirmed.clear()
        (self.fresh,) = await self.spool.run(lambda spool: spool.seal([samples], settled, now_ms))
        self.uplink.marked(settled)
        self.sender.wake()


async def drain(path: Path, port: int, batches: int, readings: int) -> Drained:
    """Send it all, while fresh data is sealed."""
    spool = await SpoolThread.open(path, SpoolConfig())
    gateway = Gateway(spool, port, batches)
    sending = asyncio.create_task(gateway.sender.run())
    gateway.connection.start()
    begin_s, slowest_s, number = time.perf_counter(), 0.0, FIRST_FRESH
    while not gateway.is_done.is_set():
        samples = _parts(batch(number))[0]
        number += 1
        readings += sum(len(sample.readings) for sample in samples)
        await gateway.seal(samples)
        sealed_s = time.perf_counter()
        await gateway.fresh_is_confirmed.wait()
        slowest_s = max(slowest_s, time.perf_counter() - sealed_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEAL_INTERVAL_S):
                await gateway.is_done.wait()
    seconds = time.perf_counter() - begin_s
    sending.cancel()
    gateway.connection.stop()
    await spool.close()
    return Drained(readings, seconds, slowest_s, gateway.uplink.counters.resent_batches)


def _wait_until_ready(output: IO[bytes] | None) -> None:
    """Wait until a collector has said that it is connected; what it says later is passed over."""
    lines = iter(output or ())
    for line in lines:
        if READY in line.decode():
            threading.Thread(target=deque, args=(lines, 0), daemon=True).start()
            return


def drain_quickly(directory: Path, hours: float) -> Drained:
    """Drain to a collector that only confirms."""
    directory.mkdir()
    filled = fill(directory / "spool.sqlite", hours, is_distinct=False)
    with Mosquitto(directory / "mosquitto", settings=["set_tcp_nodelay true"]) as broker:
        command = [sys.executable, __file__, "--confirm-everything", str(broker.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as collector:
            try:
                _wait_until_ready(collector.stdout)
                return asyncio.run(drain(directory / "spool.sqlite", broker.port, *filled))
            finally:
                collector.kill()


def drain_really(directory: Path, hours: float) -> tuple[str, Drained]:
    """Drain to a real collector, with InfluxDB 1 where it is installed."""
    directory.mkdir()
    filled = fill(directory / "spool.sqlite", hours, is_distinct=True)
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(directory / "mosquitto"))
        store: dict[str, object] = {"embedded": {"path": "store.sqlite"}}
        if Influx1.missing() is None:
            influx = stack.enter_context(Influx1(directory / "influx"))
            store = {"influx1": {"url": influx.url, "database": "messnetz"}}
        (directory / "registry.yaml").write_bytes(msgspec.json.encode(town_registry().file))
        file = directory / "collector.yaml"
        mqtt = {"host": HOST, "port": broker.port}
        file.write_text(json.dumps({"collector": "c1", "mqtt": mqtt, "store": store}), encoding="utf-8")
        command = [sys.executable, "-m", "messnetz", "cloud", "run", str(file)]
        collector = subprocess.Popen(command, stderr=subprocess.PIPE)
        stack.callback(collector.wait)
        stack.callback(collector.kill)
        _wait_until_ready(collector.stderr)
        return next(iter(store)), asyncio.run(drain(directory / "spool.sqlite", broker.port, *filled))


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--hours", type=float, default=HOURS)
    options.add_argument("--real-hours", type=float, default=4)
    options.add_argument("--confirm-everything", type=int, metavar="PORT")
    asked = options.parse_args()
    if asked.confirm_everything:
        confirm_everything(asked.confirm_everything)
    with tempfile.TemporaryDirectory() as directory:
        quick = drain_quickly(Path(directory) / "quick", asked.hours)
        store, real = drain_really(Path(directory) / "real", asked.real_hours)
    all_readings = HOURS * 3600 * READINGS_PER_S
    rate = UplinkConfig().backlog_readings_per_s
    at_rate = all_readings / real.readings * real.seconds
    at_default_h = (all_readings / rate + SPREAD_S) / 3600
    rows = [
        (f"{asked.hours:g} h, unthrottled, a collector that only confirms, s", quick.seconds, "72 h: at most 60"),
        ("  readings/s", quick.readings / quick.seconds, ""),
        ("  slowest fresh batch, sealed to confirmed, s", quick.slowest_fresh_s, "at most 5"),
        ("  batches sent again", float(quick.resent_batches), ""),
        (f"{asked.real_hours:g} h, unthrottled, a collector with {store}, s", real.seconds, ""),
        ("  readings/s", real.readings / real.seconds, ""),
        ("  72 h at that rate, s", at_rate, ""),
        ("  slowest fresh batch, sealed to confirmed, s", real.slowest_fresh_s, "at most 5"),
        (f"72 h at the default rate ({rate:g} readings/s), computed, h", at_default_h, "at most 4"),
    ]
    for what, measured, target in rows:
        print(f"{what:66} {measured:12,.2f}   {target}")


if __name__ == "__main__":
    main()
