"""The agent as a whole: real processes, a real broker, a real collector; beside ThingsBoard Gateway in the same run."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import plant, rig, thingsboard
from bench.harness import Row, Scale, main, say
from gateway.config import SpoolConfig
from wire import batch as wire_batch
from wire import confirm as wire_confirm

from servers import Influx1, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSES = 5
DEVICES = 125
INTERVAL_S = 10.0
"""125 meters with 16 readings in 10 s: 200 readings/s."""
MANY_BUSES, MANY_DEVICES = 200, 600
"""With 0.1 s they ask for 96,000 readings/s: more than can be had, so that the agent's core is the limit. Three devices
a bus are what its time allows at that interval (`messnetz gateway check`)."""
RUNS = STARTS = 3
FEW_DEVICES = 5
SEAL_INTERVAL_S = SpoolConfig().seal_interval_s


class Steady(NamedTuple):
    """What an agent took at a steady load."""

    memory_mb: float
    cpu_percent: float
    readings_per_s: float


@contextmanager
def servers(directory: Path) -> Iterator[tuple[Mosquitto, dict[str, object]]]:
    """Run the broker and the store: InfluxDB 1 where it is installed, else the embedded one."""
    with Mosquitto(directory / "mosquitto") as broker:
        if Influx1.missing():
            yield broker, {"embedded": {"path": str(directory / "store.sqlite")}}
        else:
            with Influx1(directory / "influxdb") as influx:
                yield broker, {"influx1": {"url": influx.url}}


def steady(directory: Path, seconds: float) -> Steady:
    """Measure memory and CPU at 200 readings/s, every setting at its default."""
    with servers(directory) as (broker, store), plant.running(BUSES) as ports:
        town = rig.Town(directory / "town", DEVICES, INTERVAL_S).write(ports, broker.port, broker.port, store)
        with rig.collector(town) as collector, rig.agent(town) as agent:
            rig.wait_for(lambda: rig.confirmed(town), agent, "the first confirm")
            return _watch(agent, collector, town, seconds)


def _watch(agent: rig.Measured, collector: rig.Measured, town: rig.Town, seconds: float) -> Steady:
    began_s, cpu_s, readings, memory = time.monotonic(), agent.cpu_s(), rig.confirmed(town), 0.0
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        time.sleep(min(1.0, seconds / 10))
        memory = max(memory, agent.memory_mb())
        collector.check()
    rate = (rig.confirmed(town) - readings) / elapsed_s
    return Steady(memory, 100 * (agent.cpu_s() - cpu_s) / elapsed_s, rate)


def most(directory: Path, seconds: float) -> tuple[float, float]:
    """Measure the most readings/s that one core reads, seals and gets confirmed; returns it and the CPU's percent."""
    with servers(directory) as (broker, store), plant.running(MANY_BUSES) as ports:
        settings = {"spool": {"seal_readings": 5000, "seal_interval_s": 1.0}, "uplink": {"window": 64}}
        town = rig.Town(directory / "town", MANY_DEVICES, 0.1)
        town.write(ports, broker.port, broker.port, store, **settings)
        with rig.collector(town, core=1) as collector, rig.agent(town, core=0) as agent:
            rig.wait_for(lambda: rig.confirmed(town), agent, "the first confirm")
            time.sleep(min(5.0, seconds / 2))
            found = _watch(agent, collector, town, seconds)
            return found.readings_per_s, found.cpu_percent


