"""When which device of a bus is due: on the monotonic clock, aligned to the wall clock, spread over the interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.interface import PlannedDevice


@dataclass
class _Entry:
    device: str
    interval_s: float
    due_s: float


class Schedule:
    """The schedule of one bus.

    A device with an interval of 60 s is read once in every full minute, at a phase of its own: the devices of
    a bus share the interval evenly, so that the bus is never asked for everything at once. A step of the wall
    clock changes nothing; a tick that was missed is left out, never caught up.
    """

    def __init__(self, devices: Sequence[PlannedDevice], *, monotonic_s: float, wall_s: float) -> None:
        self._entries = [
            _Entry(
                device.id,
                device.interval_s,
                _first_due(device.interval_s, device.interval_s * index / len(devices), monotonic_s, wall_s),
            )
            for index, device in enumerate(devices)
        ]

    def followed_by(self, devices: Sequence[PlannedDevice], monotonic_s: float, wall_s: float) -> Schedule:
        """Return the schedule of a bus whose devices changed; those that did not, and their intervals, keep theirs."""
        schedule = Schedule(devices, monotonic_s=monotonic_s, wall_s=wall_s)
        before = {(entry.device, entry.interval_s): entry.due_s for entry in self._entries}
        for entry in schedule._entries:
            entry.due_s = before.get((entry.device, entry.interval_s), entry.due_s)
        return schedule

    def next_due(self) -> tuple[float, str]:
        """Return when (monotonic, seconds) the next device is due, and which."""
        entry = min(self._entries, key=lambda entry: entry.due_s)
        return entry.due_s, entry.device

    def done(self, device: str, monotonic_s: float) -> None:
        """Plan the next reading of a device: its next tick after now."""
        entry = next(entry for entry in self._entries if entry.device == device)
        missed = math.floor(max(0.0, monotonic_s - entry.due_s) / entry.interval_s)
        entry.due_s += (missed + 1) * entry.interval_s


def _first_due(interval_s: float, phase_s: float, monotonic_s: float, wall_s: float) -> float:
    wait_s = (phase_s - wall_s) % interval_s
    return monotonic_s + wait_s
