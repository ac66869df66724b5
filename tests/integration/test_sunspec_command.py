"""`messnetz device` on SunSpec devices that pymodbus serves, with maps that pysunspec2 encoded."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import sunspec_maps as maps

from simulator import servers

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def _device(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "messnetz", "device", *command], capture_output=True, text=True, check=False, timeout=60
    )


def _read(server: maps.Server, profile: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run `messnetz device read` while the server answers."""
    servers.quiet()

    async def run() -> subprocess.CompletedProcess[str]:
        async with server.serve() as port:
            command = ("read", profile, "--tcp", f"127.0.0.1:{port}", *more)
            return await asyncio.to_thread(_device, *command)

    return asyncio.run(run())


DEVICES = [
    ("sunspec/meter", 203, maps.METER, maps.METER_READINGS),
    ("sunspec/meter", 213, maps.FLOAT_METER, maps.FLOAT_METER_READINGS),
    ("sunspec/inverter", 103, maps.INVERTER, maps.INVERTER_READINGS),
]


@pytest.mark.parametrize("base", [40000, 50000, 0])
@pytest.mark.parametrize(("profile", "model", "values", "readings"), DEVICES)
def test_a_device_is_found_and_read_to_the_digit(
    profile: str, model: int, values: dict[str, float], readings: dict[str, float], base: int
) -> None:
    """At each base address, with integers and with floats; it says what it is."""
    done = _read(maps.Server(base, maps.device(model, values)), profile, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {f"{r['quantity']}/{r['channel']}".rstrip("/"): r["value"] for r in answer["readings"]} == readings
    assert answer["identity"] == {
        "manufacturer": "Fronius", "model": "Smart Meter 63A", "version": "1.4", "serial_number": "16420123",
    }  # fmt: skip


def test_a_server_that_takes_short_requests_only_is_read_in_parts() -> None:
    """Its "illegal data address" on 55 registers is no reason to go without."""
    server = maps.Server(40000, maps.device(203, maps.METER), most=50)
    answer = json.loads(_read(server, "sunspec/meter", "--json").stdout)
    assert [r["value"] for r in answer["readings"]] == list(maps.METER_READINGS.values())
    assert (40070, 55) in server.requests


def test_a_person_reads_identity_and_readings() -> None:
    """What the device is, then what it measures; phases that it does not have are left out."""
    one_phase = {"AphA": 435, "A_SF": -2, "PhVphA": 2314, "V_SF": -1, "W": 1003, "W_SF": 0}
    done = _read(maps.Server(40000, maps.device(101, one_phase)), "sunspec/inverter")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["manufacturer", "Fronius"],
        ["model", "Smart", "Meter", "63A"],
        ["version", "1.4"],
        ["serial_number", "16420123"],
        ["voltage/L1", "231.4", "V", "Voltage"],
        ["current/L1", "4.35", "A", "Current"],
        ["active_power", "1003.0", "W", "Active", "power"],
    ]


def test_a_device_without_sunspec_is_said() -> None:
    """One sentence, exit 1, no trace; three questions were asked."""
    server = maps.Server(0, [0] * 200)
    done = _read(server, "sunspec/meter")
    assert (done.returncode, done.stdout) == (1, "")
    assert "unit 1 has no SunSpec marker at 40000, 50000, 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert server.requests == [(40000, 2), (50000, 2), (0, 2)]


def test_a_dump_of_a_whole_chain_is_decoded(tmp_path: Path) -> None:
    """As a technician saved it: marker, common model, a maker's own, the meter."""
    words = maps.chain(maps.block(1, maps.COMMON), maps.VENDOR, maps.block(203, maps.METER))
    file = tmp_path / "dump.json"
    file.write_text(json.dumps({str(40000 + offset): word for offset, word in enumerate(words)}))
    done = _device("decode", "sunspec/meter", "--registers", str(file), "--json")
    assert done.returncode == 0, done.stderr
    readings = json.loads(done.stdout)["readings"]
    assert {f"{r['quantity']}/{r['channel']}".rstrip("/"): r["value"] for r in readings} == maps.METER_READINGS
