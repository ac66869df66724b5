"""How the spool is, for the status and for the own condition: what lies on disk, and what was just confirmed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from base.errors import MessnetzError, TransientError
from gateway.condition import SpoolCondition, size_of

if TYPE_CHECKING:
    from gateway.sealer import SpoolThread
    from gateway.spool import Totals
    from gateway.uplink import Uplink

ANSWER_S = 3.0
"""How long whoever asks waits for the spool's thread: a rescue, or a disk that hangs, may keep it for minutes."""


async def spool_condition(thread: SpoolThread, uplink: Uplink) -> SpoolCondition:
    """Return how many batches wait, and since when.

    Raises: TransientError, PermanentError as the spool.
    """
    totals, oldest_ms = await _totals(thread, uplink)
    return SpoolCondition(totals.waiting_batches, oldest_ms, totals.rejected_batches, thread.spool.path)


async def spool(thread: SpoolThread, uplink: Uplink, now_ms: int) -> dict[str, object]:
    """Return what the status says of the spool, now (Unix time in milliseconds).

    Of a spool that is ill, its error alone: all else that the agent knows is worth most just then.
    """
    try:
        totals, oldest_ms = await _totals(thread, uplink)
    except MessnetzError as error:
        return {"spool_error": str(error)}
    return {
        "spool_error": "",
        "waiting_s": 0.0 if oldest_ms is None else max(0, now_ms - oldest_ms) / 1000,
        "spool_bytes": await asyncio.to_thread(size_of, thread.spool.path),
        **asdict(totals),
    }


def sending(uplink: Uplink, now_s: float) -> dict[str, object]:
    """Return what the status says of the uplink; `now_s` on the monotonic clock."""
    last_s = uplink.last_confirm_s
    return {
        **asdict(uplink.counters),
        "probe_batches": uplink.probe_queue,
        "confirmed_s": None if last_s is None else round(now_s - last_s, 1),
    }


async def _totals(thread: SpoolThread, uplink: Uplink) -> tuple[Totals, int | None]:
    """Return the totals, and when the oldest batch that waits was sealed, with what the next seal will mark counted.

    In one visit: between two, a seal might mark what was confirmed, and it would be missing in both.

    Raises: TransientError where a rescue keeps the spool's thread, or the disk; else as the spool.
    """
    if thread.spool.rescued_since_s is not None:
        raise _busy(thread)
    try:
        async with asyncio.timeout(ANSWER_S):
            totals, oldest_ms = await thread.run(lambda spool: (spool.totals(), spool.oldest_waiting_ms()))
    except TimeoutError:
        raise _busy(thread) from None
    unmarked = uplink.settled()
    confirmed, rejected = len(unmarked.confirmed), len(unmarked.rejected)
    totals = replace(
        totals,
        confirmed_batches=totals.confirmed_batches + confirmed,
        confirmed_readings=totals.confirmed_readings + uplink.unmarked_readings,
        rejected_batches=totals.rejected_batches + rejected,
        waiting_batches=max(0, totals.waiting_batches - confirmed - rejected),
        waiting_readings=max(0, totals.waiting_readings - uplink.unmarked_readings),
    )
    return totals, oldest_ms if totals.waiting_batches else None


def _busy(thread: SpoolThread) -> TransientError:
    path, since_s = thread.spool.path, thread.spool.rescued_since_s
    if since_s is None:
        return TransientError(f"{path}: the disk has not answered for {ANSWER_S:g} s")
    took_s = time.monotonic() - since_s
    return TransientError(f"{path}: damaged; what can be read is being saved, for {took_s:.0f} s now")
