"""Reads of any length on a store that answers three days at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from base.errors import PermanentError
from cloud import export, pieces
from cloud.adopt import WINDOW_NS, Choice, _pieces
from cloud.pieces import PIECE_NS
from cloud.points import Point, Series

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloud.stores.interface import Store

START_NS = 1_795_000_000 * 10**9
END_NS = 2**63 - 2
TIMES = {
    "none": [],
    "one": [START_NS],
    "on the edges of pieces": [START_NS + offset for offset in (0, PIECE_NS - 1, PIECE_NS, 2 * PIECE_NS - 1)],
    "years apart": [5, START_NS, START_NS + 400 * PIECE_NS, START_NS + 401 * PIECE_NS, END_NS - 1],
    "every day of a year": [START_NS + day * 86_400 * 10**9 for day in range(365)],
}


class ShortStore:
    """Refuses a read whose points are more than a piece apart, as InfluxDB 3 Core does."""

    def __init__(self, measurement: str, times_ns: list[int], **tags: str) -> None:
        series = Series.of(measurement, **tags)
        self._points = [Point(series, time_ns, {"active_power": 1.0}) for time_ns in times_ns]
        self.reads = 0

    def series(
        self, _measurement: str, start_ns: int, end_ns: int, _tags: Mapping[str, str] | None = None
    ) -> Iterator[Point]:
        """Answer, or refuse."""
        self.reads += 1
        found = [point for point in self._points if start_ns <= point.time_ns < end_ns]
        if found and found[-1].time_ns - found[0].time_ns >= PIECE_NS:
            raise PermanentError("query would exceed the file limit")
        yield from found

    def measurements(self) -> list[str]:
        """Name the only one."""
        return ["electricity"]


@pytest.mark.parametrize("times_ns", TIMES.values(), ids=list(TIMES))
def test_every_point_comes_once_and_in_order(times_ns: list[int]) -> None:
    """Wherever in time it stands, and in few reads."""
    store = ShortStore("electricity", times_ns)
    found = pieces.series(cast("Store", store), "electricity", 0, END_NS)
    assert [point.time_ns for point in found] == times_ns
    assert store.reads < 300


def test_a_range_is_kept_to() -> None:
    """Its start belongs to it, its end does not."""
    store = ShortStore("electricity", [START_NS - 1, START_NS, START_NS + 5, START_NS + 6])
    found = pieces.series(cast("Store", store), "electricity", START_NS, START_NS + 6)
    assert [point.time_ns for point in found] == [START_NS, START_NS + 5]


def test_a_store_that_refuses_a_single_piece_is_believed() -> None:
    """Its error is the caller's."""

    class Refusing(ShortStore):
        def series(self, *_: object, **__: object) -> Iterator[Point]:
            raise PermanentError("no right to read")

    with pytest.raises(PermanentError, match="no right"):
        list(pieces.series(cast("Store", Refusing("electricity", [])), "electricity", 0, END_NS))


@pytest.mark.parametrize("times_ns", TIMES.values(), ids=list(TIMES))
def test_an_export_reads_in_pieces(times_ns: list[int]) -> None:
    """From the beginning to the end of time, unless told otherwise."""
    store = cast("Store", ShortStore("electricity", times_ns))
    exported = [reading.time_ms for reading in export.readings(store, 0, 2**43)]
    assert exported == [time_ns // 10**6 for time_ns in times_ns if time_ns < 2**43 * 10**6]


@pytest.mark.parametrize("times_ns", TIMES.values(), ids=list(TIMES))
def test_adopting_looks_for_what_waits_in_pieces(times_ns: list[int]) -> None:
    """Each piece of one day at most."""
    store = cast("Store", ShortStore("unregistered", times_ns))
    found = list(_pieces(store, "school-gw", Choice(0, 2**43)))
    assert [point.time_ns for piece in found for point in piece] == [at for at in times_ns if at < 2**43 * 10**6]
    assert all(piece[-1].time_ns - piece[0].time_ns < WINDOW_NS for piece in found)
