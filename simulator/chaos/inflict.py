"""What each fault does, and how it is mended. Every fault ends what it began, also where it is interrupted."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulator.chaos.plant import STORE
from simulator.chaos.schedule import STEPS_S, TO_1970
from simulator.devices import now_ms
from simulator.processes import DemoError, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from simulator.chaos.plant import Plant
    from simulator.chaos.schedule import Fault

STOP_S = 20.0
CUT_SHORT_MS = 2_000
"""A poll so soon before an agent is held, or after it goes on, may find the agent's patience at its end."""
LOOK_S = 0.5
STALLED_S = 0.4
"""Where an agent and its meters had no turn for so long together, from one look to the next but one, an answer may be
later than the agent's patience of a second."""
HASTE_MS = 250
"""No agent polls a device again so soon: it polls every two seconds."""
STALLED_MS = 1_500
"""A poll so soon before and after it may have been cut short."""
MOST_FLIPS = 24
FORGOTTEN = 0.5
"""How often a disk that fails cannot be read either; else the kernel still has in memory what is on it."""
RESEND_TIMEOUT_S = 60.0
RESEND_PAUSE_S = 1.0
BEFORE_BACKUP_S = 120
"""What was confirmed so shortly before a backup is sent again, too."""


class Inflictor:
    """Breaks one plant."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._backed_up_at_s: float | None = None
        self._owing: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        self.owing: set[str] = set()
        """Agents that have not been asked to send again yet, since the database was restored."""
        self._refusals: dict[str, str] = {}
        """What they said to it last."""
        self._actions: dict[str, Callable[[Fault], Awaitable[str]]] = {
            "kill": self._kill,
            "pause": self._pause,
            "cut": self._cut,
            "refuse": self._refuse,
            "blackhole": self._blackhole,
            "silent": self._device,
            "garbage": self._device,
            "slow": self._device,
            "full": self._fill,
            "eio": self._fail_disk,
            "corrupt": self._corrupt,
            "backup": self._back_up,
            "restore": self._restore,
            "clock": self._step_clock,
        }

    async def inflict(self, fault: Fault) -> str:
        """Do it, wait, mend it; returns what there is to add in a person's words.

        Raises: DemoError where a part does not come back.
        """
        return await self._actions[fault.kind](fault)

    async def watch_stalls(self) -> None:
        """Note what an agent may have given up because the machine had no time for it or for its meters; never returns.

        The meters are in this process. Whether an answer came in time only the agent knows; a meter believes it did.
        """
        agents = self._plant.agents
        starved_s = dict.fromkeys(agents, 0.0)
        late_s, since_ms = dict.fromkeys(agents, 0.0), now_ms()
        while True:
            looked_ms, at_s = now_ms(), time.monotonic()
            await asyncio.sleep(LOOK_S)
            own_s = time.monotonic() - at_s - LOOK_S
            before_s, starved_s = starved_s, {agent: self._plant.processes[agent].starved_s for agent in agents}
            earlier_s, late_s = late_s, {a: own_s + max(0.0, starved_s[a] - before_s[a]) for a in agents}
            stalled = [agent for agent in agents if earlier_s[agent] + late_s[agent] > STALLED_S]
            if stalled:
                self._waiting.add(asyncio.create_task(self._doubt_later(stalled, since_ms - STALLED_MS)))
            since_ms = looked_ms

    def doubt_hasty(self) -> None:
        """Note polls that were asked for again at once: the agent had given them up before the meter was asked."""
        journal, town = self._plant.journal, self._plant.size.town
        latest: dict[str, int] = {}
        for position, poll in enumerate(journal.polls):
            before = latest.get(poll.device)
            latest[poll.device] = position
            if before is not None and poll.polled_at_ms - journal.polls[before].polled_at_ms < HASTE_MS:
                given_up = journal.polls[before]
                sector = town.sectors[poll.device]
                count = town.models[poll.device].count(poll.device, given_up.polled_at_ms, given_up.wrong, sector)
                journal.doubt(before, count)

    async def _doubt_later(self, agents: list[str], since_ms: int) -> None:
        until_ms = now_ms() + STALLED_MS
        await asyncio.sleep(STALLED_MS / 1000)
        for agent in agents:
            self._doubt(agent, since_ms, until_ms)

    async def settle(self, timeout_s: float) -> None:
        """Wait until every agent has been asked to send again where that is owed.

        Raises: DemoError where one cannot be asked.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*self._owing)
        except TimeoutError as error:
            words = "; ".join(f"{agent} ({self._refusals.get(agent, 'no word')})" for agent in sorted(self.owing))
            raise DemoError(f"cannot be asked to send again: {words}") from error

    async def close(self) -> None:
        """End what still runs."""
        for task in self._owing:
            task.cancel()
        await asyncio.gather(*self._owing, *self._waiting, return_exceptions=True)

    async def _kill(self, fault: Fault) -> str:
        await self._plant.end(fault.target)
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            await self._plant.begin(fault.target)
        return ""

    async def _pause(self, fault: Fault) -> str:
        process = self._plant.processes[fault.target]
        since_ms = now_ms()
        process.pause()
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            with suppress(DemoError):
                process.resume()
        if fault.target in self._plant.agents:
            resumed_ms = now_ms()
            await asyncio.sleep(CUT_SHORT_MS / 1000)
            self._doubt(fault.target, since_ms - CUT_SHORT_MS, resumed_ms + CUT_SHORT_MS)
        return ""

    def _doubt(self, agent: str, since_ms: int, until_ms: int) -> None:
        """Note that polls of an agent's devices may have been given up by an agent that was held meanwhile."""
        journal, town = self._plant.journal, self._plant.size.town
        devices = {device.id for device in town.gateway(agent).devices}
        for position in reversed(range(len(journal.polls))):
            poll = journal.polls[position]
            if poll.polled_at_ms < since_ms:
                return
            if poll.polled_at_ms <= until_ms and poll.device in devices:
                sector = town.sectors[poll.device]
                journal.doubt(
                    position, town.models[poll.device].count(poll.device, poll.polled_at_ms, poll.wrong, sector)
                )

    async def _cut(self, fault: Fault) -> str:
        self._plant.links[fault.target].cut()
        return ""

    async def _refuse(self, fault: Fault) -> str:
        link = self._plant.links[fault.target]
        link.refuse()
        return await self._until_restored(fault)

    async def _blackhole(self, fault: Fault) -> str:
        chance = random.Random(fault.seed)  # noqa: S311 - no secret
        directions = chance.choice(((), ("up",), ("down",)))
        self._plant.links[fault.target].blackhole(*directions)
        await self._until_restored(fault)
        return directions[0] if directions else "both ways"

    async def _until_restored(self, fault: Fault) -> str:
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            await self._plant.links[fault.target].restore()
        return ""

    async def _device(self, fault: Fault) -> str:
        await self._plant.meters.fault(fault.target, fault.kind, for_s=fault.for_s)
        await asyncio.sleep(fault.for_s)
        return ""

    async def _fill(self, fault: Fault) -> str:
        small = self._plant.disks[fault.target]
        await asyncio.to_thread(small.fill)
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            small.empty()
        return ""

    async def _fail_disk(self, fault: Fault) -> str:
        card = self._plant.cards[fault.target]
        await asyncio.to_thread(card.fail)
        is_forgotten = random.Random(fault.seed).random() < FORGOTTEN  # noqa: S311 - no secret
        try:
            if is_forgotten:
                await asyncio.to_thread(card.forget)
            await asyncio.sleep(fault.for_s)
        finally:
            card.mend()
        return "" if is_forgotten else "at writing"

    async def _corrupt(self, fault: Fault) -> str:
        if fault.target in self.owing:
            return "left out: its spool is the only copy of what the restored database lacks"
        await self._plant.end(fault.target)
        try:
            flips = _flip(self._plant, fault)
            await asyncio.sleep(fault.for_s)
        finally:
            await self._plant.begin(fault.target)
        return flips

    async def _back_up(self, _fault: Fault) -> str:
        plant = self._plant
        writers = [STORE] if plant.store_is_process else plant.collectors
        self._backed_up_at_s = time.time()
        try:
            for name in writers:
                await plant.stop(name, STOP_S)
            await asyncio.to_thread(plant.store_files.back_up)
        finally:
            for name in writers:
                await plant.begin(name)
        return ""

    async def _restore(self, _fault: Fault) -> str:
        if self._backed_up_at_s is None:
            return "left out: no backup was made"
        plant = self._plant
        began_s = time.time()
        try:
            for name in [*plant.collectors, *([STORE] if plant.store_is_process else [])]:
                await plant.end(name)
            await asyncio.to_thread(plant.store_files.restore)
            self.owing.update(plant.agents)
        finally:
            for name in [*([STORE] if plant.store_is_process else []), *plant.collectors]:
                await plant.begin(name)
        for agent in plant.agents:
            self._owing.add(asyncio.create_task(self._have_sent_again(agent, self._backed_up_at_s)))
        return f"to its state of {began_s - self._backed_up_at_s:.0f} s before; resend"

    async def _have_sent_again(self, agent: str, backed_up_at_s: float) -> None:
        """Ask an agent to send again, until it does: it may be away or held."""
        file = str(self._plant.files.gateway_file(agent))
        while True:
            since = datetime.fromtimestamp(backed_up_at_s - BEFORE_BACKUP_S, UTC)
            until = datetime.fromtimestamp(time.time() + 1, UTC)
            span = (f"{at:%Y-%m-%dT%H:%M:%S}" for at in (since, until))
            begin, end = span if not self._plant.clocked else ("1990-01-01", "2099-12-31")
            try:
                await run(("gateway", "resend", file, "--from", begin, "--to", end), RESEND_TIMEOUT_S)
            except DemoError as error:
                self._refusals[agent] = str(error)
                await asyncio.sleep(RESEND_PAUSE_S)
                continue
            self.owing.discard(agent)
            return

    async def _step_clock(self, fault: Fault) -> str:
        chosen_s = random.Random(fault.seed).choice(STEPS_S)  # noqa: S311 - no secret
        step_s = -round(time.time()) if chosen_s == TO_1970 else chosen_s
        file = self._plant.clock_file(fault.target)
        file.write_text(f"{step_s:+d}\n", encoding="ascii")
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            file.write_text("+0\n", encoding="ascii")
        return f"{'to 1970' if chosen_s == TO_1970 else f'{step_s:+d} s'} and back"


def _flip(plant: Plant, fault: Fault) -> str:
    """Change some bytes of a spool that nobody has open, or of its log."""
    chance = random.Random(fault.seed)  # noqa: S311 - no secret
    spool = plant.spool(fault.target)
    found = [file for file in (spool, spool.with_name(f"{spool.name}-wal")) if file.exists() and file.stat().st_size]
    if not found:
        return "left out: there is no spool yet"
    file = chance.choice(found)
    flips = chance.randint(1, MOST_FLIPS)
    with file.open("r+b") as content:
        size = file.stat().st_size
        for _ in range(flips):
            at = chance.randrange(size)
            content.seek(at)
            (byte,) = content.read(1)
            content.seek(at)
            content.write(bytes([byte ^ chance.randint(1, 255)]))
    return f"{flips} bytes of {file.name}"
