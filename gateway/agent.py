"""The agent: puts the parts together, and takes them apart again without losing anything."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from base.mqtt import Connection, Handlers, Will
from gateway import clock, status
from gateway.clock import Clock
from gateway.poller import Poller
from gateway.sealer import Sealer, SpoolThread
from gateway.sender import Sender
from gateway.spool import Spool
from gateway.uplink import Uplink
from wire.status import Status, encode
from wire.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Literal

    from gateway.config import GatewayConfig

logger = logging.getLogger(__name__)

DRAIN_S = 5.0
"""How long a stopping agent waits for confirms; what is not confirmed by then is sent after the next start."""


class Agent:
    """One run of the agent on one configuration."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._file = config.file
        self._topics = Topics(self._file.prefix)
        self._clock = Clock(self._file.clock)
        self._since_ms = clock.now_ms()
        self._version = version("messnetz")
        self._machine = status.machine()

    async def run(self, stop: asyncio.Event) -> int:
        """Run until `stop` is set; then finish polls, seal, and wait a little for confirms.

        Returns: how many readings could not be sealed at the end, and are lost.
        """
        file = self._file
        self._loop = asyncio.get_running_loop()
        self._spool = await SpoolThread.open(Path(file.spool.path), file.spool)
        self._uplink = Uplink(
            window=file.uplink.window,
            timeout_s=file.uplink.confirm_timeout_s,
            backlog_readings_per_s=file.uplink.backlog_readings_per_s,
        )
        self._mqtt = self._connection()
        self._sender = Sender(self._spool, self._uplink, self._publish_batch, renew=self._mqtt.renew)
        self._sealer = Sealer(self._spool, self._uplink, file.spool, self._sender.wake)
        logger.info("gateway %s, stream %s: %d buses", file.gateway, self._spool.spool.stream, len(self._config.buses))
        try:
            async with status.serve(Path(file.socket), self._answer), asyncio.TaskGroup() as group:
                self._mqtt.start()
                sending = group.create_task(self._sender.run())
                await self._work(stop)
                await self._drain()
                sending.cancel()
        finally:
            await self._sealer.seal()  # after a fault, too, what is pending goes to disk
            await self._loop.run_in_executor(None, self._say_goodbye)
            await self._spool.close()
        if self._sealer.pending_readings:
            logger.error("%d readings could not be sealed and are lost", self._sealer.pending_readings)
        return self._sealer.pending_readings

    async def _work(self, stop: asyncio.Event) -> None:
        tasks: list[Coroutine[Any, Any, None]] = [self._sealer.run(stop), self._watch_clock(stop)]
        tasks += [Poller(plan, self._clock, self._sealer.add).run(stop) for plan in self._config.buses]
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)

    async def _drain(self) -> None:
        """Seal what is pending, wait for the confirms of what is in flight, mark them."""
        await self._sealer.seal()
        deadline_s = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline_s and self._sender.is_connected:
            if not self._uplink.in_flight and not self._sender.has_unsent:
                break
            await asyncio.sleep(0.02)
        await self._sealer.seal()

    async def _watch_clock(self, stop: asyncio.Event) -> None:
        """Tell the broker when the clock is first believed."""
        while not stop.is_set() and not self._clock.is_synchronised():
            await clock.stopped_within(stop, clock.CHECK_S)
        self._publish_status()

    def _connection(self) -> Connection:
        gateway = self._file.gateway

        def on_message(_topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - Handlers' signature
            if not retained:
                self._loop.call_soon_threadsafe(self._sender.confirmed, payload)

        def on_connected() -> None:
            self._loop.call_soon_threadsafe(self._connected)

        def on_disconnected(_reason: str) -> None:
            self._loop.call_soon_threadsafe(self._sender.disconnected)

        return Connection(
            self._file.mqtt,
            client_id=gateway,
            handlers=Handlers(on_connected, on_disconnected, on_message),
            subscriptions=[self._topics.of(gateway, "confirm")],
            will=Will(self._topics.of(gateway, "status"), self._status("offline")),
        )

    def _connected(self) -> None:
        self._publish_status()
        self._sender.connected()

    def _publish_batch(self, payload: bytes) -> bool:
        return self._mqtt.publish(self._topics.of(self._file.gateway, "batch"), payload)

    def _publish_status(self) -> None:
        self._mqtt.publish(self._topics.of(self._file.gateway, "status"), self._status(self._state()), retain=True)

    def _state(self) -> Literal["online", "no_time"]:
        return "online" if self._clock.is_synchronised() else "no_time"

    def _say_goodbye(self) -> None:
        self._mqtt.publish(self._topics.of(self._file.gateway, "status"), self._status("offline"), retain=True)
        self._mqtt.stop()

    def _status(self, state: Literal["online", "offline", "no_time"]) -> bytes:
        return encode(
            Status(
                state=state,
                since_ms=self._since_ms,
                version=self._version,
                stream=self._spool.spool.stream,
                machine=self._machine,
                config=self._config.hash,
            )
        )

    async def _answer(self) -> dict[str, object]:
        totals = await self._spool.run(Spool.totals)
        unmarked = self._uplink.settled()  # confirmed, and marked with the next seal
        totals = replace(
            totals,
            confirmed_batches=totals.confirmed_batches + len(unmarked.confirmed),
            confirmed_readings=totals.confirmed_readings + self._uplink.unmarked_readings,
        )
        return {
            "gateway": self._file.gateway,
            "running": True,
            "state": self._state(),
            "connected": self._sender.is_connected,
            "stream": self._spool.spool.stream,
            "pending_readings": self._sealer.pending_readings,
            "dropped_readings": self._sealer.dropped_readings,
            "in_flight_batches": self._uplink.in_flight,
            **asdict(totals),
        }
