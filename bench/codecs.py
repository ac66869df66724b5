"""LoRaWAN codecs: messages decoded a second by one worker process, what it holds, and how soon a loop is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

from bench.harness import Row, Scale, main
from edge.lorawan import half
from edge.lorawan import profile as profiles
from edge.lorawan.codec.codecs import Codecs
from edge.lorawan.codec.errors import CodecError
from edge.lorawan.uplink import Radio, Uplink

PROFILE = "elsys/ers-co2"
PAYLOAD = bytes.fromhex("0100e202290400270506060308070e10")
AT_ONCE = 500
DEVICES = 30
LOOP = "function decodeUplink() { for (;;) {} }"


async def rate(codecs: Codecs, count: int) -> float:
    """Decode so many messages of some devices; returns decodes a second, the pipe and both processes included."""
    source = half.source(profiles.load(PROFILE).lorawan.codec)
    begin = time.perf_counter()
    for _ in range(0, count, AT_ONCE):
        await asyncio.gather(
            *(codecs.decode(f"device{n % DEVICES}", source, 5, PAYLOAD, 1_700_000_000_000) for n in range(AT_ONCE))
        )
    return count / (time.perf_counter() - begin)


async def readings_rate(codecs: Codecs, count: int) -> float:
    """Make readings of so many uplinks; returns uplinks a second."""
    model = profiles.compile_model(profiles.load(PROFILE), {})
    uplinks = [
        Uplink(f"{n % DEVICES:016x}", 5, n, PAYLOAD, 1_700_000_000_000, Radio(-100, 5, 9)) for n in range(AT_ONCE)
    ]
    begin = time.perf_counter()
    for _ in range(0, count, AT_ONCE):
        await asyncio.gather(*(model.readings(uplink, codecs=codecs) for uplink in uplinks))
    return count / (time.perf_counter() - begin)


async def stopped_s(codecs: Codecs) -> tuple[float, float]:
    """Let a codec loop; returns the seconds until it is stopped, and the longest that the event loop stood still."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before - 0.005)

    ticking = asyncio.create_task(tick())
    begin = time.perf_counter()
    with contextlib.suppress(CodecError):
        await codecs.decode("loops", LOOP, 1, PAYLOAD, 0)
    took = time.perf_counter() - begin
    ticking.cancel()
    return took, longest


def cpu_s(pid: int) -> float:
    """Return the processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """Return the most memory that a process has held, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1000


async def _measure(scale: Scale) -> list[Row]:
    codecs = Codecs()
    try:
        count = scale.count(50_000, 1000)
        await rate(codecs, AT_ONCE)
        assert codecs.pid is not None
        begin_s, repeats = cpu_s(codecs.pid), scale.count(3, 1)
        decodes = max([await rate(codecs, count) for _ in range(repeats)])
        of_cpu = repeats * count / (cpu_s(codecs.pid) - begin_s)
        uplinks = await readings_rate(codecs, count)
        took, stood_still = await stopped_s(codecs)
        held = peak_mb(codecs.pid)
    finally:
        await codecs.close()
    note = f"{DEVICES} devices, a context each, {AT_ONCE} calls under way"
    return [
        Row(what="codecs: decodes a second", measured=decodes, unit="/s", must=10_000, better="more", note=note),
        Row(
            what="codecs: decodes a second of the worker's CPU",
            measured=of_cpu,
            unit="/s",
            must=10_000,
            better="more",
            note="what one core gives, where nobody else wants it",
        ),
        Row(what="codecs: uplinks to readings a second", measured=uplinks, unit="/s", better="more"),
        Row(what="codecs: memory of the worker", measured=held, unit="MB", must=30, note="at its greatest"),
        Row(what="codecs: until a loop is stopped", measured=took, unit="s", must=1),
        Row(what="codecs: the agent's loop stood still meanwhile", measured=stood_still, unit="s", note="longest"),
    ]


def measure(scale: Scale) -> list[Row]:
    """Measure the codecs."""
    return asyncio.run(_measure(scale))


if __name__ == "__main__":
    main(measure)
