"""Notices two machines under one gateway id: a copied SD card, say, or a certificate that was used twice.

Two machines with one id push each other off the broker, and each writes into the other's series. A gateway that is put
onto another machine changes once; twins come back: A, B, A.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wire import status as wire_status
from wire.bounds import MAX_PAYLOAD_BYTES
from wire.errors import BadMessageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud.complaints import Complaints

BACK_WITHIN_S = 3600.0
"""A machine that was replaced may be put back; within so short a time nobody does that by hand."""
MOST_KEPT = 20_000
"""Gateways. Their ids come from topics; beyond it the one that was heard of longest ago is forgotten."""


@dataclass
class _Seen:
    machine: str
    former: str = ""
    former_at_s: float = 0.0
    """When the former machine was last heard of."""
    at_s: float = 0.0
    twin_at_s: float | None = None


class Twins:
    """Which machine speaks for each gateway. Belongs to the connection's thread; `count` may be asked from any."""

    def __init__(self, complaints: Complaints, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._complaints = complaints
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def count(self) -> int:
        """How many gateways had two machines within the last hour."""
        now_s = self._clock()
        twins = [seen.twin_at_s for seen in list(self._seen.values())]
        return sum(at_s is not None and now_s - at_s < BACK_WITHIN_S for at_s in twins)

    def take(self, gateway: str, payload: bytes) -> None:
        """Take a status; one that is none is not for us to report."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            return
        try:
            machine = wire_status.decode(payload).machine
        except BadMessageError:
            return
        now_s = self._clock()
        seen = self._seen.pop(gateway, None) or _Seen(machine)
        if len(self._seen) >= MOST_KEPT:
            del self._seen[next(iter(self._seen))]
        self._seen[gateway] = seen  # the last one now
        if machine != seen.machine:
            if machine == seen.former and now_s - seen.former_at_s < BACK_WITHIN_S:
                seen.twin_at_s = now_s
                text = f"{machine} and {seen.machine}: give one of them an id and a certificate of its own"
                self._complaints.add(gateway, "two machines under one id", text)
            seen.former, seen.former_at_s, seen.machine = seen.machine, seen.at_s, machine
        seen.at_s = now_s
