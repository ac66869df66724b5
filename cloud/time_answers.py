"""Tells the time to gateways that have none: a status `no_time` is answered with an empty confirm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wire import confirm as wire_confirm
from wire import status as wire_status
from wire.bounds import MAX_PAYLOAD_BYTES
from wire.confirm import Confirm
from wire.errors import BadMessageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud.complaints import Complaints

INTERVAL_S = 5.0
"""Of one gateway. Every collector may answer; twice is harmless."""
MOST_KEPT = 10_000
"""Gateways; while so many were answered within the interval, no further one is."""


class TimeAnswers:
    """Answers statuses, each gateway at a bounded rate. Runs on the connection's thread alone."""

    def __init__(
        self,
        send: Callable[[str, bytes], object],
        complaints: Complaints,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`send` takes a gateway and the payload of a confirm."""
        self._send = send
        self._complaints = complaints
        self._now_ms = now_ms
        self._clock = clock
        self._answered: dict[str, float] = {}

    def take(self, gateway: str, payload: bytes) -> None:
        """Answer a status where it asks for the time."""
        if len(payload) > MAX_PAYLOAD_BYTES or b"no_time" not in payload:
            return
        try:
            status = wire_status.decode(payload)
        except BadMessageError as error:
            self._complaints.add(gateway, "no readable status", error)
            return
        if status.state == "no_time" and self._is_due(gateway):
            self._send(gateway, wire_confirm.encode(Confirm(status.stream, self._now_ms())))

    def _is_due(self, gateway: str) -> bool:
        now_s = self._clock()
        answered_s = self._answered.get(gateway)
        if answered_s is not None and now_s - answered_s < INTERVAL_S:
            return False
        if answered_s is None and len(self._answered) >= MOST_KEPT:
            self._answered = {name: at_s for name, at_s in self._answered.items() if now_s - at_s < INTERVAL_S}
            if len(self._answered) >= MOST_KEPT:
                return False
        self._answered[gateway] = now_s
        return True
