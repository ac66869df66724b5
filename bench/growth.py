"""What a town costs as it grows: its files checked, its registry built and loaded, a reading of each device routed.

Each step is timed at three sizes; its cost a device must not rise.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench import plant, rig
from bench.harness import Row, Scale, main, number, say
from cloud import registry, routing
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (1_000, 10_000, 100_000)
QUICK_SIZES = (50, 100, 200)
DEVICES_A_GATEWAY = 25
MOST_RATIO = 2.0
"""Noise; a step that is quadratic has 100."""


def write_town(directory: Path, devices: int) -> None:
    """Write a town of so many devices."""
    (directory / "gateways").mkdir(parents=True)
    (directory / "town.yaml").write_text("name: Bench\n")
    (directory / "sites.yaml").write_text("school: {name: School, sector: buildings}\n")
    for start in range(0, devices, DEVICES_A_GATEWAY):
        gateway = f"gw{start // DEVICES_A_GATEWAY}"
        entries = [
            {"id": f"device-{index:06}", "profile": plant.PROFILE, "site": "school", "unit": index - start + 1}
            for index in range(start, min(devices, start + DEVICES_A_GATEWAY))
        ]
        bus = {"id": "bus", "driver": "modbus", "tcp": "192.0.2.1", "devices": entries}
        content = {"gateway": gateway, "site": "school", "mqtt": {"host": rig.LOOPBACK}, "buses": [bus]}
        (directory / "gateways" / f"{gateway}.yaml").write_bytes(msgspec.json.encode(content))


def steps(directory: Path, devices: int) -> dict[str, float]:
    """Measure each step at one size; returns seconds a device."""
    write_town(directory, devices)
    file = directory / "registry.yaml"
    build = ("town", "registry", str(directory), "--output", str(file))
    loaded: list[registry.Registry] = []
    made: dict[str, Callable[[], object]] = {
        "town check": lambda: rig.run("town", "check", str(directory)),
        "town registry, the first": lambda: rig.run(*build, "--first"),
        "town registry, carried on": lambda: rig.run(*build),
        "registry loaded by a collector": lambda: loaded.append(registry.load(file)),
        "a sample of each device routed, the first": lambda: route_all(loaded[0], devices),
        "a sample of each device routed, again": lambda: route_all(loaded[0], devices),
    }
    return {name: _timed(step) / devices for name, step in made.items()}


def _timed(step: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    step()
    return time.perf_counter() - began_s


def route_all(known: registry.Registry, devices: int) -> None:
    """Route one sample of each device, gateway by gateway."""
    readings = tuple(Reading("voltage", 230.0, "V", f"L{phase}") for phase in (1, 2, 3))
    for start in range(0, devices, DEVICES_A_GATEWAY):
        end = min(devices, start + DEVICES_A_GATEWAY)
        samples = [Sample(f"device-{index:06}", 1_795_000_000_000, readings) for index in range(start, end)]
        points = routing.route(f"gw{start // DEVICES_A_GATEWAY}", 1, samples, known)
        assert len(points) == 3 * len(samples)


def measure(scale: Scale) -> list[Row]:
    """Measure every step at every size; the smallest run of a process is the price of starting it."""
    sizes = QUICK_SIZES if scale.quick else SIZES
    by_size = {}
    for size in sizes:
        say(f"growth: {size:,} devices")
        with tempfile.TemporaryDirectory() as name:
            by_size[size] = steps(Path(name) / "town", size)
    first, *_, last = sizes
    return [
        Row(
            what=f"growth: {step}, {last:,} devices beside {first:,}, a device",
            measured=by_size[last][step] / by_size[first][step],
            unit="times",
            must=MOST_RATIO,
            dream=1.0,
            note=", ".join(f"{size:,}: {number(by_size[size][step] * size)} s" for size in sizes),
        )
        for step in by_size[first]
    ]


if __name__ == "__main__":
    main(measure)
