"""How fast the backlog of a gateway that was offline drains, through a real broker and collector, beside fresh data.

The backlog is sealed beforehand as the agent seals it; what sends it is the agent's own spool, uplink and sender. Fresh
batches are sealed meanwhile, oftener than a gateway does, and timed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from base.broker import MqttConfig
from base.mqtt import Connection, Handlers
from bench import agent, rig
from bench.harness import Row, Scale, main, say
from bench.path import PROFILE, reading, town_registry
from gateway.config import SpoolConfig, UplinkConfig
from gateway.sealer import SpoolThread
from gateway.sender import Sender
from gateway.spool import Settled, Spool
from gateway.uplink import Uplink
from wire import confirm as wire_confirm
from wire import profile
from wire.readings import Sample
from wire.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAY = "gw"
"""As the registry of `bench.path` has it, with 25 devices."""
DEVICES = 25
HOURS = 72
LARGE_HOURS = 4
"""Of a large gateway's 72: the rest takes as long, hour by hour."""
MOST_FRESH_S = 5
SEALS_AT_ONCE = 200
FRESH_EVERY_S = 1.0
TOPICS = Topics("messnetz")


@dataclass(frozen=True)
class Load:
    """What a gateway reads, and how much of it a batch holds."""

    what: str
    readings: int
    """Of one sample."""
    interval_s: float
    """Between two samples of one device."""
    samples: int
    """In one batch, by the default settings."""

    @property
    def readings_per_s(self) -> float:
        """Of all its devices."""
        return DEVICES * self.readings / self.interval_s

    def batches(self, begin_ms: int, end_ms: float) -> Iterator[list[Sample]]:
        """Make the batches of a stretch of time, with values that wander."""
        names = profile.load(PROFILE).readings[: self.readings]
        chance = random.Random(1)  # noqa: S311 - no secret
        step_ms = self.interval_s * 1000 / DEVICES
        for first in itertools.count(0, self.samples):
            if begin_ms + first * step_ms >= end_ms:
                return
            yield [
                Sample(
                    f"school-{number % DEVICES:02}-main",
                    round(begin_ms + number * step_ms),
                    tuple(reading(name, chance) for name in names),
                )
                for number in range(first, first + self.samples)
            ]


MEAN = Load("a town's mean gateway", readings=13, interval_s=250.0, samples=3)
"""1.3 readings/s, sealed every 30 s."""
LARGE = Load("a gateway with 40 readings/s", readings=16, interval_s=10.0, samples=32)
"""Sealed with every 500 readings."""


@dataclass(frozen=True)
class Drained:
    """What one drain showed."""

    readings: int
    seconds: float
    slowest_fresh_s: float
    resent_batches: int

    @property
    def note(self) -> str:
        """Say what else there is to know."""
        rate = self.readings / self.seconds
        return f"{self.readings:,} readings, {rate:,.0f} readings/s; {self.resent_batches} batches sent again"


def fill(path: Path, load: Load, hours: float) -> int:
    """Seal the backlog of the hours until now; returns its batches."""
    spool = Spool(path)
    now_ms = time.time_ns() // 1_000_000
    batches = load.batches(now_ms - round(hours * 3_600_000), now_ms)
    sealed = 0
    while together := list(itertools.islice(batches, SEALS_AT_ONCE)):
        spool.seal(together, Settled(), together[-1][-1].measured_at_ms)
        sealed += len(together)
    spool.close()
    return sealed


class Gateway:
    """The real uplink of a gateway, with its ears open."""

    def __init__(self, spool: SpoolThread, port: int, batches: int, readings_per_s: float) -> None:
        config = UplinkConfig()
        self.spool = spool
        self.uplink = Uplink(
            window=config.window, timeout_s=config.confirm_timeout_s, backlog_readings_per_s=readings_per_s
        )
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
            MqttConfig(rig.LOOPBACK, port),
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


async def send(path: Path, port: int, load: Load, batches: int, readings_per_s: float) -> Drained:
    """Send it all, while fresh data is sealed."""
    spool = await SpoolThread.open(path, SpoolConfig())
    gateway = Gateway(spool, port, batches, readings_per_s)
    sending = asyncio.create_task(gateway.sender.run())
    gateway.connection.start()
    begin_s, slowest_s, sealed = time.perf_counter(), 0.0, batches
    while not gateway.is_done.is_set():
        now_ms = time.time_ns() // 1_000_000
        await gateway.seal(next(load.batches(now_ms, now_ms + 1)))
        sealed += 1
        sealed_s = time.perf_counter()
        await gateway.fresh_is_confirmed.wait()
        slowest_s = max(slowest_s, time.perf_counter() - sealed_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FRESH_EVERY_S):
                await gateway.is_done.wait()
    seconds = time.perf_counter() - begin_s
    sending.cancel()
    gateway.connection.stop()
    await spool.close()
    return Drained(sealed * load.samples * load.readings, seconds, slowest_s, gateway.uplink.counters.resent_batches)


def drain(directory: Path, load: Load, hours: float, readings_per_s: float = 0.0) -> Drained:
    """Drain a backlog; with a rate of 0 as fast as the collector confirms."""
    directory.mkdir()
    batches = fill(directory / "spool.sqlite", load, hours)
    with agent.servers(directory) as (broker, store):
        town = rig.Town(directory / "town", 0, 10).write([], broker.port, broker.port, store)
        (town.directory / "registry.yaml").write_bytes(msgspec.json.encode(town_registry().file))
        with rig.collector(town) as collector:
            rig.wait_for(lambda: "connected" in collector.log.read_text(), collector, "the collector's connection")
            return asyncio.run(send(directory / "spool.sqlite", broker.port, load, batches, readings_per_s))


def measure(scale: Scale) -> list[Row]:
    """Measure both gateways."""
    hours, large_hours = (2.0, 0.05) if scale.quick else (float(HOURS), float(LARGE_HOURS))
    rate = UplinkConfig().backlog_readings_per_s
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        say("drain: a mean gateway, unthrottled")
        quick = drain(directory / "quick", MEAN, hours)
        say("drain: a mean gateway, at the default rate")
        slow = drain(directory / "slow", MEAN, hours, rate)
        say("drain: a large gateway, unthrottled")
        large = drain(directory / "large", LARGE, large_hours)
    whole = HOURS / large_hours
    return [
        Row(
            what=f"drain: {hours:g} h of {MEAN.what}, unthrottled",
            measured=quick.seconds,
            unit="s",
            must=60,
            note=quick.note,
        ),
        Row(
            what=f"drain: {hours:g} h of {MEAN.what}, at the default rate",
            measured=slow.seconds / 3600,
            unit="h",
            must=4,
            note=f"{rate:g} readings/s; {slow.note}",
        ),
        Row(
            what="drain: slowest fresh batch meanwhile, sealed to confirmed",
            measured=max(quick.slowest_fresh_s, slow.slowest_fresh_s, large.slowest_fresh_s),
            unit="s",
            must=MOST_FRESH_S,
        ),
        Row(
            what=f"drain: {HOURS} h of {LARGE.what}, unthrottled",
            measured=large.seconds * whole,
            unit="s",
            note=f"{large_hours:g} h measured: {large.note}",
        ),
        Row(
            what=f"drain: {HOURS} h of {LARGE.what}, at the default rate",
            measured=HOURS * LARGE.readings_per_s / rate,
            unit="h",
            must=4,
            note="computed: as fast as that rate lets it",
        ),
    ]


if __name__ == "__main__":
    main(measure)
