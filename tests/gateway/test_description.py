"""What is said of the spool while it is at work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, cast

from gateway import description
from gateway.spool import Settled, Spool
from gateway.uplink import Uplink
from wire.confirm import Confirm
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.sealer import SpoolThread

T = TypeVar("T")
NOW_MS = 1_790_000_000_000


class Busy:
    """A spool's thread on which a seal marks what was confirmed, as soon as somebody has looked."""

    def __init__(self, spool: Spool, uplink: Uplink) -> None:
        self.spool = spool
        self._uplink = uplink

    async def run(self, call: Callable[[Spool], T]) -> T:
        """Look; then the seal comes."""
        result = call(self.spool)
        settled = self._uplink.settled()
        self.spool.mark(settled, NOW_MS)
        self._uplink.marked(settled)
        return result


def test_what_is_said_adds_up_while_a_seal_marks_what_was_confirmed(tmp_path: Path) -> None:
    """Sealed is confirmed, rejected or waiting, whatever happens between two looks."""
    spool, uplink = Spool(tmp_path / "spool.sqlite"), Uplink(window=4, timeout_s=10)
    sample = Sample("main", NOW_MS, (Reading("voltage", 230.0, "V"),))
    (number,) = spool.seal([[sample]], Settled(), NOW_MS)
    (batch,) = spool.next_to_send(1)
    uplink.sent(batch, 0.0)
    uplink.confirm(Confirm(spool.stream, NOW_MS, [(number, number)]), 0.0)
    for _ in range(2):
        said = asyncio.run(description.spool(cast("SpoolThread", Busy(spool, uplink)), uplink, NOW_MS))
        parts = [said[f"{state}_batches"] for state in ("confirmed", "rejected", "waiting", "evicted")]
        assert sum(cast("list[int]", parts)) == said["sealed_batches"] == 1
    assert (said["confirmed_readings"], said["waiting_batches"]) == (1, 0)
    spool.close()
