"""The agent: puts the parts together, and takes them apart again without losing anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import MessnetzError, TransientError
from base.systemd import Notifier
from base.version import VERSION
from gateway import clock, description, reload, status
from gateway.buses import Buses
from gateway.clock import Sources
from gateway.command_handlers import Handlers as CommandHandlers
from gateway.commands import Commands
from gateway.condition import Condition
from gateway.judgement import JudgeMemory
from gateway.link import Link
from gateway.machine import ROOT, Machine
from gateway.sealer import Sealer, SpoolThread
from gateway.sender import LONGEST_WAIT_S, Sender
from gateway.spool import Spool
from gateway.timekeeper import Timekeeper
from gateway.uplink import Uplink
from gateway.watchdog import Part, Watchdog
from gateway.whole import whole
from wire.status import Status, encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from edge.interface import Heard
    from gateway.condition import SpoolCondition
    from gateway.config import GatewayConfig
    from gateway.reload import Refused
    from gateway.timekeeper import Clocks
    from wire.readings import Sample

logger = logging.getLogger(__name__)

DRAIN_S = 5.0
"""How long a stopping agent waits for confirms; what is not confirmed by then is sent after the next start."""
CLOCK_S = 1.0
"""How often the clocks are looked at."""
EXTEND_S = 120.0
"""What systemd is asked to wait longer for a start or an end during which a broken spool is rescued."""
EXTEND_EVERY_S = 1.0
SAY_S = 10.0
"""How often systemd is told how the agent is."""
LONGEST_PAUSE_S = 60.0
"""Of sealer and sender after a failure."""
LONGEST_READ_S = 240.0
"""A reading may take so long: the search of a SunSpec device is a hundred requests."""


class Agent:
    """One run of the agent, on one configuration after the other."""

    def __init__(
        self,
        config: GatewayConfig,
        notifier: Notifier | None = None,
        root: Path = ROOT,
        clocks: Clocks | None = None,
    ) -> None:
        """`root`: where the machine's files are; `clocks`: those of the machine, unless others are given."""
        self._config = config
        self._keeper = Timekeeper(config.file.clock, clocks or Sources(root))
        self._began_s = time.monotonic()
        self._machine = status.machine(root)
        self._root = root
        self._notifier = notifier or Notifier()
        self._refused: Refused | None = None
        self._reloading = asyncio.Lock()
        self._is_up = False
        self._extended_at_s = -EXTEND_EVERY_S

    async def run(self, stop: asyncio.Event) -> int:
        """Run until `stop` is set; then finish polls, seal, and wait a little for confirms.

        Returns: how many readings could not be sealed at the end, and are lost.
        """
        file = self._config.file
        devices = [file.gateway, *(device.id for bus in self._config.buses for device in bus.devices)]
        self._spool = await SpoolThread.open(Path(file.spool.path), file.spool, devices, self._keeper, self._extend)
        await self._recall_time()
        self._uplink = Uplink(
            window=file.uplink.window,
            timeout_s=file.uplink.confirm_timeout_s,
            backlog_readings_per_s=file.uplink.backlog_readings_per_s,
        )
        self._link = Link(self, lambda: self._status("offline"))
        self._sender = Sender(
            self._spool,
            self._uplink,
            self._link.publish_batch,
            on_time=self._keeper.told,
            renew=self._link.renew,
        )
        self._judgement = JudgeMemory(Path(file.spool.path))
        self._buses = Buses(self._keeper, self._deliver, self._judgement.recall, self._settle)
        handlers = CommandHandlers(self._buses.poller, self.reload, self._resend)
        self._commands = Commands(self._config, handlers, self._keeper, self._link.publish_reply)
        self._sealer = Sealer(
            self._spool, self._uplink, file.spool, self._keeper, self._sender.wake, self._commands.marked
        )
        self._sealer.started(devices)
        self._condition = self._own_condition()
        logger.info("gateway %s, stream %s: %d buses", file.gateway, self._spool.spool.stream, len(self._config.buses))
        try:
            connection = self._link.prepare(file, self._commands.topic)
            async with status.serve(Path(file.socket), self._answer), asyncio.TaskGroup() as group:
                await self._link.switch(connection, file)
                self._sending = group.create_task(self._sender.run())
                await self._work(stop)
                self._notifier.stopping()
                await self._drain()
                self._sending.cancel()
        finally:
            await self._judgement.save(self._buses.devices)
            await self._sealer.seal()  # after a fault, too, what is pending goes to disk
            await self._link.stop()
            await self._spool.close()
            self._notifier.close()
        if self._sealer.pending_readings:
            logger.error("%d readings could not be sealed and are lost", self._sealer.pending_readings)
        return self._sealer.pending_readings

    async def reload(self) -> str:
        """Take the file as it is now; where it is wrong, the configuration in force stays. Returns its hash.

        Where this call is cancelled, the reload goes on: a bus is never left between two configurations.

        Raises: ConfigError at the line that is wrong; TransientError while the agent starts or ends.
        """
        return await whole(self._reload())

    async def _reload(self) -> str:
        async with self._reloading:
            if not self._is_up:
                raise TransientError("the agent is starting or ending; it takes no new configuration now")
            began_s = time.monotonic()
            self._notifier.reloading()
            try:
                config = await asyncio.to_thread(reload.load, self._config)
                before, now, topic = self._config.file, config.file, self._commands.topic
                is_moved = (before.mqtt, before.prefix) != (now.mqtt, now.prefix)
                self._commands.follow(config)
                is_moved = is_moved or self._commands.topic != topic
                connection = self._link.prepare(now, self._commands.topic) if is_moved else None
            except MessnetzError as error:
                self._commands.follow(self._config)
                self._refused = reload.refused(self._config.path, error)
                logger.error("not reloaded, the configuration in force stays: %s", error)  # noqa: TRY400 - a person's
                raise
            else:
                self._config, self._refused = config, None
                self._configure_condition()
                await self._buses.apply(config)
                if connection is not None:
                    await self._link.switch(connection, now)
                self._publish_status()
                logger.info("configuration %s in force after %s", config.hash, reload.took(began_s))
                return config.hash
            finally:
                self._notifier.ready()
                self._say()

    def connected(self) -> None:
        """Begin to send: the broker has accepted us."""
        self._publish_status()
        self._sender.connected()

    def disconnected(self) -> None:
        """Wait for the next connection."""
        self._sender.disconnected()

    def confirmed(self, payload: bytes) -> None:
        """Take the collector's word."""
        self._sender.confirmed(payload)

    def commanded(self, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - as Receiver has it
        """Take a command, or what pretends to be one."""
        self._commands.message(payload, retained)

    async def _work(self, stop: asyncio.Event) -> None:
        watchdog = Watchdog(
            self._notifier,
            self._parts,
            lambda: self._spool.run(lambda _: None),
            lambda: self._spool.spool.turned_at_s,
        )
        async with asyncio.TaskGroup() as group:
            self._sealing = group.create_task(self._sealer.run(stop))
            jobs = (self._condition.run, self._watch_clock, self._tell_systemd, self._commands.run, self._remember)
            for job in jobs:
                group.create_task(job(stop))
            await self._buses.apply(self._config)
            self._is_up = True
            self._notifier.ready()
            group.create_task(watchdog.run(stop))
            await stop.wait()
            async with self._reloading:
                self._is_up = False
                await self._buses.stop()

    async def _drain(self) -> None:
        """Seal what is pending, wait for the confirms of what is in flight, mark them."""
        await self._sealer.seal()
        deadline_s = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline_s and self._sender.is_connected:
            if not self._uplink.in_flight and not self._sender.has_unsent:
                break
            await asyncio.sleep(0.02)
        await self._sealer.seal()

    def _deliver(self, sample: Sample) -> None:
        self._sealer.add(sample, urgent=self._buses.is_urgent(sample.device))

    def _settle(self, heard: Heard) -> None:
        self._sealer.with_next_seal(heard.before_sealing, heard.sealed, urgent=heard.is_urgent)

    def _own_condition(self) -> Condition:
        file = self._config.file
        machine = Machine(Path(file.spool.path).parent, self._root)
        condition = Condition(file.gateway, machine, self._keeper, self._spool_condition, self._deliver)
        self._condition = condition
        self._configure_condition()
        return condition

    def _configure_condition(self) -> None:
        tls = self._config.file.mqtt.tls
        self._condition.interval_s = self._config.condition_interval_s
        self._condition.certificate = Path(tls.certificate) if tls else None

    async def _spool_condition(self) -> SpoolCondition:
        return await description.spool_condition(self._spool, self._uplink)

    async def _watch_clock(self, stop: asyncio.Event) -> None:
        """Look at the clocks; commit a new time, ask the collector for one, and say what has changed."""
        said = self._state()
        while not await clock.stopped_within(stop, CLOCK_S):
            turn = self._keeper.turn(is_connected=self._sender.is_connected)
            if turn.is_changed:
                self._sealer.flush()
            if turn.asks or self._state() != said:
                said = self._state()
                self._publish_status()

    async def _recall_time(self) -> None:
        """Go on with the time that the agent before has left; where the disk does not tell, begin anew."""
        try:
            self._keeper.recall(await self._spool.run(Spool.past))
        except MessnetzError as error:
            logger.warning("the time of this boot cannot be read: %s", error)

    async def _tell_systemd(self, stop: asyncio.Event) -> None:
        while True:
            self._say()
            if await clock.stopped_within(stop, SAY_S):
                return

    async def _remember(self, stop: asyncio.Event) -> None:
        await self._judgement.run(stop, self._buses.devices)

    def _extend(self) -> None:
        """Ask systemd for more time while a rescue goes on; killed in it, the next start would begin it anew."""
        now_s = time.monotonic()
        if not self._is_up and now_s - self._extended_at_s >= EXTEND_EVERY_S:
            self._extended_at_s = now_s
            self._notifier.extend(EXTEND_S)

    def _say(self) -> None:
        """Tell systemd in one line how the agent is."""
        silent = [state.id for state in self._buses.devices.values() if state.reach.answers is False]
        parts = [
            self._state(),
            "connected" if self._sender.is_connected else "not connected",
            f"{len(self._buses.devices)} devices on {len(self._buses)} buses",
            *([f"no answer from {', '.join(silent)}"] if silent else []),
            *([f"reload refused: {self._refused.error}"] if self._refused else []),
        ]
        self._notifier.status("; ".join(parts))

    def _parts(self) -> Iterator[Part]:
        """Return what must show signs of life, and until when."""
        rescued_s = self._spool.spool.turned_at_s  # both wait for the spool meanwhile
        seal_s = self._config.file.spool.seal_interval_s + LONGEST_PAUSE_S
        yield Part("the sealer", 0.0 if self._sealing.done() else max(self._sealer.turned_at_s, rescued_s) + seal_s)
        send_s = LONGEST_WAIT_S + LONGEST_PAUSE_S
        yield Part("the sender", 0.0 if self._sending.done() else max(self._sender.turned_at_s, rescued_s) + send_s)
        for poller, has_ended in self._buses.pollers():
            yield Part(f"bus {poller.plan.id}", 0.0 if has_ended else poller.waits_until_s + LONGEST_READ_S)

    def _publish_status(self) -> None:
        self._link.publish_status(self._status(self._state()))

    def _state(self) -> Literal["online", "no_time"]:
        return "no_time" if self._keeper.wants_time else "online"

    def _status(self, state: Literal["online", "offline", "no_time"]) -> bytes:
        return encode(
            Status(
                state=state,
                since_ms=self._keeper.wall_ms(self._began_s) if self._keeper.is_synchronised() else 0,
                version=VERSION,
                stream=self._spool.spool.stream,
                machine=self._machine,
                config=self._config.hash,
            )
        )

    async def _answer(self, asked: status.Asked) -> dict[str, object]:
        """Answer a command of the socket."""
        match asked.command:
            case "reload":
                return {"gateway": self._config.file.gateway, "config": await self.reload()}
            case "resend":
                return {"gateway": self._config.file.gateway, "batches": await self._resend(asked.from_ms, asked.to_ms)}
            case _:
                return await self._describe(with_latest=asked.latest)

    async def _resend(self, from_ms: int, to_ms: int) -> int:
        await self._sealer.seal()  # what was confirmed since the last seal is marked by it, and can be put back
        batches, readings = await self._sender.resend(lambda spool: spool.resend(from_ms, to_ms))
        logger.info("%d batches (%d readings) are sent again: from %d to %d ms", batches, readings, from_ms, to_ms)
        self._sender.wake()
        return batches

    async def _describe(self, *, with_latest: bool) -> dict[str, object]:
        return {
            "gateway": self._config.file.gateway,
            "running": True,
            "state": self._state(),
            "connected": self._sender.is_connected,
            "stream": self._spool.spool.stream,
            "version": VERSION,
            "since_ms": self._keeper.wall_ms(self._began_s),
            "now_ms": self._keeper.now_ms(),
            "time": self._keeper.state()._asdict(),
            "config": self._config.hash,
            "refused": asdict(self._refused) if self._refused else None,
            "pending_readings": self._sealer.pending_readings,
            "dropped_readings": self._sealer.dropped_readings,
            "in_flight_batches": self._uplink.in_flight,
            "window_batches": self._config.file.uplink.window,
            "uplink": description.sending(self._uplink, time.monotonic()),
            "broker": "{}:{}".format(*self._config.file.mqtt.endpoint()),
            "buses": self._buses.status(with_latest=with_latest),
            "seal_error": self._sealer.error,
            **(await description.spool(self._spool, self._uplink, self._keeper.now_ms())),
        }


async def reload_quietly(agent: Agent) -> None:
    """Reload for a signal: what is wrong is in the log and in the status, and nobody else asks."""
    with contextlib.suppress(MessnetzError):
        await agent.reload()
