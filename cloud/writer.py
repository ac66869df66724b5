"""Writes batches until the store has answered; finds out which points it will never take, and buries those."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from base.errors import MessnetzError, TransientError
from base.retry import Backoff
from cloud.dead_letters import letter
from cloud.derived import Traces
from cloud.stores.interface import RejectedPointsError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from cloud.complaints import Complaints
    from cloud.metrics import Metrics
    from cloud.opening import Routed
    from cloud.points import Point
    from cloud.stores.interface import Store

logger = logging.getLogger(__name__)

MOST_REQUESTS = 200
"""To find the bad points of one batch; what is undecided then is buried whole. One bad point of 10,000 takes 28."""
MOST_WAIT_S = 300.0
"""Whatever Retry-After a store asks for: a collector that sleeps for an hour is of no use when it is back."""


class _StoppedError(Exception):
    """The collector was told to stop while the store did not take a write."""


class Writer:
    """One store and its moods. Not thread-safe."""

    def __init__(
        self, store: Store, complaints: Complaints, metrics: Metrics, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.trouble = "not reached yet"
        """Why the last request to the store failed; empty where it worked."""
        self._store = store
        self._complaints = complaints
        self._metrics = metrics
        self._clock = clock
        self._backoff = Backoff("store", logger, first_s=0.2, cap_s=15.0)

    def prepare(self, stop: threading.Event) -> None:
        """Wait for the store; a collector that starts before its database is no fault."""
        while not stop.is_set():
            try:
                self._store.prepare()
            except MessnetzError as error:
                self._fail(error, stop)
            else:
                self._succeed()
                return

    def write(
        self, batches: Sequence[Routed], stop: threading.Event
    ) -> tuple[list[Routed], list[tuple[Routed, RejectedPointsError]]]:
        """Write batches together; where that fails for one's sake, in halves, to find which one it is.

        Returns: those that the store has, and those of which it takes not all. What is in neither is not written.
        """
        stored: list[Routed] = []
        refused: list[tuple[Routed, RejectedPointsError]] = []
        open_parts = [list(batches)] if batches else []
        while open_parts:
            part = open_parts.pop()
            try:
                self._ask(lambda part=part: _points(part, self._now_ms()), stop)  # type: ignore[misc]
            except _StoppedError:
                break
            except RejectedPointsError as error:
                if len(part) == 1:
                    refused.append((part[0], error))
                else:
                    open_parts += _halves(part)
            except Exception as error:  # noqa: BLE001 - the last net: one batch never ends the process
                if len(part) == 1:
                    self._metrics.batch("failed", part[0].gateway)
                    self._complaints.add(part[0].gateway, "unexpected", repr(error), trace=True)
                else:
                    open_parts += _halves(part)
            else:
                stored += part
        return stored, refused

    def bury(self, batch: Routed, error: RejectedPointsError, stop: threading.Event) -> bool:
        """Write a batch of which the store takes not all: the rest as dead letters. Whether the store has it then."""
        try:
            points = _points([batch], self._now_ms())
            bad = self._find_bad(points, error, stop)
            if bad:
                self._write_letters(batch, [(index, points[index], reason) for index, reason in bad], stop)
        except _StoppedError:
            return False
        except Exception as fault:  # noqa: BLE001 - the last net
            self._metrics.batch("failed", batch.gateway)
            text = f"batch {batch.header.number}: no dead letter, so it is not confirmed: {fault!r}"
            self._complaints.add(batch.gateway, "not stored", text, trace=not isinstance(fault, MessnetzError))
            return False
        self._metrics.dead_letters(batch.gateway, len(bad))
        for _, reason in bad[:1]:
            text = f"{len(bad)} points of batch {batch.header.number} are dead letters; the first: {reason}"
            self._complaints.add(batch.gateway, "refused by the store", text)
        return True

    def _find_bad(
        self, points: Sequence[Point], error: RejectedPointsError, stop: threading.Event
    ) -> list[tuple[int, str]]:
        """Ask in halves which points of a refused write are to blame; returns their index and the reason."""
        bad: list[tuple[int, str]] = []
        refused = [(0, len(points), str(error))]
        asked = 0
        while refused:
            start, end, reason = refused.pop()
            if end - start == 1 or asked + 2 > MOST_REQUESTS:
                bad += [(index, reason) for index in range(start, end)]
                continue
            middle = (start + end) // 2
            for first, last in ((start, middle), (middle, end)):
                asked += 1
                try:
                    self._ask(lambda first=first, last=last: points[first:last], stop)  # type: ignore[misc]
                except RejectedPointsError as again:
                    refused.append((first, last, str(again)))
        return sorted(bad)

    def _write_letters(self, batch: Routed, bad: list[tuple[int, Point, str]], stop: threading.Event) -> None:
        """Write dead letters where the batch was sealed; or now, where the store takes nothing of that day any more."""
        for at_ms in (batch.header.sealed_at_ms, self._now_ms()):
            letters = [letter(batch.gateway, batch.header, *one, at_ms) for one in bad]
            try:
                self._ask(lambda letters=letters: letters, stop)  # type: ignore[misc]
            except RejectedPointsError as error:
                refusal = error
                continue
            return
        raise refusal

    def _ask(self, points: Callable[[], Sequence[Point]], stop: threading.Event) -> None:
        """Write until the store has answered yes or no; `points` are made anew for each try.

        Raises: RejectedPointsError; _StoppedError where it does not take them and the collector is to stop.
        """
        while True:
            if self.trouble and stop.is_set():
                raise _StoppedError
            begin_s = time.monotonic()
            try:
                self._store.write(points())
            except RejectedPointsError:
                self._succeed()
                raise
            except MessnetzError as error:  # the store as a whole: nothing is confirmed and nothing rejected
                self._fail(error, stop)
                continue
            self._metrics.store_wrote(time.monotonic() - begin_s)
            self._succeed()
            return

    def _fail(self, error: MessnetzError, stop: threading.Event) -> None:
        self.trouble = str(error)
        self._metrics.store_failed()
        asked_s = error.retry_after_s if isinstance(error, TransientError) else None
        stop.wait(self._backoff.failed(error, at_least_s=min(asked_s or 0.0, MOST_WAIT_S)))

    def _succeed(self) -> None:
        self.trouble = ""
        self._backoff.succeeded()

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)


def _points(batches: Sequence[Routed], now_ms: int) -> list[Point]:
    points = [point for batch in batches for point in batch.points]
    return points + Traces.of(batch.traces for batch in batches).points(now_ms)


def _halves(part: list[Routed]) -> list[list[Routed]]:
    middle = len(part) // 2
    return [part[middle:], part[:middle]]
