"""How the spool is, for the status and for the own condition: what lies on disk, and what was just confirmed."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from gateway.condition import SpoolCondition, size_of
from gateway.spool import Spool

if TYPE_CHECKING:
    from gateway.sealer import SpoolThread
    from gateway.uplink import Uplink


async def spool_condition(thread: SpoolThread, uplink: Uplink) -> SpoolCondition:
    """Return how many batches wait, and since when.

    Raises: TransientError, PermanentError as the spool.
    """
    totals, oldest_ms = await thread.run(lambda spool: (spool.totals(), spool.oldest_waiting_ms()))
    settled = uplink.settled()  # confirmed or rejected, and marked with the next seal
    waiting = max(0, totals.waiting_batches - len(settled.confirmed) - len(settled.rejected))
    rejected = totals.rejected_batches + len(settled.rejected)
    return SpoolCondition(waiting, oldest_ms if waiting else None, rejected, thread.spool.path)


async def spool(thread: SpoolThread, uplink: Uplink, now_ms: int) -> dict[str, object]:
    """Return what the status says of the spool, now (Unix time in milliseconds).

    Raises: TransientError, PermanentError as the spool.
    """
    totals = await thread.run(Spool.totals)
    condition = await spool_condition(thread, uplink)
    unmarked = uplink.settled()
    totals = replace(
        totals,
        confirmed_batches=totals.confirmed_batches + len(unmarked.confirmed),
        confirmed_readings=totals.confirmed_readings + uplink.unmarked_readings,
        waiting_batches=condition.batches,
        waiting_readings=max(0, totals.waiting_readings - uplink.unmarked_readings),
    )
    return {
        "waiting_s": 0.0 if condition.oldest_ms is None else max(0, now_ms - condition.oldest_ms) / 1000,
        "spool_bytes": await asyncio.to_thread(size_of, condition.path),
        **asdict(totals),
    }
