"""ThingsBoard Gateway from PyPI as the peer: same meters, same broker, same machine, same run.

It gets an environment of its own in the user's cache, since it needs other releases than ours. Where it cannot be
had, the table says so in one line. It is configured as its own example is: memory storage (its default, which a
restart empties), one request a tag, statistics and remote configuration as they come. Its server's part is played
here: without an answer to `getSessionLimits` it waits for minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench import plant, rig
from bench.harness import say

from servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.harness import Scale

REQUIREMENTS = ("thingsboard-gateway==3.8.5", "pymodbus==3.9.2", "pyserial", "pyserial-asyncio", "setuptools<81")
"""What it installs by itself when it is started is named, so that it need not."""
BUSES, DEVICES, PERIOD_MS = 5, 125, 10_000
FEW_DEVICES = 25
MANY_BUSES, MANY_DEVICES, SHORT_PERIOD_MS = 8, 40, 100
"""6,400 readings/s: more than it manages with one request a tag."""
TAGS = {
    **{f"voltage_L{n}": 2 * (n - 1) for n in (1, 2, 3)},
    **{f"current_L{n}": 4 + 2 * n for n in (1, 2, 3)},
    **{f"active_power_L{n}": 10 + 2 * n for n in (1, 2, 3)},
    "active_power": 0x34,
    "apparent_power": 0x38,
    "reactive_power": 0x3C,
    "power_factor": 0x3E,
    "frequency": 0x46,
    "active_energy_import": 0x48,
    "active_energy_export": 0x4A,
}
"""The same registers as the profile reads, by our names."""
TOKEN = "bench"  # noqa: S105 - opens nothing
CALL, ANSWER = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
LIMITS = b'{"maxPayloadSize":65536,"maxInflightMessages":100,"rateLimits":{},"gatewayRateLimits":{}}'


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What the peer took; None where it was not measured."""

    memory_mb: float | None = None
    cpu_percent: float | None = None
    most_readings_per_s: float | None = None
    start_s: float | None = None
    bytes_per_reading: float | None = None
    missing: str = ""
    """Why there is no peer."""


class Server:
    """Plays the server: answers its calls, counts the readings that it sends."""

    def __init__(self, port: int) -> None:
        self.readings = 0
        self.first_s: float | None = None
        self._listener = rig.Listener(port, "v1/#", self._handle)

    def _handle(self, topic: str, payload: bytes) -> None:
        if topic.startswith(CALL):
            limits = json.loads(payload).get("method") == "getSessionLimits"
            self._listener.publish(ANSWER + topic.removeprefix(CALL), LIMITS if limits else b"{}")
        elif topic == "v1/gateway/telemetry":
            for samples in msgspec.json.decode(payload).values():
                self.readings += sum(len(sample.get("values", sample)) for sample in samples)
            self.first_s = self.first_s or time.monotonic()

    def close(self) -> None:
        """Hang up."""
        self._listener.__exit__()


def measure_peer(directory: Path, scale: Scale) -> Peer:
    """Measure the peer; never raises for its sake."""
    try:
        python = environment()
        calm = _run(python, directory / "steady", DEVICES, (BUSES, PERIOD_MS), scale.seconds(60, 12))
        fast = _run(python, directory / "most", MANY_DEVICES, (MANY_BUSES, SHORT_PERIOD_MS), scale.seconds(15, 2))
        few = _run(python, directory / "bytes", FEW_DEVICES, (1, PERIOD_MS), scale.seconds(60, 12))
    except (OSError, subprocess.SubprocessError, rig.BenchError) as error:
        return Peer(missing=f"could not be had: {str(error)[:200]}")
    return Peer(
        memory_mb=calm.memory_mb,
        cpu_percent=calm.cpu_percent,
        start_s=calm.start_s,
        most_readings_per_s=fast.most_readings_per_s,
        bytes_per_reading=few.bytes_per_reading,
    )


