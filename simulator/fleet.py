"""A fleet: thousands of light gateways that speak the wire contract by themselves, and count what is confirmed.

They send by a gateway's rules: at most `window` batches unconfirmed, one place of it for fresh data only, the backlog
oldest first; again after a reconnect, or after a jittered time-out that grows with every try and that any confirm
resets. A batch is kept until it is confirmed and then forgotten, so memory is bounded by the window.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator import source as sources
from simulator.fleet_gateway import FleetGateway
from simulator.fleet_report import FleetReport
from simulator.link import Link
from wire.topics import DEFAULT_PREFIX, Topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from base.broker import MqttConfig
    from simulator.devices import Poll
    from simulator.source import Source

TICK_S = 0.1
LOOK_S = 0.05


@dataclass(frozen=True)
class FleetPlan:
    """What a fleet does. Times are Unix times in ms."""

    source: Source
    backlog: Sequence[tuple[int, int]] = ()
    """Stretches of time that every gateway has sealed before it connects: after the first, until the second."""
    fresh_every_s: float | None = None
    """How often every gateway seals a new batch, each at a moment of its own; never where None."""
    connections: int | None = None
    """MQTT connections that the gateways share; one each where None."""
    window: int = 16
    timeout_s: float = 15.0
    prefix: str = DEFAULT_PREFIX
    seed: int | None = None
    """Of times and of the streams' ids; chosen by chance where None, so that no number is used twice on one store."""


def spans(after_ms: int, until_ms: int, step_ms: int) -> list[tuple[int, int]]:
    """Part a stretch of time into batches."""
    return [(at, min(until_ms, at + step_ms)) for at in range(after_ms, until_ms, step_ms)]


class Fleet:
    """All gateways of a town on one broker, while the context lasts."""

    def __init__(self, plan: FleetPlan, mqtt: MqttConfig) -> None:
        self.plan = plan
        self._mqtt = mqtt
        self._chance = random.Random(plan.seed)  # noqa: S311 - no secret
        self._topics = Topics(plan.prefix)
        self.gateways = {
            spec.id: FleetGateway(spec.id, plan, random.Random(self._chance.random()))  # noqa: S311 - no secret
            for spec in plan.source.town.gateways
        }
        self._ready: deque[FleetGateway] = deque()
        self._woken = asyncio.Event()
        self._link_of: dict[str, Link] = {}
        self._links: list[Link] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._began_s = time.monotonic()
        self._is_sealing = plan.fresh_every_s is not None

    async def __aenter__(self) -> Self:
        """Connect all at once; returns without waiting for the broker."""
        names = list(self.gateways)
        number = min(self.plan.connections or len(names), len(names))
        self._began_s = time.monotonic()
        for index in range(number):
            link = self._link(index, names[index::number])
            self._links.append(link)
            self._tasks.append(asyncio.create_task(link.run()))
        self._tasks += [asyncio.create_task(self._tick()), asyncio.create_task(self._send())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        faults = [result for result in results if isinstance(result, Exception)]
        if faults and kind is None:
            raise faults[0]

    def has_fresh(self) -> bool:
        """Whether every gateway has had a fresh batch confirmed."""
        return all(gateway.has_fresh for gateway in self.gateways.values())

    def stop_sealing(self) -> None:
        """Seal no more fresh batches; what is sealed is still sent."""
        self._is_sealing = False

    async def drained(self, timeout_s: float) -> bool:
        """Wait until all that is sealed is confirmed; False where that takes longer.

        Waits a moment in any case: who asks again and again must not keep the fleet from its work.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    await asyncio.sleep(LOOK_S)
                    for task in self._tasks:
                        if task.done():
                            task.result()
                    if all(gateway.is_drained for gateway in self.gateways.values()):
                        return True
        return False

    def report(self) -> FleetReport:
        """What was reached so far."""
        return FleetReport.of(
            [
                gateway.report(self._began_s, self._link_of[name].sessions_lost)
                for name, gateway in self.gateways.items()
            ],
            time.monotonic() - self._began_s,
        )

    def polls(self) -> Iterator[Poll]:
        """What an account has to know of all that was sealed."""
        for name, gateway in self.gateways.items():
            for span in gateway.sealed_spans():
                yield from sources.polls(self.plan.source, name, *span)

    def _link(self, index: int, names: list[str]) -> Link:
        """Make a connection that some gateways share; one of a single gateway bears its name, as a gateway's does."""
        link = Link(
            self._mqtt,
            names[0] if len(names) == 1 else f"fleet-{index}-{self._chance.getrandbits(32):08x}",
            [self._topics.of(name, "confirm") for name in names],
            on_message=self._arrived,
            on_ready=lambda: self._connected(names),
            on_lost=lambda: None,
            chance=self._chance.random,
        )
        self._link_of |= dict.fromkeys(names, link)
        return link

    def _connected(self, names: list[str]) -> None:
        for name in names:
            self.gateways[name].reconnected()
            self._want(self.gateways[name])

    def _arrived(self, topic: str, payload: bytes) -> None:
        at = self._topics.read(topic)
        if at is not None and at.gateway in self.gateways and self.gateways[at.gateway].confirmed(payload):
            self._want(self.gateways[at.gateway])

    def _want(self, gateway: FleetGateway) -> None:
        """Put a gateway in the queue of those that may have something to send; each is there once."""
        if not gateway.is_queued:
            gateway.is_queued = True
            self._ready.append(gateway)
            self._woken.set()

    async def _tick(self) -> None:
        """Seal fresh batches and notice time-outs."""
        while True:
            now_s = time.monotonic()
            for gateway in self.gateways.values():
                if self._is_sealing:
                    gateway.seal_if_due(now_s)
                if gateway.has_to_send(now_s):
                    self._want(gateway)
            await asyncio.sleep(TICK_S)

    async def _send(self) -> None:
        """Send one batch of each gateway that has some, in turn: none waits for another's backlog."""
        while True:
            self._woken.clear()
            while self._ready:
                gateway = self._ready.popleft()
                gateway.is_queued = False
                link = self._link_of[gateway.name]
                if link.is_ready:
                    batch = gateway.next_to_send(time.monotonic())
                    if batch is not None:
                        topic = self._topics.of(gateway.name, "batch")
                        gateway.sent(batch, time.monotonic(), is_taken=link.publish(topic, batch.payload))
                        self._want(gateway)
                await asyncio.sleep(0)
            await self._woken.wait()
