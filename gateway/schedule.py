"""When which device of a bus is due: on the monotonic clock, aligned to the wall clock, spread over the interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.interface import PlannedDevice

OFF_S = 0.5
"""So far from the clock's full interval an interval that should end with it is moved."""
LEAST_APART = 0.1
"""Of an interval, from a device's first reading to its first tick: of two readings that follow each other closely no
rate can be computed. A tick that comes sooner is left out."""


@dataclass(order=True)
class _Entry:
    due_s: float
    index: int
    """Decides where several are due at once."""
    tick_s: float = field(compare=False)
    """A tick of the device's rhythm: the one that is due, or one to come."""
    device: str = field(compare=False)
    interval_s: float = field(compare=False)

    def next_tick_s(self, monotonic_s: float) -> float:
        """Return the next tick after a reading that ended then."""
        is_first = self.due_s != self.tick_s
        after_s = monotonic_s + (LEAST_APART * self.interval_s if is_first else 0.0)
        return self.tick_s + max(0, math.floor((after_s - self.tick_s) / self.interval_s) + 1) * self.interval_s


class Schedule:
    """The schedule of one bus.

    Every device is read once as soon as the bus has time for it. From then on a device with an interval of 60 s is
    read once in every full minute, at a phase of its own: the devices of a bus share the interval evenly, so that the
    bus is never asked for everything at once. A step of the wall clock changes nothing; a tick that was missed is left
    out, never caught up.
    """

    def __init__(
        self, devices: Sequence[PlannedDevice], *, monotonic_s: float, wall_s: float, listens: bool = False
    ) -> None:
        """`listens`: nobody waits for the bus, and all intervals end with the clock's."""
        self._listens = listens
        self._entries = [
            _Entry(
                monotonic_s,
                index,
                _first_tick(device.interval_s, self._phase_s(device, index / len(devices)), monotonic_s, wall_s),
                device.id,
                device.interval_s,
            )
            for index, device in enumerate(devices)
        ]
        """A heap: the one that is due next comes first."""

    def followed_by(self, devices: Sequence[PlannedDevice], monotonic_s: float, wall_s: float) -> Schedule:
        """Return the schedule of a bus whose devices changed; those that did not, and their intervals, keep theirs."""
        schedule = Schedule(devices, monotonic_s=monotonic_s, wall_s=wall_s, listens=self._listens)
        before = {(entry.device, entry.interval_s): entry for entry in self._entries}
        for entry in schedule._entries:
            known = before.get((entry.device, entry.interval_s), entry)
            entry.due_s, entry.tick_s = known.due_s, known.tick_s
        heapify(schedule._entries)
        return schedule

    def realign(self, monotonic_s: float, wall_s: float) -> None:
        """Move ticks back to the clock's full intervals, where the clock has become another one since.

        Only of devices that speak by themselves: counts of a quarter of an hour belong to the clock's. An interval is
        shorter or longer once; the others keep the monotonic clock's rhythm, whatever the wall clock does.
        """
        if not self._listens:
            return
        for entry in self._entries:
            off_s = (
                wall_s + entry.tick_s - monotonic_s + entry.interval_s / 2
            ) % entry.interval_s - entry.interval_s / 2
            if entry.due_s != entry.tick_s or abs(off_s) <= min(OFF_S, entry.interval_s / 4):
                continue
            entry.tick_s -= off_s
            if entry.tick_s < monotonic_s + LEAST_APART * entry.interval_s:
                entry.tick_s += entry.interval_s
            entry.due_s = entry.tick_s
        heapify(self._entries)

    def _phase_s(self, device: PlannedDevice, share: float) -> float:
        return 0.0 if self._listens else device.interval_s * share

    def next_due(self) -> tuple[float, str]:
        """Return when (monotonic, seconds) the next device is due, and which."""
        entry = self._entries[0]
        return entry.due_s, entry.device

    def done(self, monotonic_s: float) -> None:
        """Plan the next reading of the device that was due: its next tick after now."""
        entry = self._entries[0]
        entry.due_s = entry.tick_s = entry.next_tick_s(monotonic_s)
        heapreplace(self._entries, entry)


def _first_tick(interval_s: float, phase_s: float, monotonic_s: float, wall_s: float) -> float:
    wait_s = (phase_s - wall_s) % interval_s
    return monotonic_s + wait_s
