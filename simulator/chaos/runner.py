"""Does the schedule to the plant, lets it recover, and makes the account."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from simulator import servers, watch
from simulator.account import GatewayStatus
from simulator.chaos import report as reports
from simulator.chaos.inflict import Inflictor
from simulator.chaos.plant import Plant
from simulator.chaos.report import Missing, Report
from simulator.chaos.schedule import plan
from simulator.demo import Interrupts
from simulator.devices import now_ms
from simulator.ledger import Ledger
from simulator.processes import DemoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from pathlib import Path

    from simulator.account import Account, Gap
    from simulator.chaos.plant import Size
    from simulator.chaos.report import Struck
    from simulator.chaos.schedule import Fault
    from simulator.chaos.view import View
    from simulator.ledger import Fate

LOOK_S = 0.5
SAY_S = 5.0
BEGIN_S = 120.0
AFTER_S = 3.0
"""Of calm after the last fault, so that everything is read once more."""
CATCH_UP_S = 420.0
"""The longest pause of an uplink, and what is sent after it."""
AGENT_ENDS_S = 60.0
COLLECTOR_ENDS_S = 30.0
MOST_ENDS = 5
"""So often an agent is stopped, and started again where its last batches were not confirmed in time."""


@dataclass
class Run:
    """One run, in a directory of its own."""

    directory: Path
    size: Size
    seed: int
    minutes: float
    kinds: Collection[str]
    skipped: Sequence[str]
    view: View
    struck: list[Struck] = field(default_factory=list)
    died: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    async def run(self) -> Report:
        """Run it to its report. Every process that it starts has ended when it returns or raises.

        Where the chain does not recover, it reports what is known then.

        Raises: DemoError where a part does not come up at first; asyncio.CancelledError for a second Ctrl-C.
        """
        interrupts = Interrupts()
        interrupts.listen()
        servers.quiet()
        self._since_ms, self._began_s = now_ms(), time.monotonic()
        async with Plant(self.directory, self.size) as plant:
            self._plant, self._inflictor = plant, Inflictor(plant)
            if not plant.disks and "full" in self.kinds:
                self.skipped = [*self.skipped, "full disk: only root may mount a small one"]
            if not plant.cards and "eio" in self.kinds:
                self.skipped = [*self.skipped, "disk that fails: needs root, losetup, mkfs.ext4 and two agents"]
            stalls = asyncio.create_task(self._inflictor.watch_stalls())
            try:
                async with self._bearing():
                    await self._begin()
                    await self._break(interrupts)
                    await self._recover()
                if self.troubles:
                    await self._end()
                return await self._report()
            finally:
                stalls.cancel()
                await asyncio.gather(stalls, return_exceptions=True)
                await self._inflictor.close()

    async def _begin(self) -> None:
        """Wait until every agent has sealed: from then on it knows the time, whatever is done to its clock.

        Raises: DemoError where one does not.
        """
        self.view.now("waiting for the first readings")
        deadline_s = time.monotonic() + BEGIN_S
        for agent in self._plant.agents:
            sealed = 0
            while not sealed:
                try:
                    sealed = (await watch.status_of(self._plant.files, agent)).sealed_batches
                except DemoError:  # one that has just started does not answer yet
                    if time.monotonic() > deadline_s:
                        raise
                if not sealed and time.monotonic() > deadline_s:
                    raise DemoError(f"{agent} has sealed nothing {BEGIN_S:g} s after its start")
                await asyncio.sleep(LOOK_S)

    @asynccontextmanager
    async def _bearing(self) -> AsyncIterator[None]:
        """Note what cannot be done, and go on: the report is wanted all the more."""
        try:
            yield
        except DemoError as error:
            self._say(f"trouble: {error}")
            self.troubles.append(str(error))

    async def _end(self) -> None:
        """Stop agents and collectors as they are."""
        for name in (*self._plant.agents, *self._plant.collectors):
            with suppress(DemoError):
                self._plant.processes[name].resume()
        await asyncio.gather(*(self._plant.stop(agent, AGENT_ENDS_S) for agent in self._plant.agents))
        await asyncio.gather(*(self._plant.stop(name, COLLECTOR_ENDS_S) for name in self._plant.collectors))

    @property
    def _log(self) -> Path:
        return self.directory / "watch.log"

    async def _break(self, interrupts: Interrupts) -> None:
        """Do one fault after the other at its time, or several at once, until the time is over or Ctrl-C."""
        self._began_s = time.monotonic()
        faults = plan(self.seed, self.minutes * 60, self._plant.targets(), self.kinds)
        self.view.say(f"seed {self.seed}: {len(faults)} faults in {self.minutes:g} minutes")
        tasks = [asyncio.create_task(self._strike(fault)) for fault in faults]
        looking = asyncio.create_task(self._look())
        ended = asyncio.create_task(interrupts.ended.wait())
        interrupts.is_watching = True
        try:
            await asyncio.wait({ended, looking}, timeout=self.minutes * 60, return_when=asyncio.FIRST_COMPLETED)
        finally:
            interrupts.is_watching = False
            for task in (*tasks, looking, ended):
                task.cancel()
            await asyncio.gather(*tasks, ended, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await looking

    async def _strike(self, fault: Fault) -> None:
        await asyncio.sleep(max(0.0, fault.at_s - self._elapsed_s))
        since_ms, how = now_ms(), ""
        self._say(f"{fault.kind} {fault.target} for {fault.for_s:.1f} s")
        try:
            how = await self._inflictor.inflict(fault)
        except DemoError as error:
            how = f"left out: {error}"
        finally:
            self.struck.append(reports.struck(fault, since_ms, now_ms(), how))
            self._say(f"end of {fault.kind} {fault.target}{f' ({how})' if how else ''}")

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def _say(self, text: str) -> None:
        self.view.say(f"{self._elapsed_s:7.1f} s  {text}")

    async def _look(self) -> None:
        """See to it that what dies by itself is noted, and started again as systemd would."""
        said_s = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            for name in self._plant.dead():
                self.died.append(name)
                self._say(f"{self._plant.processes[name].died()}")
                await self._plant.begin(name)
            if time.monotonic() - said_s >= SAY_S:
                said_s = time.monotonic()
                self.view.now(f"{self._elapsed_s:7.1f} s  {self._plant.journal.readings} readings made")

    async def _recover(self) -> None:
        """End all faults, wait until everything is confirmed, and stop the agents in order."""
        self._say("faults end; everything recovers")
        await self._plant.whole()
        await asyncio.sleep(AFTER_S)
        looking = asyncio.create_task(self._look())
        try:
            await self._inflictor.settle(CATCH_UP_S)
            await self._catch_up()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        await self._end_agents()
        for collector in self._plant.collectors:
            await self._plant.stop(collector, COLLECTOR_ENDS_S)

    async def _catch_up(self) -> None:
        deadline_s = time.monotonic() + CATCH_UP_S
        while True:
            try:
                status = await watch.status(self._plant.files)
            except DemoError:  # one that has just started does not answer yet
                status = None
            if status is not None and status.running and status.waiting_batches <= 2 * len(self._plant.agents):
                return
            if time.monotonic() > deadline_s:
                raise DemoError(f"not everything is confirmed {CATCH_UP_S:g} s after the last fault: {status}")
            if status is not None:
                self.view.now(f"{self._elapsed_s:7.1f} s  {status.waiting_batches} batches wait")
            await asyncio.sleep(1.0)

    async def _end_agents(self) -> None:
        """Stop the agents in order; one whose last batches were not confirmed in time runs once more."""
        for _ in range(MOST_ENDS):
            self._say("the agents end")
            await asyncio.gather(*(self._plant.stop(agent, AGENT_ENDS_S) for agent in self._plant.agents))
            status = await watch.status(self._plant.files)
            if not status.waiting_batches:
                return
            for agent in self._plant.agents:
                await self._plant.begin(agent)
            await self._catch_up()
        raise DemoError(f"agents end with {status.waiting_batches} batches unconfirmed, {MOST_ENDS} times over")

    async def _report(self) -> Report:
        self._say("reading everything back")
        plant, witness = self._plant, self.size.town.witness(self._since_ms)
        self._inflictor.doubt_hasty()
        ledger = Ledger(witness, plant.journal.polls)
        declared: list[Gap] | None = None
        async with self._bearing():
            await watch.read_store(plant.files, witness, ledger.store, self._log)
            await watch.read_unregistered(plant.files, witness, ledger.unregister, self._log)
            declared = await watch.read_gaps(plant.files, witness, self._log)
        status = GatewayStatus()
        async with self._bearing():
            status = await watch.status(plant.files)
        faults = sorted(self.struck, key=lambda one: one.at_s)
        if declared is None:
            return self._made(faults, None, [])
        account = ledger.account(status, declared)
        missing = [Missing(*one) for one in ledger.missing(declared)]
        self._leave(missing)
        fates = sorted(ledger.fates(declared), key=lambda fate: fate.polled_at_ms)
        return self._made([_with_account(one, fates) for one in faults], account, missing)

    def _made(self, faults: list[Struck], account: Account | None, missing: list[Missing]) -> Report:
        is_whole = account is not None and not self.troubles and reports.is_whole(account, self.died)
        return Report(
            seed=self.seed,
            minutes=self.minutes,
            agents=len(self._plant.agents),
            collectors=len(self._plant.collectors),
            broker=self.size.broker,
            store=self.size.store,
            skipped=list(self.skipped),
            died=self.died,
            faults=faults,
            account=account,
            missing=missing[: reports.MOST_MISSING],
            doubted=sum(not poll.is_certain for poll in self._plant.journal.polls),
            troubles=self.troubles,
            verdict="whole" if is_whole else "broken",
        )

    def _leave(self, missing: list[Missing]) -> None:
        """Write down what the devices made and what is missing, for whoever must find out why."""
        for name, lines in (("polls", self._plant.journal.polls), ("missing", missing)):
            (self.directory / f"{name}.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(lines))


def _with_account(one: Struck, fates: list[Fate]) -> Struck:
    during = [fate for fate in fates if one.since_ms <= fate.polled_at_ms <= one.until_ms]
    lost = sum(fate.lost for fate in during)
    declared = sum(fate.lost for fate in during if fate.is_declared)
    made = lost + sum(fate.stored for fate in during)
    return msgspec.structs.replace(one, made=made, lost=lost, declared=declared, unaccounted=lost - declared)
