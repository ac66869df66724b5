"""Reads from the spool what the sender is about to send: all of it in one visit to the spool's thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.uplink import FRESH_MS

if TYPE_CHECKING:
    from gateway.spool import SealedBatch, Spool


@dataclass(frozen=True)
class Reference:
    """The newest batch that was read so far, by which it is judged what is fresh; and how large the last one was."""

    number: int = 0
    sealed_at_ms: int = 0
    readings: int = 1

    def then(self, batch: SealedBatch) -> Reference:
        """Return the reference after a batch was read."""
        readings = max(1, batch.readings)
        if batch.number > self.number:
            return Reference(batch.number, batch.sealed_at_ms, readings)
        return Reference(self.number, self.sealed_at_ms, readings)

    def is_fresh(self, batch: SealedBatch) -> bool:
        """Whether a batch was sealed shortly before the newest one. After a step of the clock, the newest alone is."""
        return 0 <= self.sealed_at_ms - batch.sealed_at_ms <= FRESH_MS


@dataclass(frozen=True)
class Order:
    """What is to be read: counts of fresh batches and of the backlog, and single numbers."""

    fresh: int
    again: tuple[int, ...]
    probe: int | None
    backlog: int
    without: frozenset[int]
    no_longer_fresh: frozenset[int]
    reference: Reference

    def __bool__(self) -> bool:
        return bool(self.fresh or self.again or self.probe is not None or self.backlog)


@dataclass
class Result:
    """What was read."""

    reference: Reference
    fresh: list[SealedBatch] = field(default_factory=list)
    again: list[SealedBatch] = field(default_factory=list)
    probe: list[SealedBatch] = field(default_factory=list)
    backlog: list[SealedBatch] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    """Numbers that the spool does not keep any more, or that the disk has damaged."""
    is_end_of_fresh: bool = False
    """Whether all that is fresh was read."""


def read(spool: Spool, order: Order) -> Result:
    """Read what is ordered; runs on the spool's thread."""
    result = Result(order.reference)
    _read_fresh(spool, order, result)
    result.again = _get(spool, order.again, result)
    result.probe = _get(spool, () if order.probe is None else (order.probe,), result)
    if order.backlog:
        without = order.without | {batch.number for batch in result.fresh}
        result.backlog = spool.next_to_send(order.backlog, without)
        for batch in result.backlog:
            result.reference = result.reference.then(batch)
    return result


def _read_fresh(spool: Spool, order: Order, result: Result) -> None:
    """Read newest first, in growing steps: mostly there is one, and what lies behind it is a backlog."""
    without = set(order.without | order.no_longer_fresh)
    while (room := order.fresh - len(result.fresh)) > 0:
        step = min(room, max(1, len(result.fresh)))
        batches = spool.next_to_send(step, without, newest=True)
        for batch in batches:
            result.reference = result.reference.then(batch)
            if not result.reference.is_fresh(batch):
                result.is_end_of_fresh = True
                return
            without.add(batch.number)
            result.fresh.append(batch)
        if len(batches) < step:
            result.is_end_of_fresh = True
            return


def _get(spool: Spool, numbers: tuple[int, ...], result: Result) -> list[SealedBatch]:
    found = []
    for number in numbers:
        batch = spool.get(number)
        if batch is None or not batch.is_sound:
            result.gone.append(number)
        else:
            found.append(batch)
    return found
