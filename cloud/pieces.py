"""Reads of any length, in pieces that every store answers.

InfluxDB 3 Core opens the files of three days a query, unless told otherwise. What it counts are files that are there:
a long stretch without points costs nothing, and is passed over in steps that double.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from base.errors import MessnetzError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloud.points import Point
    from cloud.stores.interface import Store

PIECE_NS = 72 * 3600 * 10**9
"""Of one read of points."""


def series(
    store: Store, measurement: str, start_ns: int, end_ns: int, tags: Mapping[str, str] | None = None
) -> Iterator[Point]:
    """Yield what `Store.series` does, and as it does; no read of it spans more than a piece.

    Raises: as the store does.
    """
    while start_ns < end_ns:
        piece_end_ns = min(start_ns + PIECE_NS, end_ns)
        is_empty = True
        for point in store.series(measurement, start_ns, piece_end_ns, tags):
            is_empty = False
            yield point
        start_ns = following(store, measurement, piece_end_ns, end_ns, tags) if is_empty else piece_end_ns


def following(store: Store, measurement: str, start_ns: int, end_ns: int, tags: Mapping[str, str] | None = None) -> int:
    """Return the time of the first point from `start_ns` on; `end_ns` where there is none before.

    A step in which the store finds too much is halved.

    Raises: as the store does, where it refuses a single piece.
    """
    step_ns = PIECE_NS
    while start_ns < end_ns:
        step_end_ns = min(start_ns + step_ns, end_ns)
        try:
            first = next(iter(store.series(measurement, start_ns, step_end_ns, tags)), None)
        except MessnetzError:
            if step_ns <= PIECE_NS:
                raise
            step_ns = max(PIECE_NS, step_ns // 2)
            continue
        if first is not None:
            return first.time_ns
        start_ns, step_ns = step_end_ns, 2 * step_ns
    return end_ns
