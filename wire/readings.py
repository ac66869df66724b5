"""Readings and samples, and the flags that say what a reading is worth."""

from __future__ import annotations

from enum import IntFlag

import msgspec


class Flag(IntFlag):
    """What the edge found out about a reading. The bits are part of the contract."""

    RANGE = 1
    STEP = 2
    STUCK = 4
    TIME_ESTIMATED = 8
    CLOCK_UNSYNCED = 16
    SUBSTITUTED = 32
    ROLLOVER = 64
    RESET = 128
    MANUAL = 512
    MAINTENANCE = 1024


KNOWN_FLAGS = 1 | 2 | 4 | 8 | 16 | 32 | 64 | 128 | 512 | 1024
SUSPECT_FLAGS = int(Flag.RANGE | Flag.STEP | Flag.STUCK | Flag.TIME_ESTIMATED | Flag.RESET)
"""A reading with one of these never reaches a total: it is stored in `<measurement>_suspect`."""


def is_suspect(flags: int) -> bool:
    """Whether a reading must be kept apart: a suspect flag is set, or one that this version does not know."""
    return bool(flags & SUSPECT_FLAGS or flags & ~KNOWN_FLAGS)


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One value of one quantity (and channel) of one device, in `unit` (the quantity's, as SenML writes it)."""

    quantity: str
    value: float
    unit: str
    channel: str = ""
    flags: int = 0

    @property
    def name(self) -> str:
        """`<quantity>` or `<quantity>/<channel>`."""
        return f"{self.quantity}/{self.channel}" if self.channel else self.quantity


class Sample(msgspec.Struct, frozen=True):
    """All readings of one device at one time (Unix time in milliseconds)."""

    device: str
    measured_at_ms: int
    readings: tuple[Reading, ...]
