"""The account: what became of every reading that the simulated devices made.

A pure function of the witnesses: the devices' journal, the readings and gaps that the store gave back, those that it
holds as unregistered, and what the gateways say of their spools. `unaccounted = made - (stored or declared)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from simulator.devices import Poll
    from simulator.faults import Wrong

CLOCK_SLACK_MS = 2
"""The agent takes the time of a sample just before its request, by the same clock; both round to 1 ms."""
OF_DEVICES = frozenset(
    {
        *("reachable", "bus_requests", "bus_errors", "bus_error_rate"),
        *("rssi", "snr", "spreading_factor", "frames_lost", "airtime"),
    }
)
"""What the gateway says of a device that it reads, or hears by radio."""
TIME_SLACK_MS = 1_000
"""How far a stored time may be off its poll: a bus may be busy for a moment."""
STALLED_SLACK_MS = 3_000
"""As far where the poll is doubted: the machine may have stood still between the agent's stamp and its request."""
EXCUSED = 8 | 16
"""Flags by which a reading says that its time is not the clock's own."""


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


class Gap(msgspec.Struct, frozen=True):
    """A stretch for which readings of a device are declared missing. Unix time in ms, both ends included."""

    device: str
    reason: str
    since_ms: int
    until_ms: int

    def covers(self, polled_at_ms: int) -> bool:
        """Whether it declares what a poll made."""
        return self.since_ms - CLOCK_SLACK_MS <= polled_at_ms <= self.until_ms + TIME_SLACK_MS


def gaps(exported: Iterable[Stored]) -> list[Gap]:
    """Read the gaps out of what `messnetz cloud export --measurement gap` writes."""
    return [Gap(r.device, r.channel, r.time_ms, round(r.value * 1000)) for r in exported if r.quantity == "gap_until"]


class GatewayStatus(msgspec.Struct, frozen=True):
    """What `messnetz gateway status --json` says of an agent and its spool; or of several, added up."""

    running: bool = False
    state: str = ""
    connected: bool = False
    sealed_readings: int = 0
    confirmed_readings: int = 0
    sealed_batches: int = 0
    confirmed_batches: int = 0
    waiting_batches: int = 0
    """Sealed, and neither confirmed nor rejected."""
    pending_readings: int = 0
    rejected_readings: int = 0
    spool_error: str = ""
    """Why nothing is known of the spool; then its numbers are none."""

    @property
    def waiting_readings(self) -> int:
        """Sealed, and neither confirmed nor rejected."""
        return self.sealed_readings - self.confirmed_readings - self.rejected_readings if self.waiting_batches else 0

    @classmethod
    def total(cls, statuses: Collection[Self]) -> Self:
        """Add up what several gateways say; `running` and `connected` where all of them are."""
        numbers = (
            "sealed_readings",
            "confirmed_readings",
            "sealed_batches",
            "confirmed_batches",
            "waiting_batches",
            "pending_readings",
            "rejected_readings",
        )
        return cls(
            running=bool(statuses) and all(status.running for status in statuses),
            state=", ".join(sorted({status.state for status in statuses})),
            connected=bool(statuses) and all(status.connected for status in statuses),
            **{name: sum(getattr(status, name) for status in statuses) for name in numbers},
        )


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of readings, from the devices' registers to the store."""

    made: int
    """What the polls of the journal made, as far as it is certain, and what arrived of the rest."""
    sealed: int
    """By all gateways, what they tell of themselves included."""
    confirmed: int
    stored: int
    """Read back from the store, of the simulated devices."""
    lost: int
    """Made, and no stored reading matches; `declared` or `unaccounted`."""
    declared: int = 0
    """Lost, and a gap says so."""
    unaccounted: int = 0
    """Lost, and nothing says so."""
    stored_and_declared: int = 0
    """In the store although a gap speaks of them: no harm, and reported."""
    duplicates: int
    """Stored beyond one for the same made reading."""
    wrong: int
    """Stored with another value than the truth of their poll, or matching no poll."""
    wrong_time: int
    """Stored with a time that is off their poll by more than a second, without a flag that says so."""
    displaced: int = 0
    """As `wrong_time`, with flag 8 or 16."""
    unregistered: int
    """Stored where nobody looks for them: the registry did not know them."""
    own: int = 0
    """Stored, and told by the gateways of themselves or of whether a device answers."""
    waiting: int = 0
    """Sealed, and neither confirmed nor rejected when the gateways ended."""

    def __add__(self, other: Account) -> Account:
        numbers = {name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__}
        return Account(**numbers)

    @property
    def is_whole(self) -> bool:
        """Whether the promise is held: each reading stored once and as it was, or declared missing."""
        return not (self.unaccounted or self.duplicates or self.wrong or self.wrong_time)

    @property
    def is_early(self) -> bool:
        """Whether all that the account lacks may still wait on the gateways: they ended before the confirms."""
        is_harmed = self.duplicates or self.wrong or self.wrong_time or self.unregistered or self.declared
        is_kept = self.unaccounted <= self.waiting and self.made <= self.sealed
        return bool(self.waiting and is_kept and not is_harmed and self.stored + self.own >= self.confirmed)

    @property
    def is_clean(self) -> bool:
        """Whether every reading that was made is stored once and as it was, and the gateways know that it is."""
        arrived = 0 < self.made == self.stored and self.made + self.own == self.sealed == self.confirmed
        return arrived and self.is_whole and not (self.lost or self.unregistered)


