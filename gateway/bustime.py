"""Whether a bus can read its devices in the time that their intervals leave: arithmetic for the desk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.interface import BusPlan, PlannedDevice

MOST = 1.0
"""Of a bus's time; more is an error."""
SAFE = 0.8
"""Above that a bus has no time left for devices that answer late or not at all: said, but not refused."""
SHOWN_DEVICES = 8
INTERVALS_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""What people write, and what fits the minute, the hour or the day."""


@dataclass(frozen=True)
class Part:
    """What one device asks of its bus."""

    device: str
    cost_s: float
    interval_s: float

    @property
    def share(self) -> float:
        """Of the bus's time, 1 is all of it."""
        return self.cost_s / self.interval_s


@dataclass(frozen=True)
class BusTime:
    """What all devices of a bus ask of it, the greatest first."""

    bus: str
    parts: tuple[Part, ...]
    remedy: str

    @property
    def share(self) -> float:
        """Of the bus's time, 1 is all of it."""
        return sum(part.share for part in self.parts)

    def sum_shown(self) -> str:
        """Write the sum, device by device; of many devices those that ask most."""
        shown = [f"{p.device} {p.cost_s:.2f} s every {p.interval_s:g} s = {percent(p.share)}" for p in self.parts]
        if len(shown) > SHOWN_DEVICES:
            rest = self.parts[SHOWN_DEVICES:]
            shown[SHOWN_DEVICES:] = [f"{len(rest)} more = {percent(sum(part.share for part in rest))}"]
        return " + ".join(shown)


def of(plan: BusPlan) -> BusTime:
    """Work out what a bus is asked for, and what would bring it below the safe share."""
    parts = [Part(device.id, plan.cost_s(device.id), device.interval_s) for device in plan.devices]
    parts.sort(key=lambda part: part.share, reverse=True)
    share = sum(part.share for part in parts)
    if share <= SAFE:
        return BusTime(plan.id, tuple(parts), "")
    ways = [_longer(plan.devices, parts), plan.faster(SAFE / share)]
    return BusTime(plan.id, tuple(parts), " or ".join(filter(None, ways)))


def percent(share: float) -> str:
    """Write a share for people."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def _longer(devices: Sequence[PlannedDevice], parts: Sequence[Part]) -> str:
    """Say which interval would do, and whose are shorter now."""
    for interval_s in INTERVALS_S:
        if sum(part.cost_s / max(part.interval_s, interval_s) for part in parts) <= SAFE:
            shorter = [device.id for device in devices if device.interval_s < interval_s]
            named = ", ".join(shorter[:SHOWN_DEVICES]) + (" and others" if len(shorter) > SHOWN_DEVICES else "")
            return f"`interval_s: {interval_s}` for {named}"
    return "fewer devices on this bus"
