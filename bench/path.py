"""One core's worth of the path of a reading: how small on the wire, how fast through the collector and the spool.

Parts by themselves, without sockets: where to look when a whole is slow.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from bench.harness import Row, Scale, main
from cloud import registry, routing
from cloud.registry_file import RegistryEntry, RegistryFile
from cloud.stores.line_protocol import encode
from edge.modbus import profile as profiles
from edge.plausibility import rules as rules_of
from edge.plausibility.judge import Judge
from gateway.spool import Settled, Spool
from wire import batch as wire_batch
from wire import profile
from wire.readings import Reading, Sample
from wire.town import Site
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Callable

PROFILE = "eastron/sdm630"
DEVICES = 25
INTERVAL_S = 10
START_MS = 1_795_000_000_000
SECONDS = 2.0


def batch(number: int) -> list[Sample]:
    """Build what a gateway with 25 meters seals by default in 30 s at 40 readings/s: values that wander."""
    names = profile.load(PROFILE).readings
    chance = random.Random(number)  # noqa: S311 - no secret
    samples = []
    for tick in range(3):
        for device in range(DEVICES):
            at_ms = START_MS + (number * 3 + tick) * INTERVAL_S * 1000 + device * 400 + chance.randrange(5)
            samples.append(Sample(f"school-{device:02}-main", at_ms, tuple(reading(name, chance) for name in names)))
    return samples


def reading(name: str, chance: random.Random) -> Reading:
    """Make a reading of the profile, with a value near the usual one."""
    quantity, _, channel = name.partition("/")
    value = {"voltage": 230, "frequency": 50, "power_factor": 0.9}.get(quantity, 1234)
    share = 0.005 if quantity == "frequency" else 0.03
    return Reading(
        quantity, float(f"{value * chance.uniform(1 - share, 1 + share):.5g}"), quantities()[quantity].unit, channel
    )


def town_registry() -> registry.Registry:
    """Build the registry that these batches need."""
    entries = [
        RegistryEntry(
            device=f"school-{device:02}-main",
            gateway="gw",
            profile=PROFILE,
            site="school",
            sector="buildings",
            interval_s=INTERVAL_S,
        )
        for device in range(DEVICES)
    ]
    sites = {"school": Site(name="School", sector="buildings")}
    return registry.Registry(RegistryFile(format=1, town="bench", sites=sites, entries=entries))


def rate(call: Callable[[int], int], seconds: float) -> float:
    """Call again and again for some seconds; returns readings/s of what the calls say they did."""
    done = rounds = 0
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        done += call(rounds)
        rounds += 1
    return done / elapsed


def judging(seconds: float) -> float:
    """Measure what it costs to judge what a sound meter says; returns readings a second of CPU."""
    rules = rules_of.of_profile(profiles.load(PROFILE), {}, profiles.load(PROFILE).encodings({}))
    judge, spent_s = Judge("school-main", rules, INTERVAL_S, ()), 0.0
    said = [sample.readings for number in range(20) for sample in batch(number)]
    index = done = 0
    while spent_s < seconds / 4:
        energy = 1e4 + index / 100
        readings = tuple(
            structs.replace(reading, value=energy) if "energy" in reading.quantity else reading
            for reading in said[index % len(said)]
        )
        begin_s = time.process_time()
        judge.judged(readings, index * INTERVAL_S)
        spent_s += time.process_time() - begin_s
        done += len(readings)
        index += 1
    assert not judge.suspicions()
    return done / spent_s


def measure(scale: Scale) -> list[Row]:
    """Measure each part by itself."""
    seconds = scale.seconds(SECONDS, 0.05)
    samples = [batch(number) for number in range(4)]
    readings = sum(len(sample.readings) for sample in samples[0])
    payloads = []
    for number, batch_samples in enumerate(samples, 1):
        packed = wire_batch.compress(batch_samples)
        payloads.append(wire_batch.seal_header("0123456789abcdef", number, START_MS, packed) + packed)
    topic_and_header = 2 + 3 + len("messnetz/gw/batch") + 2
    per_reading = sum(len(p) + topic_and_header for p in payloads) / (readings * len(payloads))
    known = town_registry()

    def collect(index: int) -> int:
        header, packed = wire_batch.open_header(payloads[index % len(payloads)])
        encode(routing.route("gw", header.number, wire_batch.open_pack(header, packed), known))
        return readings

    def pack(index: int) -> int:
        wire_batch.compress(samples[index % len(samples)])
        return readings

    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool.sqlite", keep_confirmed_ms=10**12)

        def seal(index: int) -> int:
            spool.seal([samples[index % len(samples)]], Settled(), START_MS)
            return readings

        rows = [
            Row(what="path: bytes a reading in a batch of 75 samples", measured=per_reading, unit="B"),
            Row(what="path: batch to line protocol", measured=rate(collect, seconds), unit="readings/s", better="more"),
            Row(
                what="path: readings judged",
                measured=judging(seconds),
                unit="readings/CPU s",
                must=660_000,
                better="more",
            ),
            Row(what="path: samples to pack", measured=rate(pack, seconds), unit="readings/s", better="more"),
            Row(what="path: samples to disk", measured=rate(seal, seconds), unit="readings/s", better="more"),
        ]
        spool.close()
    return rows


if __name__ == "__main__":
    main(measure)