def combined(accounts: Iterable[Account]) -> Account:
    """Add up the accounts of several stretches of time or parts of a town."""
    return reduce(add, accounts)


def _never(_device: str, _quantity: str, _at_ms: int, wrong: Wrong) -> float | None:
    raise ValueError(f"a poll under {wrong} in a town without faults")


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
    gateways: Collection[str] = ()
    """The gateways of this run: what is unregistered tells nothing else that could be trusted."""
    until_ms: int | None = None
    """Readings from here on belong to another account; None where there is none."""
    distorted: Callable[[str, str, int, Wrong], float | None] = _never
    """As `truth`, for a poll under a fault that makes values wrong; None where the registers hold no value."""

    def concerns(self, reading: Stored) -> bool:
        """Whether a stored reading is one of this run's simulated ones."""
        is_ours = reading.name in self.quantities.get(reading.device, ())
        return is_ours and self._is_of_this_time(reading)

    def is_own(self, reading: Stored) -> bool:
        """Whether a stored reading is what a gateway of this run tells of itself or of a device's being there."""
        is_of_device = reading.device in self.quantities and reading.name in OF_DEVICES
        return (is_of_device or reading.device in self.gateways) and self._is_of_this_time(reading)

    def is_unregistered(self, reading: Stored) -> bool:
        """Whether an unregistered reading is one of this run's devices."""
        is_ours = reading.gateway in self.gateways and reading.device not in self.gateways
        return is_ours and self._is_of_this_time(reading)

    def _is_of_this_time(self, reading: Stored) -> bool:
        is_begun = reading.time_ms >= self.since_ms - CLOCK_SLACK_MS
        return is_begun and (self.until_ms is None or reading.time_ms < self.until_ms)


def settle(
    witness: Witness,
    polls: Iterable[Poll],
    stored: Iterable[Stored],
    status: GatewayStatus,
    unregistered: Iterable[Stored] = (),
    declared: Iterable[Gap] = (),
) -> Account:
    """Make the account of one run in one call; `simulator.ledger` does it piece by piece.

    Raises: KeyError for a poll of a device that the witness does not know.
    """
    from simulator.ledger import Ledger  # noqa: PLC0415 - the ledger needs the words above

    ledger = Ledger(witness, polls)
    for reading in stored:
        ledger.store(reading)
    for reading in unregistered:
        ledger.unregister(reading)
    return ledger.account(status, declared)