def environment() -> Path:
    """Return the Python of the peer's environment; makes that where it is missing.

    Raises: OSError or subprocess.SubprocessError where it cannot be made.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "messnetz-bench"
    home = cache / "thingsboard-gateway"
    python, done = home / "bin" / "python", home / "installed"
    if not done.exists() or done.read_text() != "\n".join(REQUIREMENTS):
        say("installing ThingsBoard Gateway into an environment of its own")
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, timeout=120, capture_output=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS]
        subprocess.run(install, check=True, timeout=600, capture_output=True)
        done.write_text("\n".join(REQUIREMENTS))
    return python


def _run(python: Path, directory: Path, devices: int, buses: tuple[int, int], seconds: float) -> Peer:
    """Run it against a plant and a broker of its own; `buses`: how many endpoints, and the period in ms."""
    endpoints, period_ms = buses
    with (
        Mosquitto(directory / "mosquitto", settings=[f"acl_file {_acl(directory)}"]) as broker,
        plant.running(endpoints) as ports,
        rig.relayed(broker.port) as relay,
    ):
        config = _configure(directory / "tb", python, relay.port, ports, (devices, period_ms))
        server = Server(broker.port)
        command = [str(python), "-c", "from thingsboard_gateway.tb_gateway import daemon; daemon()"]
        variables = {"TB_GW_CONFIG_DIR": str(config), "PYTHONPATH": ""}
        log = directory / "gateway.log"
        try:
            with rig.Measured(command, log, environment=variables, directory=config.parent) as gateway:
                rig.wait_for(lambda: server.readings, gateway, "first telemetry")
                start_s = (server.first_s or 0.0) - gateway.began_s
                time.sleep(min(15.0, seconds))  # past what happens only after the start
                began_s, cpu_s, readings, both = time.monotonic(), gateway.cpu_s(), server.readings, relay.both
                time.sleep(seconds)
                elapsed_s, count = time.monotonic() - began_s, server.readings - readings
                return Peer(
                    memory_mb=gateway.memory_mb(),
                    cpu_percent=100 * (gateway.cpu_s() - cpu_s) / elapsed_s,
                    most_readings_per_s=count / elapsed_s,
                    start_s=start_s,
                    bytes_per_reading=(relay.both - both) / count if count else None,
                )
        finally:
            server.close()


def _acl(directory: Path) -> Path:
    """Write the broker's ACL: its server gives the gateway no echo of its own attributes, on the same topic."""
    directory.mkdir(parents=True)
    file = directory / "acl"
    file.write_text(f"topic readwrite #\nuser {TOKEN}\ntopic write #\ntopic read {ANSWER}+\n")
    file.chmod(0o600)
    return file


def _configure(home: Path, python: Path, broker: int, endpoints: Sequence[int], load: tuple[int, int]) -> Path:
    """Write its configuration: its own example, with our broker and our meters."""
    config = home / "config"
    (home / "logs").mkdir(parents=True)
    package = next((python.parent.parent / "lib").glob("python*/site-packages/thingsboard_gateway/config"))
    config.mkdir()
    for name in ("tb_gateway.json", "logs.json"):
        shutil.copy(package / name, config / name)
    settings = json.loads((config / "tb_gateway.json").read_text())
    settings["thingsboard"] |= {"host": rig.LOOPBACK, "port": broker}
    settings["thingsboard"]["security"]["accessToken"] = TOKEN
    settings["connectors"] = [{"type": "modbus", "name": "meters", "configuration": "modbus.json"}]
    (config / "tb_gateway.json").write_text(json.dumps(settings))
    devices, period_ms = load
    slaves = [
        _slave(number, endpoints[number % len(endpoints)], number // len(endpoints) + 1, period_ms)
        for number in range(devices)
    ]
    modbus = {"name": "meters", "logLevel": "INFO", "master": {"slaves": slaves}}
    (config / "modbus.json").write_text(json.dumps(modbus))
    return config


def _slave(number: int, port: int, unit: int, period_ms: int) -> dict[str, object]:
    tags = [
        {"tag": tag, "type": "32float", "functionCode": 4, "objectsCount": 2, "address": address}
        for tag, address in TAGS.items()
    ]
    return {
        "host": rig.LOOPBACK,
        "port": port,
        "type": "tcp",
        "method": "socket",
        "unitId": unit,
        "deviceName": f"school-{number:04}-main",
        "deviceType": "default",
        "timeout": 35,
        "byteOrder": "BIG",
        "wordOrder": "BIG",
        "retries": 3,
        "retryOnEmpty": True,
        "retryOnInvalid": True,
        "pollPeriod": period_ms,
        "connectAttemptTimeMs": 5000,
        "connectAttemptCount": 5,
        "waitAfterFailedAttemptsMs": 300_000,
        "attributes": [],
        "timeseries": tags,
        "attributeUpdates": [],
        "rpc": [],
    }
