"""Log lines about gateways at a bounded rate, so that one that misbehaves fills no disk."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

INTERVAL_S = 60.0
MOST_KEPT = 1_000
"""Ids of gateways come from topics: whoever may publish may invent them."""
ANY = "others"


@dataclass
class _Said:
    at_s: float
    unsaid: int = 0


class Complaints:
    """Says each kind of trouble with each gateway at most once a minute, with how often it happened. Thread-safe."""

    def __init__(
        self,
        logger: logging.Logger,
        *,
        clock: Callable[[], float] = time.monotonic,
        is_known: Callable[[str], bool] = lambda _gateway: True,
    ) -> None:
        """`is_known`: whether a gateway has lines of its own; all others share theirs."""
        self._logger = logger
        self._clock = clock
        self._is_known = is_known
        self._said: dict[tuple[str, str], _Said] = {}
        self._lock = threading.Lock()

    def add(self, gateway: str, kind: str, text: object, *, trace: bool = False) -> None:
        """Count a trouble, and log it unless the same kind was logged for this gateway in the last minute.

        `trace`: with the trace of the exception that is being handled.
        """
        with self._lock:
            count = self._count(gateway, kind)
        if count:
            since = f" ({count} times since this was last said)" if count > 1 else ""
            self._logger.error("gateway %s, %s: %s%s", gateway, kind, text, since, exc_info=trace)

    def add_shared(self, kind: str, text: object) -> None:
        """Count a trouble that is no gateway's own, such as one that befalls a thousand of them at once."""
        with self._lock:
            count = self._count("", kind)
        if count:
            since = f" ({count} times since this was last said)" if count > 1 else ""
            self._logger.error("%s: %s%s", kind, text, since)

    def _count(self, gateway: str, kind: str) -> int:
        """Return how many are to be said now; 0 where it is too early."""
        now_s = self._clock()
        key = gateway if not gateway or self._is_known(gateway) else ANY, kind
        if key not in self._said and len(self._said) >= MOST_KEPT:
            self._said = {key: said for key, said in self._said.items() if now_s - said.at_s < INTERVAL_S}
            if len(self._said) >= MOST_KEPT:
                key = ANY, kind
        said = self._said.get(key)
        if said is not None and now_s - said.at_s < INTERVAL_S:
            said.unsaid += 1
            return 0
        self._said[key] = _Said(now_s)
        return 1 if said is None else said.unsaid + 1
