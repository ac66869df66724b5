"""What a fleet reached: for each gateway, and in all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted of one gateway, and added up of all."""

    sealed_batches: int
    confirmed_batches: int
    rejected_batches: int
    unasked_confirms: int
    """Numbers that it never sealed, and messages that are no confirms."""
    sent: int
    resent: int
    sent_readings: int
    """In all batches that were sent once at least."""
    confirmed_readings: int
    sessions_lost: int


class GatewayReport(Counts, frozen=True, kw_only=True):
    """One gateway's account of what it was told."""

    gateway: str
    drained_after_s: float | None
    """From the fleet's beginning until the last batch of the backlog was confirmed."""
    fresh_latencies_s: list[float]
    """Of each fresh batch, from its seal until its confirm."""


class FleetReport(Counts, frozen=True, kw_only=True):
    """All gateways together."""

    gateways: list[GatewayReport]
    elapsed_s: float
    drained_after_s: float | None
    """Of the last gateway; None as long as one has a backlog, or none had any."""
    fresh_p50_s: float | None
    fresh_p99_s: float | None
    fresh_most_s: float | None

    @classmethod
    def of(cls, gateways: list[GatewayReport], elapsed_s: float) -> FleetReport:
        """Add up the reports of gateways."""
        latencies = [latency for gateway in gateways for latency in gateway.fresh_latencies_s]
        drained = [gateway.drained_after_s for gateway in gateways]
        return cls(
            gateways=gateways,
            elapsed_s=elapsed_s,
            drained_after_s=None if None in drained else max((d for d in drained if d is not None), default=None),
            fresh_p50_s=percentile(latencies, 0.5),
            fresh_p99_s=percentile(latencies, 0.99),
            fresh_most_s=max(latencies, default=None),
            **{name: sum(getattr(gateway, name) for gateway in gateways) for name in Counts.__struct_fields__},
        )


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that a share of values does not exceed (nearest rank); None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
