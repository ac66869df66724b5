"""The whole way as real processes, for tests that kill and cut: simulated meters, agent, broker, collector, store."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import yaml

from gateway import status
from gateway.spool import Spool
from simulator import servers as field
from simulator import town
from simulator.account import Account, GatewayStatus, Stored, gaps, settle
from simulator.devices import Journal, now_ms
from simulator.town_files import GATEWAY, TownFiles
from wire import batch as wire_batch
from wire.gaps import READINGS, UNTIL

from servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Self

MESSNETZ = (sys.executable, "-m", "messnetz")
WAIT_S = 40.0


class Known(NamedTuple):
    """One reading, as spool and store both know it."""

    device: str
    quantity: str
    channel: str
    time_ms: int
    value: float
    flags: int


class Messnetz(Server):
    """`messnetz gateway run` or `messnetz cloud run` as a process that can be killed and started again."""

    name = "messnetz"

    def __init__(self, directory: Path, part: str, file: Path, socket: Path | None = None) -> None:
        super().__init__(directory)
        self._part, self.file, self._socket = part, file, socket

    def _command(self) -> list[str]:
        return [*MESSNETZ, self._part, "run", str(self.file)]

    def _is_ready(self) -> bool:
        return self.is_running and (self._socket is None or status.ask(self._socket) is not None)


class Chain:
    """The demo town on a broker and a store of the test's choice."""

    def __init__(
        self,
        directory: Path,
        mqtt_port: int,
        store: Mapping[str, object],
        gateway: Mapping[str, object] | None = None,
    ) -> None:
        """`gateway`: settings of the agent's file; those of a section are added to it."""
        self.files = TownFiles(directory / "town", town.ASKED)
        self.journal = Journal()
        self._since_ms = now_ms()
        self._mqtt_port, self._store, self._gateway = mqtt_port, store, gateway or {}
        self._stack = ExitStack()
        self._directory = directory
        self.agent = Messnetz(directory / "agent", "gateway", self.files.gateway, self.files.directory / "agent.sock")
        self.collector = Messnetz(directory / "collector", "cloud", self.files.collector)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            where = stack.enter_context(Field(self.journal)).where
            self.files.write(where, {"host": field.LOOPBACK, "port": self._mqtt_port}, self._store)
            self._adjust_gateway()
            self.run("town", "registry", str(self.files.directory), "--output", str(self.files.registry), "--first")
            stack.enter_context(self.collector)
            stack.enter_context(self.agent)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _adjust_gateway(self) -> None:
        content = yaml.safe_load(self.files.gateway.read_text())
        for section, settings in self._gateway.items():
            content[section] = {**content.get(section, {}), **settings} if isinstance(settings, dict) else settings
        self.files.gateway.write_text(yaml.safe_dump(content))

    def run(self, *command: str) -> str:
        """Run a command of ours to its end; returns its output."""
        done = subprocess.run([*MESSNETZ, *command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, int]:
        """What the agent says of itself, running or not."""
        answer: dict[str, int] = json.loads(self.run("gateway", "status", str(self.files.gateway), "--json"))
        return answer

    def until(self, condition: Callable[[dict[str, int]], bool], what: str) -> None:
        """Wait until the agent's status fulfils a condition."""
        deadline = time.monotonic() + WAIT_S
        while not condition(status := self.status()):
            assert time.monotonic() < deadline, f"{what} did not happen in {WAIT_S} s: {status}\n{self.logs()}"
            time.sleep(0.1)

    def let_seal(self, batches: int) -> None:
        """Wait until so many more batches are sealed."""
        before = self.status()["sealed_batches"]
        self.until(lambda now: now["sealed_batches"] >= before + batches, f"{batches} more batches sealed")

    def let_confirm(self, batches: int) -> None:
        """Wait until so many more batches are confirmed and marked."""
        before = self.status()["confirmed_batches"]
        self.until(lambda now: now["confirmed_batches"] >= before + batches, f"{batches} more batches confirmed")

    def finish(self) -> None:
        """Let the agent settle everything, then stop it and the collector."""
        self.agent.stop()
        assert self.status()["sealed_batches"] == self.status()["confirmed_batches"], self.logs()
        self.collector.stop()

    def logs(self) -> str:
        """What agent and collector said last."""
        return f"agent:\n{self.agent.log()}\ncollector:\n{self.collector.log()}"

    def sealed(self) -> Counter[Known]:
        """Every reading that was ever sealed, out of the spool's own batches."""
        spool = Spool(self._directory / "town" / "spool.sqlite", keep_confirmed_ms=2**62)
        try:
            count = spool.totals().sealed_batches
            batches = [batch for number in range(1, count + 1) if (batch := spool.get(number))]
        finally:
            spool.close()
        assert len(batches) == count, "the spool keeps what is confirmed for a week"
        return Counter(reading for batch in batches for reading in _readings(batch.payload()))

    def exported(self, *options: str) -> list[Stored]:
        """Every reading that the store holds; `options` of `cloud export` choose others."""
        lines = self.run("cloud", "export", str(self.files.collector), "--json", *options).splitlines()
        return [msgspec.json.decode(line, type=Stored) for line in lines]

    def stored(self) -> Counter[Known]:
        """Every reading that the store holds, as the spool knows it."""
        return Counter(Known(r.device, r.quantity, r.channel, r.time_ms, r.value, r.flags) for r in self.exported())

    def account(self) -> Account:
        """Compare what the meters made with what the store holds, and with the gaps that it declares."""
        witness = town.ASKED.witness(self._since_ms)
        declared = gaps(self.exported("--measurement", "gap"))
        return settle(witness, self.journal.polls, self.exported(), GatewayStatus(), declared=declared)


def _readings(payload: bytes) -> Iterator[Known]:
    """Return what devices measured; a gap is no measurement and is stored in a measurement of its own."""
    header, packed = wire_batch.open_header(payload)
    for sample in wire_batch.open_pack(header, packed):
        for reading in (found for found in sample.readings if found.quantity not in (UNTIL, READINGS)):
            yield Known(
                sample.device, reading.quantity, reading.channel, sample.measured_at_ms, reading.value, reading.flags
            )


class Field:
    """The town's meters at work, on a thread with an event loop of its own."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.where: dict[str, str] = {}

    def __enter__(self) -> Self:
        field.quiet()
        self._thread.start()
        assert self._ready.wait(10), "the simulated meters did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with town.serve(self.journal, town.ASKED) as self.where:
            self._ready.set()
            await self._stop.wait()


__all__ = ["GATEWAY", "Chain", "Field", "Known"]
