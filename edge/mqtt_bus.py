"""A bus whose devices publish to a broker. A driver brings what is its own: what a message says, and of whom.

MqttPlan(id, session, subscriptions, devices, make)    # `make` builds the driver's `Interpreter` when it is opened
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from edge.hearing import Hearing
from edge.speaking import SpeakingBus, SpeakingPlan, SpeakingTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.hearing import Said
    from edge.interface import BusPlan, Heard, Measured, Place, Traffic
    from edge.mqtt_config import SourceSession
    from edge.mqtt_source import Message, MqttSource


class Topic(NamedTuple):
    """A topic filter; QoS 1 where its messages tell when they were measured, else 0 (see `edge.mqtt_source`)."""

    filter: str
    qos: int = 1


class Interpreter(Protocol):
    """Understands the messages of one bus."""

    async def understand(self, message: Message) -> Sequence[Said] | None:
        """Return what a message says; None where no device here has its topic, so that the subscription is ended.

        A message that cannot be read is `Said` so; an exception is a fault of ours, and costs the message.
        """

    def follow(self, devices: Sequence[MqttTarget]) -> None:
        """Go on with other devices; what is known of those that did not change stays."""

    async def close(self) -> None:
        """Let go of what it holds."""


@runtime_checkable
class Gathering(Protocol):
    """An interpreter that thins the messages of some devices; one without this method thins none."""

    def take(self, device: str) -> Measured | None:
        """Return the sample of an interval; None where there is none, or each message is a sample."""


@dataclass(frozen=True)
class MqttTarget(SpeakingTarget):
    """One device of such a bus."""


@dataclass(frozen=True)
class MqttPlan(SpeakingPlan):
    """A checked bus that listens to a broker."""

    id: str
    session: SourceSession
    topics: tuple[Topic, ...]
    devices: tuple[MqttTarget, ...]
    make: Callable[[MqttPlan, MqttSource], Interpreter] = field(compare=False, repr=False)
    """Called when the bus is opened: loads what the driver needs."""
    bus: type[MqttBus] | None = field(default=None, compare=False, repr=False)
    """A bus of the driver's own, where it can more than listen."""
    settings: tuple[object, ...] = ()
    """What else of the bus's file `make` has taken in: with others it is another line."""

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.session.place

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether an open bus can go on with another plan: session and topics are the same, if perhaps its devices."""
        if not isinstance(other, MqttPlan):
            return False
        own, others = (self.session, self.topics), (other.session, other.topics)
        return own == others and self.settings == other.settings

    def open(self) -> MqttBus:
        """Make the bus ready; it connects when it is first listened to."""
        return (self.bus or MqttBus)(self)


class MqttBus(SpeakingBus):
    """The open bus."""

    def __init__(self, plan: MqttPlan) -> None:
        from edge.mqtt_source import MqttSource, Subscription  # noqa: PLC0415 - paho is loaded when it is first needed

        self.plan = plan
        self.source = MqttSource(plan.session, [Subscription(*topic) for topic in plan.topics], f"bus {plan.id}")
        self.interpreter = plan.make(plan, self.source)
        self._hearing = Hearing(plan.id, "message")
        self._pending: deque[Heard] = deque()
        self._listening: asyncio.Task[None] | None = None

    async def heard(self) -> Heard:
        """Wait for the next sample of any device."""
        while not self._pending:
            if self._listening is None:
                self._listening = asyncio.create_task(self._hear(), name=f"bus {self.plan.id}: a message")
            # Whoever is told to stop waiting leaves the message to the next who waits.
            await asyncio.wait({self._listening})
            done, self._listening = self._listening, None
            done.result()
        return self._pending.popleft()

    async def _hear(self) -> None:
        """Understand the next message."""
        message = await self.source.next()
        try:
            said = await self.interpreter.understand(message)
        except Exception:
            self.source.done(message)  # it would come again and again, and be no better
            raise
        if said is None:
            self.source.unwanted(message)
            return
        for each in said:
            self._hearing.took(each, None if message.is_retained else message.arrived_s)
        samples = [(each.device, each.measured) for each in said if each.measured is not None]
        self._pending.extend(self.source.heard(message, samples))

    async def read(self, device: str) -> Measured:
        """Return what a device whose messages are thinned said in the interval; others speak by themselves.

        Raises: ParkedError where there is no news; NoAnswerError where nothing was heard of it for too long.
        """
        measured = self.interpreter.take(device) if isinstance(self.interpreter, Gathering) else None
        if measured is not None:
            return measured
        target = next(target for target in self.plan.devices if target.id == device)
        why = f"{self.plan.session}: {self.source.why}" if self.source.why else ""
        raise self._hearing.silence(target, self.plan.session, why)

    def traffic(self, device: str) -> Traffic:
        """Return how many messages came of a device, and how many of them could not be read."""
        return self._hearing.traffic(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with other devices."""
        if not isinstance(plan, MqttPlan):
            raise TypeError(f"bus {self.plan.id} cannot go on with a {type(plan).__name__}")
        self.plan = plan
        self.interpreter.follow(plan.devices)
        here = {target.id for target in plan.devices}
        self._pending = deque(heard for heard in self._pending if self._is_for(heard, here))

    async def close(self) -> None:
        """Disconnect; the broker keeps the session, and whatever was not sealed comes again."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        await self.source.close()
        await self.interpreter.close()

    @staticmethod
    def _is_for(heard: Heard, devices: set[str]) -> bool:
        if heard.device not in devices and heard.sealed is not None:
            heard.sealed()
        return heard.device in devices
