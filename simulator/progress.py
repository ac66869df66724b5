"""What is known of a running demo, for whoever shows it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from simulator.account import GatewayStatus
from simulator.town import DEMO

if TYPE_CHECKING:
    from simulator.account import Stored
    from simulator.devices import Journal
    from simulator.spec import TownSpec

KEPT_EVENTS = 8


class Event(NamedTuple):
    """Something that happened. `at` is Unix time in s."""

    at: float
    text: str


class Counts(NamedTuple):
    """Readings at each stage of the way. From `sealed` on with what the gateways tell of themselves."""

    made: int
    """By the meters."""
    sealed: int
    confirmed: int
    stored: int
    own: int
    """Of those stored, what the gateways told of themselves."""


@dataclass
class Progress:
    """The state of a demo. Changed by the watchers, read by the views; all in one event loop."""

    broker: str
    store: str
    journal: Journal
    town: TownSpec = DEMO
    status: GatewayStatus = field(default_factory=GatewayStatus)
    stored: int = 0
    """What the gateways tell of themselves included, as in what they seal."""
    own: int = 0
    """Of those stored."""
    latest: dict[tuple[str, str], Stored] = field(default_factory=dict)
    """The newest stored reading by device and quantity."""
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def counts(self) -> Counts:
        """The numbers as they are known now; those of the gateway and the store lag by a moment."""
        sealed, confirmed = self.status.sealed_readings, self.status.confirmed_readings
        return Counts(self.journal.readings, sealed, confirmed, self.stored, self.own)

    def happened(self, text: str) -> None:
        """Note an event."""
        self.events.append(Event(time.time(), text))

    def learn(self, status: GatewayStatus) -> None:
        """Take a new status of the gateway, and note what changed."""
        before, self.status = self.status, status
        if status.connected != before.connected:
            self.happened("the agent is connected to the broker" if status.connected else "the agent lost the broker")
        if status.sealed_batches > before.sealed_batches:
            readings = status.sealed_readings - before.sealed_readings
            self.happened(f"batch {status.sealed_batches} sealed on the gateway's disk: {readings} readings")
        if status.confirmed_batches > before.confirmed_batches:
            self.happened(f"batch {status.confirmed_batches} confirmed: {self.store} has it on disk")
        if status.rejected_readings > before.rejected_readings:
            self.happened(f"{status.rejected_readings} readings rejected: the store can never take them")
