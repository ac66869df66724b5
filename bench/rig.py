"""What a bench runs: a town's files, agent and collector as processes, and what the kernel says of a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.plant import PROFILE
from gateway import status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

LOOPBACK = "127.0.0.1"
MESSNETZ = (sys.executable, "-m", "messnetz")
GATEWAY = "bench-gw"
WAIT_S = 60.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A bench cannot go on; says why."""


@dataclass(frozen=True)
class Town:
    """The files of a town with one gateway, whose meters stand on the endpoints of a plant."""

    directory: Path
    devices: int
    interval_s: float

    @property
    def gateway(self) -> Path:
        """The agent's configuration."""
        return self.directory / "gateways" / f"{GATEWAY}.yaml"

    @property
    def collector(self) -> Path:
        """The collector's configuration."""
        return self.directory / "collector.yaml"

    def write(
        self, plant: Sequence[int], gateway_port: int, collector_port: int, store: Mapping[str, object], **more: object
    ) -> Self:
        """Write the town and build its registry; `more` are settings of the agent's file."""
        self.gateway.parent.mkdir(parents=True)
        _dump(self.directory / "town.yaml", {"name": "Bench"})
        _dump(self.directory / "sites.yaml", {"school": {"name": "School", "sector": "buildings"}})
        buses = [self._bus(index, port, len(plant)) for index, port in enumerate(plant)]
        agent: dict[str, Any] = {
            "gateway": GATEWAY,
            "site": "school",
            "clock": "trusted",
            "mqtt": {"host": LOOPBACK, "port": gateway_port},
            "spool": {"path": str(self.directory / "spool.sqlite")},
            "socket": str(self.directory / "agent.sock"),
            "buses": buses,
        }
        for section, settings in more.items():
            agent[section] = {**agent.get(section, {}), **settings} if isinstance(settings, dict) else settings
        _dump(self.gateway, agent)
        mqtt = {"host": LOOPBACK, "port": collector_port}
        _dump(self.collector, {"collector": "bench-collector", "mqtt": mqtt, "store": dict(store)})
        if buses:
            run("town", "registry", str(self.directory), "--output", str(self.directory / "registry.yaml"), "--first")
        return self

    def _bus(self, index: int, port: int, buses: int) -> dict[str, Any]:
        devices = [
            {
                "id": f"school-{number:04}-main",
                "profile": PROFILE,
                "site": "school",
                "unit": 1 + number // buses,
                "interval_s": self.interval_s,
            }
            for number in range(index, self.devices, buses)
        ]
        return {"id": f"bus{index}", "driver": "modbus", "tcp": f"{LOOPBACK}:{port}", "devices": devices}


def _dump(file: Path, content: object) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")  # JSON is YAML


def run(*command: str) -> str:
    """Run a command of ours to its end; returns its output."""
    done = subprocess.run([*MESSNETZ, *command], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise BenchError(f"messnetz {' '.join(command[:2])}: {done.stderr}")
    return done.stdout


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process and its ended children took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS_A_SECOND


class Measured:
    """A process whose memory and time are measured. `core` binds it to one core."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.log = log
        bind = ["taskset", "-c", str(core)] if core is not None else []
        with log.open("ab") as output:
            self.began_s = time.monotonic()
            self.process = subprocess.Popen(
                [*bind, *command],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                cwd=directory,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_s(self) -> float:
        """Seconds of CPU that it and its ended children took so far."""
        return cpu_s(self.process.pid)

    def memory_mb(self) -> float:
        """Memory that it holds (RSS), in MB of a million bytes."""
        return self._status_kb("VmRSS") * 1024 / 1e6

    def peak_mb(self) -> float:
        """Memory that it held at most."""
        return self._status_kb("VmHWM") * 1024 / 1e6

    def _status_kb(self, field: str) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
        raise BenchError(f"process {self.process.pid} has ended: {self.log.read_text()[-2000:]}")

    def check(self) -> None:
        """Raise a BenchError where it has ended."""
        if self.process.poll() is not None:
            raise BenchError(f"it ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")


def agent(town: Town, *, core: int | None = None) -> Measured:
    """Start the agent of a town."""
    return Measured([*MESSNETZ, "gateway", "run", str(town.gateway)], town.directory / "agent.log", core=core)


def collector(town: Town, *, core: int | None = None) -> Measured:
    """Start the collector of a town."""
    return Measured([*MESSNETZ, "cloud", "run", str(town.collector)], town.directory / "collector.log", core=core)


def confirmed(town: Town) -> int:
    """Return how many readings the agent knows to be in the store."""
    answer = status.ask(town.directory / "agent.sock") or {"confirmed_readings": 0}
    count = answer["confirmed_readings"]
    assert isinstance(count, int)
    return count


def wait_for(condition: Callable[[], object], process: Measured, what: str, timeout_s: float = WAIT_S) -> None:
    """Wait until something holds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        process.check()
        if time.monotonic() > deadline_s:
            raise BenchError(f"{what}: not within {timeout_s:g} s; {process.log.read_text()[-2000:]}")
        time.sleep(0.02)


class Listener:
    """An MQTT client that notes when what came."""

    def __init__(self, port: int, topic: str, handle: Callable[[str, bytes], None]) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        subscribed = threading.Event()
        self._client.on_message = lambda _client, _data, message: handle(message.topic, bytes(message.payload))
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(LOOPBACK, port)
        self._client.loop_start()
        self._client.subscribe(topic, qos=1)
        if not subscribed.wait(10):
            raise BenchError("the broker does not answer")

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message."""
        self._client.publish(topic, payload, qos=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Relay:
    """Passes TCP connections on and counts the bytes of both directions."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.up = self.down = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def both(self) -> int:
        """Bytes in both directions."""
        return self.up + self.down

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((LOOPBACK, self._target))
                for source, sink, is_up in ((near, far, True), (far, near, False)):
                    sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pump, args=(source, sink, is_up), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:  # noqa: FBT001 - a thread's
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if is_up:
                    self.up += len(data)
                else:
                    self.down += len(data)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(port: int) -> Iterator[Relay]:
    """Count what goes to and comes from a port of loopback."""
    relay = Relay(port)
    try:
        yield relay
    finally:
        relay.close()
