"""The demo: the whole way on one machine, from simulated meters to a database, and the account of it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from simulator import broker, control, servers, watch
from simulator.account import Account, Witness, combined
from simulator.devices import Journal, now_ms
from simulator.history import HistoryPlan, Past
from simulator.meters import Meters
from simulator.processes import MESSNETZ, Process, UnstartedError, run
from simulator.progress import Progress
from simulator.town import DEMO
from simulator.town_files import PREFIX, TownFiles

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from pathlib import Path

    from simulator.spec import GatewaySpec, TownSpec
    from simulator.stores import StoreChoice

CHECK_TIMEOUT_S = 60.0
AGENT_ENDS_S = 60.0
"""It finishes its polls, seals, and waits for the confirms."""
COLLECTOR_ENDS_S = 30.0
PAST_ENDS_MS = 1_000
"""History ends so long before the demo begins: no reading belongs to both."""


class View(Protocol):
    """Who shows a demo to a person."""

    live: bool
    """Whether it shows the latest values, too."""

    def say(self, text: str) -> None:
        """Show one step of the set-up or the end."""

    async def show(self, progress: Progress) -> None:
        """Show a running demo; never returns, ends by being cancelled."""


@dataclass
class Interrupts:
    """Ctrl-C and its kin: the first ends the running demo in order, any other the program at once."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_watching: bool = False
    task: asyncio.Task[object] | None = None

    def listen(self) -> None:
        """Take the signals of this process."""
        self.task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._taken)

    def _taken(self) -> None:
        if self.is_watching:
            self.is_watching = False
            self.ended.set()
        elif self.task is not None:
            self.task.cancel()


@dataclass(frozen=True)
class Demo:
    """One run of the demo, in a directory of its own."""

    directory: Path
    broker: broker.Kind
    store: StoreChoice
    seconds: float | None
    """How long to run; until Ctrl-C where None."""
    view: View
    town: TownSpec = DEMO
    history: HistoryPlan | None = None
    """The past that the store is filled with before the town goes live."""

    async def run(self) -> Account:
        """Run it to its account. Every process that it starts has ended when it returns or raises.

        Raises: DemoError where a part does not come up, fails or dies; asyncio.CancelledError for Ctrl-C
        before all parts have started, or a second one.
        """
        interrupts = Interrupts()
        interrupts.listen()
        servers.quiet()
        journal = Journal()
        since_ms = now_ms()
        files = TownFiles(self.directory, self.town)
        async with AsyncExitStack() as stack:
            meters = await stack.enter_async_context(Meters(self.town, journal, lines=files.lines))
            await stack.enter_async_context(control.serve(files.control, meters))
            relay, port = await stack.enter_async_context(broker.serve(self.broker, self.directory))
            self.view.say(f"broker: {self.broker}, 127.0.0.1:{port}")
            mqtt = broker.mqtt_section(self.broker, port)
            files.write(meters.where, mqtt, self.store.section(self.directory))
            await self._check(files)
            collector = await stack.enter_async_context(self._start("collector", "cloud", files.collector))
            past = await self._fill(mqtt, since_ms)
            agents = [await stack.enter_async_context(self._agent(files, gateway)) for gateway in self.town.gateways]
            progress = Progress(self.broker, self.store.label, journal, self.town)
            witness = self.town.witness(since_ms)
            await self._watch(interrupts, files, witness, progress, (relay, collector, *agents))
            try:
                await self._hush(meters)
                account = await self._finish(files, witness, journal, agents, collector)
            except UnstartedError as error:
                if interrupts.ended.is_set():  # so soon that there is nothing to account for
                    raise asyncio.CancelledError from error
                raise
            return account if past is None else combined((account, await past.account(files, self._log)))

    @property
    def _log(self) -> Path:
        return self.directory / "watch.log"

    async def _fill(self, mqtt: Mapping[str, object], since_ms: int) -> Past | None:
        """Fill the store with the past, where that was asked for."""
        if self.history is None:
            return None
        past = Past(self.town, self.history, since_ms - PAST_ENDS_MS)
        self.view.say(f"history: {past.readings} readings of {self.history.days:g} days")
        await past.send(mqtt, PREFIX, self.view.say)
        return past

    async def _check(self, files: TownFiles) -> None:
        for command in (
            ("town", "check", str(files.directory)),
            ("town", "registry", str(files.directory), "--output", str(files.registry), "--first"),
            *(("gateway", "check", str(files.gateway_file(gateway.id))) for gateway in self.town.gateways),
            ("cloud", "check", str(files.collector)),
        ):
            shown = " ".join(command).replace(f"{files.directory}/", "").replace(str(files.directory), ".")
            self.view.say(f"messnetz {shown}")
            await run(command, CHECK_TIMEOUT_S)

    def _start(self, name: str, part: str, file: Path) -> Process:
        self.view.say(f"messnetz {part} run {file.relative_to(self.directory)}")
        return Process(name, (*MESSNETZ, part, "run", str(file)), self.directory / f"{name}.log")

    def _agent(self, files: TownFiles, gateway: GatewaySpec) -> Process:
        name = "agent" if len(self.town.gateways) == 1 else f"agent-{gateway.id}"
        return self._start(name, "gateway", files.gateway_file(gateway.id))

    async def _watch(
        self,
        interrupts: Interrupts,
        files: TownFiles,
        witness: Witness,
        progress: Progress,
        processes: tuple[Process, ...],
    ) -> None:
        """Let it run until the time is over or Ctrl-C; raises for the first part that fails."""
        log = self._log
        jobs: list[Coroutine[object, object, object]] = [
            interrupts.ended.wait(),
            watch.until_one_dies(*processes),
            watch.follow_status(files, progress, log),
            watch.follow_stored(files, witness, progress, log),
            self.view.show(progress),
        ]
        if self.view.live:
            jobs.append(watch.follow_latest(files, witness, progress, log))
        tasks = [asyncio.create_task(job) for job in jobs]
        interrupts.is_watching = True
        try:
            done, _ = await asyncio.wait(tasks, timeout=self.seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            interrupts.is_watching = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _hush(self, meters: Meters) -> None:
        """Let the last words of devices that speak by themselves become samples."""
        if self.town.speaking_s:
            self.view.say("ending: devices that speak by themselves fall silent")
            await meters.hush()
            await asyncio.sleep(self.town.speaking_s + 1.0)

    async def _finish(
        self,
        files: TownFiles,
        witness: Witness,
        journal: Journal,
        agents: Sequence[Process],
        collector: Process,
    ) -> Account:
        ending = "the agent finishes its polls, seals, and waits for the confirms"
        self.view.say(f"ending: {ending}" if len(agents) == 1 else f"ending {len(agents)} agents: {ending}")
        await asyncio.gather(*(agent.stop(AGENT_ENDS_S) for agent in agents))
        await collector.stop(COLLECTOR_ENDS_S)
        self.view.say(f"reading everything back from {self.store.label}")
        return await watch.settle(files, witness, journal.polls, self._log)


def run_demo(demo: Demo) -> Account | None:
    """Run a demo in an event loop of its own; None where it was interrupted before its account."""
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        return asyncio.run(demo.run())
    return None
