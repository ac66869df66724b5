"""The demo: the whole way on one machine, from simulated meters to a database, and the account of it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from simulator import broker, servers, town, watch
from simulator.account import Account, Stored, Witness, settle
from simulator.devices import Journal, now_ms
from simulator.processes import MESSNETZ, Process, UnstartedError, run
from simulator.progress import Progress
from simulator.town_files import GATEWAY, TownFiles

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from simulator.stores import StoreChoice

CHECK_TIMEOUT_S = 60.0
AGENT_ENDS_S = 60.0
"""It finishes its polls, seals, and waits for the confirms."""
COLLECTOR_ENDS_S = 30.0


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

    async def run(self) -> Account:
        """Run it to its account. Every process that it starts has ended when it returns or raises.

        Raises: DemoError where a part does not come up, fails or dies; asyncio.CancelledError for Ctrl-C
        before all parts have started, or a second one.
        """
        interrupts = Interrupts()
        interrupts.listen()
        servers.quiet()
        journal = Journal()
        witness = Witness(
            quantities={device.id: device.model.addresses.keys() for device in town.DEVICES},
            truth=town.truth,
            interval_ms=town.INTERVAL_S * 1000,
            since_ms=now_ms(),
            gateway=GATEWAY,
        )
        async with AsyncExitStack() as stack:
            where = await stack.enter_async_context(town.serve(journal))
            relay, port = await stack.enter_async_context(broker.serve(self.broker, self.directory))
            self.view.say(f"broker: {self.broker}, 127.0.0.1:{port}")
            files = TownFiles(self.directory)
            files.write(where, broker.mqtt_section(self.broker, port), self.store.section(self.directory))
            await self._check(files)
            collector = await stack.enter_async_context(self._start("collector", "cloud", files.collector))
            agent = await stack.enter_async_context(self._start("agent", "gateway", files.gateway))
            progress = Progress(self.broker, self.store.label, journal)
            await self._watch(interrupts, files, witness, progress, (relay, collector, agent))
            try:
                return await self._finish(files, witness, journal, agent, collector)
            except UnstartedError as error:
                if interrupts.ended.is_set():  # so soon that there is nothing to account for
                    raise asyncio.CancelledError from error
                raise

    async def _check(self, files: TownFiles) -> None:
        for command in (
            ("town", "check", str(files.directory)),
            ("town", "registry", str(files.directory), "--output", str(files.registry)),
            ("gateway", "check", str(files.gateway)),
            ("cloud", "check", str(files.collector)),
        ):
            shown = " ".join(command).replace(f"{files.directory}/", "").replace(str(files.directory), ".")
            self.view.say(f"messnetz {shown}")
            await run(command, CHECK_TIMEOUT_S)

    def _start(self, name: str, part: str, file: Path) -> Process:
        self.view.say(f"messnetz {part} run {file.name}")
        return Process(name, (*MESSNETZ, part, "run", str(file)), self.directory / f"{name}.log")

    async def _watch(
        self,
        interrupts: Interrupts,
        files: TownFiles,
        witness: Witness,
        progress: Progress,
        processes: tuple[Process, ...],
    ) -> None:
        """Let it run until the time is over or Ctrl-C; raises for the first part that fails."""
        log = self.directory / "watch.log"
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

    async def _finish(
        self, files: TownFiles, witness: Witness, journal: Journal, agent: Process, collector: Process
    ) -> Account:
        self.view.say("ending: the agent finishes its polls, seals, and waits for the confirms")
        await agent.stop(AGENT_ENDS_S)
        status = await watch.status(files)
        await collector.stop(COLLECTOR_ENDS_S)
        self.view.say(f"reading everything back from {self.store.label}")
        stored: list[Stored] = []
        log = self.directory / "watch.log"
        await watch.read_store(files, witness, stored.append, log)
        return settle(witness, journal.polls, stored, status, await watch.read_unregistered(files, witness, log))


def run_demo(demo: Demo) -> Account | None:
    """Run a demo in an event loop of its own; None where it was interrupted before its account."""
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        return asyncio.run(demo.run())
    return None
