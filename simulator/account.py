"""The account: what became of every reading that the simulated meters made.

A pure function of the witnesses: the meters' journal, the readings that the store gave back, those that it holds
as unregistered, and what the gateway says of its spool. It costs O(n log n).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from simulator.devices import Poll

CLOCK_SLACK_MS = 2
"""The agent takes the time of a sample just before its request, by the same clock; both round to 1 ms."""
OF_DEVICES = frozenset({"reachable", "bus_requests", "bus_errors", "bus_error_rate"})
"""What the gateway says of a device that it reads."""
TIME_SLACK_MS = 1_000
"""How far a stored time may be off its poll: a bus may be busy for a moment."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One reading as `messnetz cloud export --json` writes it. Unix time in ms."""

    measurement: str
    device: str
    quantity: str
    channel: str
    time_ms: int
    value: float
    flags: int = 0
    gateway: str = ""

    @property
    def name(self) -> str:
        """`<quantity>` or `<quantity>/<channel>`, as on the wire."""
        return f"{self.quantity}/{self.channel}" if self.channel else self.quantity


class GatewayStatus(msgspec.Struct, frozen=True):
    """What `messnetz gateway status --json` says of an agent and its spool."""

    running: bool = False
    state: str = ""
    connected: bool = False
    sealed_readings: int = 0
    confirmed_readings: int = 0
    sealed_batches: int = 0
    confirmed_batches: int = 0
    pending_readings: int = 0
    rejected_readings: int = 0


class Account(msgspec.Struct, frozen=True):
    """Numbers of readings, from the meters' registers to the store. Those of the gateway include its own."""

    made: int
    """What the polls of the journal made."""
    sealed: int
    confirmed: int
    stored: int
    """Read back from the store."""
    lost: int
    """Made, and no stored reading matches."""
    duplicates: int
    """Stored beyond one for the same made reading."""
    wrong: int
    """Stored with another value than the truth of their poll, or matching no poll."""
    wrong_time: int
    """Stored with a time that is off their poll by more than a second."""
    unregistered: int
    """Stored where nobody looks for them: the registry did not know them."""
    own: int = 0
    """Stored beside them: what the gateway says of itself, and of its devices (whether they answer)."""

    @property
    def is_clean(self) -> bool:
        """Whether every reading that was made is stored once and as it was, and the gateway knows that it is."""
        arrived = 0 < self.made == self.stored and self.sealed == self.confirmed == self.stored + self.own
        return arrived and not (self.lost or self.duplicates or self.wrong or self.wrong_time or self.unregistered)


@dataclass(frozen=True)
class Witness:
    """What the simulation knows and an account needs."""

    quantities: Mapping[str, Collection[str]]
    """Device -> its quantities as on the wire; all others are ignored."""
    truth: Callable[[str, str, int], float]
    """Device, quantity, time of poll in Unix ms -> the value that a reading must have."""
    interval_ms: int
    """How long before its poll a sample may have been measured at most."""
    since_ms: int
    """Readings before this belong to an earlier run."""
    gateway: str = ""
    """The gateway of this run: what is unregistered tells nothing else that could be trusted."""

    def concerns(self, reading: Stored) -> bool:
        """Whether a stored reading is one of this run's simulated ones."""
        is_ours = reading.name in self.quantities.get(reading.device, ())
        return is_ours and self._is_recent(reading)

    def is_own(self, reading: Stored) -> bool:
        """Whether a stored reading is one that no meter made: the gateway's, of itself or of a device."""
        of_device = reading.device in self.quantities and reading.name in OF_DEVICES
        return (of_device or reading.device == self.gateway) and self._is_recent(reading)

    def is_unregistered(self, reading: Stored) -> bool:
        """Whether an unregistered reading is one of this run."""
        return reading.gateway == self.gateway and self._is_recent(reading)

    def _is_recent(self, reading: Stored) -> bool:
        return reading.time_ms >= self.since_ms - CLOCK_SLACK_MS


def settle(
    witness: Witness,
    polls: Iterable[Poll],
    stored: Iterable[Stored],
    status: GatewayStatus,
    unregistered: Iterable[Stored] = (),
) -> Account:
    """Make the account of one run.

    Raises: KeyError for a poll of a device that the witness does not know.
    """
    times = _times_by_device(polls)
    made = sum(len(at_ms) * len(witness.quantities[device]) for device, at_ms in times.items())
    seen: set[tuple[str, str, int]] = set()
    total = duplicates = wrong = wrong_time = own = 0
    for reading in stored:
        own += witness.is_own(reading)
        if not witness.concerns(reading):
            continue
        total += 1
        polled_at_ms = _poll_of(reading, times.get(reading.device, []), witness.interval_ms)
        if polled_at_ms is None:
            wrong += 1
            continue
        wrong += reading.value != witness.truth(reading.device, reading.name, polled_at_ms)
        wrong_time += abs(polled_at_ms - reading.time_ms) > TIME_SLACK_MS
        key = (reading.device, reading.name, polled_at_ms)
        duplicates += key in seen
        seen.add(key)
    return Account(
        made=made,
        sealed=status.sealed_readings,
        confirmed=status.confirmed_readings,
        stored=total,
        lost=made - len(seen),
        duplicates=duplicates,
        wrong=wrong,
        wrong_time=wrong_time,
        unregistered=sum(map(witness.is_unregistered, unregistered)),
        own=own,
    )


def _times_by_device(polls: Iterable[Poll]) -> dict[str, list[int]]:
    times: dict[str, set[int]] = {}
    for poll in polls:
        times.setdefault(poll.device, set()).add(poll.polled_at_ms)
    return {device: sorted(at_ms) for device, at_ms in times.items()}


def _poll_of(reading: Stored, polled_at_ms: list[int], interval_ms: int) -> int | None:
    """Time of the first poll that a reading can come from; None where there is none in time."""
    index = bisect_left(polled_at_ms, reading.time_ms - CLOCK_SLACK_MS)
    if index == len(polled_at_ms) or polled_at_ms[index] - reading.time_ms > interval_ms:
        return None
    return polled_at_ms[index]