def start(directory: Path) -> float:
    """Measure the seconds from starting the agent to the first confirm on MQTT, as a service manager starts it."""
    with servers(directory) as (broker, store), plant.running(BUSES) as ports:
        town = rig.Town(directory / "town", DEVICES, INTERVAL_S).write(ports, broker.port, broker.port, store)
        seen: list[float] = []

        def note(_topic: str, payload: bytes) -> None:
            if b'"batches":[[' in payload:
                seen.append(time.monotonic())

        with rig.collector(town), rig.Listener(broker.port, "messnetz/+/confirm", note):
            time.sleep(2.0)  # the collector is not what is started
            times = []
            for _ in range(STARTS):
                seen.clear()
                with rig.agent(town) as agent:
                    rig.wait_for(lambda: seen, agent, "the first confirm")
                    times.append(seen[0] - agent.began_s)
            return sorted(times)[len(times) // 2]


def wire_bytes(directory: Path, seconds: float) -> tuple[float, float]:
    """Measure bytes a reading between agent and broker at 40 readings/s; returns both directions, and up alone."""
    with servers(directory) as (broker, store), plant.running(1) as ports, rig.relayed(broker.port) as relay:
        town = rig.Town(directory / "town", DEVICES // 5, INTERVAL_S).write(ports, relay.port, broker.port, store)
        with rig.collector(town), rig.agent(town) as agent:
            rig.wait_for(lambda: rig.confirmed(town), agent, "the first confirm")
            both, up, readings = relay.both, relay.up, rig.confirmed(town)
            time.sleep(seconds)
            before = rig.confirmed(town)
            rig.wait_for(lambda: rig.confirmed(town) > before, agent, "another confirm")
            readings = rig.confirmed(town) - readings
            return (relay.both - both) / readings, (relay.up - up) / readings


class Ages:
    """How old each reading was when its batch was confirmed, in seconds."""

    def __init__(self) -> None:
        self.ages_s: list[float] = []
        self._waiting: dict[int, list[int]] = {}

    def note(self, topic: str, payload: bytes) -> None:
        """Take a message: a batch's readings wait for their confirm."""
        now_ms = time.time_ns() / 1e6
        if topic.endswith("/batch"):
            header, packed = wire_batch.open_header(payload)
            samples = wire_batch.open_pack(header, packed)
            self._waiting[header.number] = [s.measured_at_ms for s in samples for _ in s.readings]
        elif topic.endswith("/confirm"):
            for first, last in wire_confirm.decode(payload).batches:
                for number in range(first, last + 1):
                    self.ages_s += [(now_ms - at_ms) / 1000 for at_ms in self._waiting.pop(number, [])]

    def p99(self) -> float:
        """Return the age that 99 of 100 readings do not exceed."""
        return sorted(self.ages_s)[len(self.ages_s) * 99 // 100]


def age(directory: Path, seconds: float) -> tuple[float, int]:
    """Measure the age of readings when they are stored, with default settings, in seconds.

    Few meters, so that the seal interval decides and not the number of readings. Returns the 99th centile, and of how
    many readings it is.
    """
    with servers(directory) as (broker, store), plant.running(1) as ports:
        town = rig.Town(directory / "town", FEW_DEVICES, INTERVAL_S).write(ports, broker.port, broker.port, store)
        ages, topic = Ages(), f"messnetz/{rig.GATEWAY}/#"  # a collector sends itself probes, which are no batches
        with rig.collector(town), rig.Listener(broker.port, topic, ages.note), rig.agent(town) as agent:
            time.sleep(seconds)
            rig.wait_for(lambda: ages.ages_s, agent, "the first confirm")
    return ages.p99(), len(ages.ages_s)


def measure(scale: Scale) -> list[Row]:
    """Measure every row of the agent, and the peer beside it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        say("agent: the peer, ThingsBoard Gateway")
        peer = thingsboard.measure_peer(directory / "peer", scale)
        say("agent: memory and CPU at 200 readings/s")
        calm = steady(directory / "steady", scale.seconds(90, 3))
        say("agent: most readings/s")
        runs = scale.count(RUNS, 1)
        rates = sorted(most(directory / f"most{number}", scale.seconds(15, 2)) for number in range(runs))
        rate, cpu = rates[runs // 2]
        say("agent: start to first confirm")
        first_s = start(directory / "start")
        say("agent: bytes a reading")
        both, up = wire_bytes(directory / "bytes", scale.seconds(120, 2))
        say("agent: age of a reading when it is stored")
        oldest_s, many = age(directory / "age", scale.seconds(130, 5))
    at = f"at {calm.readings_per_s:.0f} readings/s"
    return [
        Row(
            what="agent: memory at 200 readings/s over Modbus TCP",
            measured=calm.memory_mb,
            unit="MB",
            must=40,
            dream=32,
            peer=peer.memory_mb,
            note=at,
        ),
        Row(
            what="agent: CPU at that load",
            measured=calm.cpu_percent,
            unit="% of a core",
            must=5,
            dream=2,
            peer=peer.cpu_percent,
            note=at,
        ),
        Row(
            what="agent: readings/s, Modbus TCP, one core, sealed and confirmed",
            measured=rate,
            unit="readings/s",
            must=30_000,
            dream=60_000,
            better="more",
            peer=peer.most_readings_per_s,
            note=f"middle of {runs}; {cpu:.0f} % of the core, so {rate / max(cpu, 1) * 100:,.0f} a second of its CPU; "
            "peer: as configured by default, one request a tag",
        ),
        Row(
            what="agent: start to first reading confirmed",
            measured=first_s,
            unit="s",
            must=1.5,
            dream=0.7,
            peer=peer.start_s,
            note=f"middle of {STARTS}; peer: to its first telemetry, which nobody confirms",
        ),
        Row(
            what="agent: bytes a reading on the wire at 40 readings/s",
            measured=both,
            unit="B",
            must=7,
            dream=4,
            peer=peer.bytes_per_reading,
            note=f"MQTT, both directions; up alone {up:.1f}",
        ),
        Row(
            what="reading made to reading stored, p99, default settings",
            measured=oldest_s,
            unit="s",
            must=SEAL_INTERVAL_S + 1,
            dream=SEAL_INTERVAL_S + 0.2,
            note=f"seal interval {SEAL_INTERVAL_S:g} s; {many} readings",
        ),
        *([Row(what="ThingsBoard Gateway", measured=None, unit="", note=peer.missing)] if peer.missing else []),
    ]


if __name__ == "__main__":
    main(measure)
