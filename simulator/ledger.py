"""The ledger behind an account: takes what the store gives back, reading by reading and in any order.

Its memory is bounded: some 30 bytes for each reading. Readings of one device and time are one sample. A sample is
matched with the poll at its time where all values are what that poll made; else its values tell whose it is, and how
far its time is off.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from simulator.account import CLOCK_SLACK_MS, EXCUSED, STALLED_SLACK_MS, TIME_SLACK_MS, Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from simulator.account import Gap, GatewayStatus, Stored, Witness
    from simulator.devices import Poll

Truth: TypeAlias = "Callable[[Poll, str], float | None]"


class _Value(NamedTuple):
    """One stored reading, of the sample that it stands in."""

    quantity: int
    value: float
    flags: int


class Fate(NamedTuple):
    """What became of the readings of one poll."""

    device: str
    polled_at_ms: int
    stored: int
    lost: int
    """Made for certain, and not in the store."""
    is_declared: bool
    """Whether a gap declares them missing."""


class _Device:
    """The polls of one device, what the store holds of it, and which readings were seen."""

    def __init__(self, polls: Iterable[Poll], quantities: Iterable[str]) -> None:
        by_time = {poll.polled_at_ms: poll for poll in polls}
        self.times = array("q", sorted(by_time))
        self.polls = [by_time[at_ms] for at_ms in self.times]
        self.quantities = list(quantities)
        self.position = {name: position for position, name in enumerate(self.quantities)}
        self.seen = [bytearray(len(self.times)) for _ in self.quantities]
        self._stored_at = array("q")
        self._stored_values = array("d")
        self._stored_flags = array("q")
        self._stored_quantities = array("H")

    def take(self, reading: Stored) -> None:
        """Keep a stored reading until the end."""
        self._stored_at.append(reading.time_ms)
        self._stored_values.append(reading.value)
        self._stored_flags.append(reading.flags)
        self._stored_quantities.append(self.position[reading.name])

    def samples(self) -> Iterator[tuple[int, list[_Value]]]:
        """Return what was stored, as samples with their times, in order of time."""
        in_order = sorted(range(len(self._stored_at)), key=self._stored_at.__getitem__)
        for time_ms, indices in groupby(in_order, key=self._stored_at.__getitem__):
            yield (
                time_ms,
                [_Value(self._stored_quantities[i], self._stored_values[i], self._stored_flags[i]) for i in indices],
            )

    def index_of(self, time_ms: int, interval_ms: int) -> int | None:
        """Position of the first poll that a sample can come from; None where there is none in time."""
        index = bisect_left(self.times, time_ms - CLOCK_SLACK_MS)
        if index == len(self.times) or self.times[index] - time_ms > interval_ms:
            return None
        return index

    def nearest(self, time_ms: int) -> list[int]:
        """Positions of the polls at a time: of one that was asked it lies behind, of one that spoke before it."""
        after = bisect_left(self.times, time_ms - CLOCK_SLACK_MS)
        near = [index for index in (after, after - 1) if 0 <= index < len(self.times)]
        return [index for index in near if abs(self.times[index] - time_ms) <= TIME_SLACK_MS]

    def is_due(self, index: int, quantity: int, truth: Truth) -> bool:
        """Whether a poll made a value of a quantity that must arrive."""
        poll = self.polls[index]
        if poll.wrong is None:
            return poll.is_certain
        return poll.is_certain and truth(poll, self.quantities[quantity]) is not None


class _Match:
    """Finds the poll of every sample of one device, and counts."""

    def __init__(self, device: _Device, truth: Truth, interval_ms: int) -> None:
        self._device, self._truth, self._interval_ms = device, truth, interval_ms
        self.duplicates = self.wrong = self.wrong_time = self.displaced = 0

    def run(self) -> None:
        """Tick off what is right at its time; then find out what the rest is."""
        rest = [sample for sample in self._device.samples() if not self._fits(*sample)]
        if rest:
            missing = self._missing()
            for time_ms, values in rest:
                self._place(time_ms, values, missing)

    def _fits(self, time_ms: int, values: list[_Value]) -> bool:
        device = self._device
        for index in device.nearest(time_ms):
            poll = device.polls[index]
            if all(self._truth(poll, device.quantities[one.quantity]) == one.value for one in values):
                for one in values:
                    self._tick(index, time_ms, one)
                return True
        return False

    def _missing(self) -> dict[tuple[int, float], list[int]]:
        """Return quantity and value of every reading that was not seen -> the positions of its polls."""
        device = self._device
        missing: dict[tuple[int, float], list[int]] = {}
        for quantity, name in enumerate(device.quantities):
            for index, is_seen in enumerate(device.seen[quantity]):
                value = None if is_seen else self._truth(device.polls[index], name)
                if value is not None:
                    missing.setdefault((quantity, value), []).append(index)
        return missing

    def _place(self, time_ms: int, values: list[_Value], missing: dict[tuple[int, float], list[int]]) -> None:
        """Give the values of a sample to the polls that most of them speak for; the rest is wrong."""
        device = self._device
        while True:
            votes = Counter(index for one in values for index in missing.get((one.quantity, one.value), ()))
            if not votes:
                break
            best = max(votes, key=lambda index: (votes[index], -abs(device.times[index] - time_ms)))
            left = []
            for one in values:
                candidates = missing.get((one.quantity, one.value), [])
                if best in candidates:
                    candidates.remove(best)
                    self._tick(best, time_ms, one)
                else:
                    left.append(one)
            values = left
        at_its_time = device.index_of(time_ms, self._interval_ms)
        for one in values:
            self._misfit(at_its_time, time_ms, one)

    def _misfit(self, index: int | None, time_ms: int, one: _Value) -> None:
        """Count a value that is not missing anywhere: right for the second time, or what nobody made."""
        device = self._device
        if index is None:
            self.wrong += 1
            return
        self.wrong += self._truth(device.polls[index], device.quantities[one.quantity]) != one.value
        self._tick(index, time_ms, one)

    def _tick(self, index: int, time_ms: int, one: _Value) -> None:
        device = self._device
        slack_ms = TIME_SLACK_MS if device.polls[index].is_certain else STALLED_SLACK_MS
        if abs(device.times[index] - time_ms) > slack_ms:
            is_said = bool(one.flags & EXCUSED)
            self.displaced += is_said
            self.wrong_time += not is_said
        self.duplicates += device.seen[one.quantity][index]
        device.seen[one.quantity][index] = 1


class Ledger:
    """One run's readings."""

    def __init__(self, witness: Witness, polls: Iterable[Poll]) -> None:
        """Take the polls.

        Raises: KeyError for one of a device that the witness does not know.
        """
        self._witness = witness
        by_device: dict[str, list[Poll]] = {}
        for poll in polls:
            by_device.setdefault(poll.device, []).append(poll)
        self._devices = {name: _Device(made, witness.quantities[name]) for name, made in by_device.items()}
        self._stored = self._own = self._unregistered = self._invented = 0

    def store(self, reading: Stored) -> None:
        """Take a reading that the store gave back; those of others are ignored."""
        if not self._witness.concerns(reading):
            self._own += self._witness.is_own(reading)
            return
        self._stored += 1
        if reading.device in self._devices:
            self._devices[reading.device].take(reading)
        else:
            self._invented += 1

    def unregister(self, reading: Stored) -> None:
        """Take a reading that the store holds as unregistered."""
        self._unregistered += self._witness.is_unregistered(reading)

    def account(self, status: GatewayStatus, declared: Iterable[Gap] = ()) -> Account:
        """Close the ledger and count; once."""
        matches = [_Match(device, self._truth, self._witness.interval_ms) for device in self._devices.values()]
        for match in matches:
            match.run()
        fates = list(self.fates(declared))
        stored, lost = sum(fate.stored for fate in fates), sum(fate.lost for fate in fates)
        missing = sum(fate.lost for fate in fates if not fate.is_declared)
        return Account(
            made=stored + lost,
            sealed=status.sealed_readings,
            confirmed=status.confirmed_readings,
            stored=self._stored,
            lost=lost,
            declared=lost - missing,
            unaccounted=missing,
            stored_and_declared=sum(fate.stored for fate in fates if fate.is_declared),
            duplicates=sum(match.duplicates for match in matches),
            wrong=sum(match.wrong for match in matches) + self._invented,
            wrong_time=sum(match.wrong_time for match in matches),
            displaced=sum(match.displaced for match in matches),
            unregistered=self._unregistered,
            own=self._own,
            waiting=status.waiting_readings,
        )

    def fates(self, declared: Iterable[Gap] = ()) -> Iterator[Fate]:
        """Return what became of every poll, after `account` has closed the ledger."""
        all_gaps = list(declared)
        for name, device in self._devices.items():
            gaps = [gap for gap in all_gaps if gap.device == name]
            for index, at_ms in enumerate(device.times):
                stored = sum(seen[index] for seen in device.seen)
                lost = sum(
                    not seen[index] and device.is_due(index, quantity, self._truth)
                    for quantity, seen in enumerate(device.seen)
                )
                yield Fate(name, at_ms, stored, lost, any(gap.covers(at_ms) for gap in gaps))

    def missing(self, declared: Iterable[Gap] = ()) -> Iterator[tuple[str, str, int]]:
        """Return device, quantity and time of what is unaccounted for, after `account`; for whoever must find it."""
        gaps = list(declared)
        for name, device in self._devices.items():
            for index, at_ms in enumerate(device.times):
                if any(gap.device == name and gap.covers(at_ms) for gap in gaps):
                    continue
                for quantity, seen in enumerate(device.seen):
                    if not seen[index] and device.is_due(index, quantity, self._truth):
                        yield name, device.quantities[quantity], at_ms

    def _truth(self, poll: Poll, quantity: str) -> float | None:
        if poll.wrong is None:
            return self._witness.truth(poll.device, quantity, poll.polled_at_ms)
        return self._witness.distorted(poll.device, quantity, poll.polled_at_ms, poll.wrong)
