"""The chain from real processes, with a proxy in every link and a hand on every process."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from simulator import broker
from simulator.chaos import disk, store
from simulator.chaos.schedule import Targets
from simulator.devices import Journal
from simulator.meters import Meters
from simulator.processes import MESSNETZ, DemoError, Process, run
from simulator.proxy import Proxy
from simulator.servers import LOOPBACK
from simulator.town_files import TownFiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from simulator.spec import GatewaySpec, TownSpec

CHECK_TIMEOUT_S = 60.0
BROKER, STORE = "broker", "store"
CLOCK_EVERY = 3
CLOCK_LOOK_S = 1
"""How often an agent's library looks for another time."""
KEEPALIVE_S = 5
"""A half-open link shows after one and a half times that."""
SPOOL = {"seal_interval_s": 1.0}
UPLINK = {"confirm_timeout_s": 2.0}
"""Many small batches, and most of them on their way when something breaks."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    town: TownSpec
    collectors: int
    broker: broker.Kind
    store: store.Kind
    faketime: Path | None = None
    """The library by which the clocks of the agents' processes are stepped; None where they are not."""


@dataclass
class Plant:
    """The running chain. Names of processes and links are what the schedule strikes."""

    directory: Path
    size: Size
    journal: Journal = field(default_factory=Journal)
    processes: dict[str, Process] = field(default_factory=dict)
    links: dict[str, Proxy] = field(default_factory=dict)
    disks: dict[str, disk.Disk] = field(default_factory=dict)
    """Agent -> the small disk that its spool lies on."""
    cards: dict[str, disk.FailingDisk] = field(default_factory=dict)
    """Agent -> the disk that its spool lies on, and that can be made to fail."""
    down: set[str] = field(default_factory=set)
    """Processes that are away because a fault has it so."""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises: DemoError where a part does not come up.
        """
        async with AsyncExitStack() as stack:
            self.files = TownFiles(self.directory, self.size.town)
            self.meters = await stack.enter_async_context(
                Meters(self.size.town, self.journal, lines=self.directory / "lines")
            )
            self._mount(stack)
            process, port = await stack.enter_async_context(broker.serve(self.size.broker, self.directory))
            self.processes[BROKER] = process
            await self._store(stack)
            for agent in self.agents:
                await self._link(stack, f"{agent}-broker", port)
            for collector in self.collectors:
                await self._link(stack, f"{collector}-broker", port)
            self._write()
            await run(
                ("town", "registry", str(self.directory), "--output", str(self.files.registry), "--first"),
                CHECK_TIMEOUT_S,
            )
            for collector in self.collectors:
                await self._process(stack, collector, "cloud", "collect", self.collector_file(collector))
            for gateway in self.size.town.gateways:
                await self._process(stack, gateway.id, "gateway", "run", self.files.gateway_file(gateway.id))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def agents(self) -> list[str]:
        """Names of the agents' processes: the ids of their gateways."""
        return [gateway.id for gateway in self.size.town.gateways]

    @property
    def collectors(self) -> list[str]:
        """Names of the collectors' processes: their ids."""
        return [f"collector-{number}" for number in range(1, self.size.collectors + 1)]

    @property
    def store_is_process(self) -> bool:
        """Whether the store is a server of its own."""
        return self.size.store != "embedded"

    @property
    def clocked(self) -> list[str]:
        """Names of the agents whose clocks can be stepped: each clock that can be costs more than the agent itself."""
        return [] if self.size.faketime is None else self.agents[::CLOCK_EVERY]

    def targets(self) -> Targets:
        """What a schedule may strike."""
        writers = [f"{collector}-store" for collector in self.collectors] if self.store_is_process else []
        names = {
            "agent": self.agents,
            "collector": self.collectors,
            "broker": [BROKER],
            "store": [STORE] if self.store_is_process else [],
            "uplink": [f"{agent}-broker" for agent in self.agents],
            "intake": [f"{collector}-broker" for collector in self.collectors],
            "write": writers,
            "device": [device.id for device in self.size.town.devices],
            "disk": list(self.disks),
            "card": list(self.cards),
            "clock": self.clocked,
        }
        return Targets({family: tuple(found) for family, found in names.items()}, (STORE, *self.collectors))

    def gateway(self, agent: str) -> GatewaySpec:
        """What an agent reads."""
        return self.size.town.gateway(agent)

    def spool(self, agent: str) -> Path:
        """Where an agent keeps its spool."""
        return self.directory / "spools" / agent / "spool.sqlite"

    def clock_file(self, agent: str) -> Path:
        """The file by which an agent's clock is stepped."""
        return self.directory / f"clock-{agent}"

    def collector_file(self, collector: str) -> Path:
        """A collector's configuration."""
        return self.files.collector if collector == self.collectors[0] else self.directory / f"{collector}.yaml"

    async def begin(self, name: str) -> None:
        """Start a process that a fault has taken away.

        Raises: DemoError where it cannot be started.
        """
        if not self.processes[name].is_running:
            await self.processes[name].start()
        self.down.discard(name)

    async def end(self, name: str) -> None:
        """Kill a process (SIGKILL), for a fault."""
        self.down.add(name)
        await self.processes[name].kill()

    async def stop(self, name: str, timeout_s: float) -> None:
        """Stop a process in order, and kill it where it does not listen."""
        self.down.add(name)
        with suppress(DemoError):
            await self.processes[name].stop(timeout_s)

    async def whole(self) -> None:
        """End whatever is wrong: everything runs, every link passes, every device answers."""
        for small in self.disks.values():
            small.empty()
        for card in self.cards.values():
            card.mend()
        for device in self.size.town.devices:
            await self.meters.mend(device.id)
        for link in self.links.values():
            await link.restore()
        for name, process in self.processes.items():
            with suppress(DemoError):
                process.resume()
            await self.begin(name)

    def dead(self) -> list[str]:
        """Processes that have ended though no fault had it so."""
        return [name for name, process in self.processes.items() if not process.is_running and name not in self.down]

    def _mount(self, stack: AsyncExitStack) -> None:
        for agent in self.agents:
            self.spool(agent).parent.mkdir(parents=True)
        first, last = self.agents[0], self.agents[-1]
        small = disk.mount(self.spool(first).parent)
        if small is not None:
            stack.callback(small.unmount)
            self.disks[first] = small
        if last == first:
            return
        card = disk.attach(self.spool(last).parent, self.directory / f"card-{last}")
        if card is not None:
            stack.callback(card.unmount)
            self.cards[last] = card

    async def _store(self, stack: AsyncExitStack) -> None:
        self.store_files = store.StoreFiles(self.directory / "store", self.directory / "store-backup")
        self.store_files.data.mkdir()
        if not self.store_is_process:
            return
        process, port = store.influx1(self.directory, self.store_files.data)
        self.processes[STORE] = await stack.enter_async_context(process)
        await store.answers(process, port)
        for collector in self.collectors:
            await self._link(stack, f"{collector}-store", port)

    async def _link(self, stack: AsyncExitStack, name: str, port: int) -> None:
        self.links[name] = await stack.enter_async_context(Proxy(port))

    async def _process(self, stack: AsyncExitStack, name: str, part: str, command: str, file: Path) -> None:
        words: tuple[str, ...] = (*MESSNETZ, part, command, str(file))
        if self.size.faketime is not None and name in self.clocked:
            self.clock_file(name).write_text("+0\n", encoding="ascii")
            words = (*_faked(self.size.faketime, self.clock_file(name)), *words)
        self.processes[name] = await stack.enter_async_context(Process(name, words, self.directory / f"{name}.log"))

    def _write(self) -> None:
        first = self.collectors[0]
        self.files.write(self.meters.where, self._mqtt(f"{first}-broker"), self._store_section(first))
        group = self.directory / "group"
        group.touch(mode=0o600)
        group.write_text("chaos", encoding="ascii")
        settings = _load(self.files.collector)
        if len(self.collectors) > 1:
            settings |= {"shared": True, "group_file": group.name}
        for collector in self.collectors:
            own = {"mqtt": self._mqtt(f"{collector}-broker"), "store": self._store_section(collector)}
            _dump(self.collector_file(collector), settings | own | {"collector": collector})
        for agent in self.agents:
            file = self.files.gateway_file(agent)
            settings = _load(file)
            settings |= {"mqtt": self._mqtt(f"{agent}-broker"), "uplink": UPLINK}
            _dump(file, settings | {"spool": settings["spool"] | SPOOL | {"path": str(self.spool(agent))}})

    def _mqtt(self, link: str) -> dict[str, object]:
        return broker.mqtt_section(self.size.broker, self.links[link].port) | {"keepalive_s": KEEPALIVE_S}

    def _store_section(self, collector: str) -> dict[str, object]:
        if not self.store_is_process:
            return {"embedded": {"path": str(self.store_files.data / "store.sqlite")}}
        port = self.links[f"{collector}-store"].port
        return {"influx1": {"url": f"http://{LOOPBACK}:{port}", "database": store.DATABASE}}


def _faked(library: Path, file: Path) -> tuple[str, ...]:
    """Return a prefix that lets a command see the wall clock as a file tells, and no other clock."""
    return (
        "env",
        f"LD_PRELOAD={library}",
        f"FAKETIME_TIMESTAMP_FILE={file}",
        f"FAKETIME_CACHE_DURATION={CLOCK_LOOK_S}",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "NO_FAKE_STAT=1",
    )


def find_faketime() -> Path | None:
    """Path of Debian's libfaketime; None where it is not installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def _load(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def _dump(file: Path, content: Mapping[str, object]) -> None:
    file.write_text(yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False), encoding="utf-8")
