"""Gaps: stretches for which readings of a device are known to be missing, and why.

A gap travels as two readings of the device that it concerns: `gap_until/<reason>` (Unix time in seconds at which it
ends) and, where the count is known, `gap_readings/<reason>`. Their time is where the gap begins.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import msgspec

from wire.ids import Id
from wire.readings import Reading, Sample
from wire.vocabulary import quantities

Reason: TypeAlias = Literal["stopped", "quota", "disk", "damaged"]
"""`stopped`: the agent did not run; `quota`: evicted for room or age; `disk`: the disk did not take them and memory
was full, or they could not be packed for it; `damaged`: the disk gave back something else than was written."""

REASONS: tuple[str, ...] = get_args(Reason)
UNTIL = "gap_until"
READINGS = "gap_readings"


class Gap(msgspec.Struct, frozen=True):
    """From `since_ms` until `until_ms` (Unix time in milliseconds) it is not known that readings are stored."""

    device: Id
    since_ms: int
    until_ms: int
    reason: Reason
    readings: int | None = None
    """How many are missing; None where nobody can know."""


def sample(gap: Gap) -> Sample:
    """Turn a gap into the readings that carry it."""
    values = {UNTIL: gap.until_ms / 1000}
    if gap.readings is not None:
        values[READINGS] = float(gap.readings)
    readings = (Reading(name, value, quantities()[name].unit, gap.reason) for name, value in values.items())
    return Sample(gap.device, gap.since_ms, tuple(readings))
