"""Gap records: they grow together until they are sealed, and never change after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.gap_table import JOIN_MS
from gateway.spool import Settled, Spool
from wire.gaps import Gap
from wire.gaps import sample as sample_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wire.readings import Sample

NOW_MS = 1_790_000_000_000


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool that lasts as long as a test."""
    made = Spool(tmp_path / "spool.sqlite")
    yield made
    made.close()


def _gap(since_s: float, until_s: float, readings: int | None = 1, device: str = "main") -> Gap:
    return Gap(device, NOW_MS + round(since_s * 1000), NOW_MS + round(until_s * 1000), "disk", readings)


def _seal(spool: Spool, *gaps: Gap) -> None:
    spool.seal([], Settled(), NOW_MS, gaps=gaps)


def _carried(spool: Spool) -> list[Sample]:
    """What the batches say of gaps, in their order."""
    return [sample for batch in spool.next_to_send(100) for sample in batch.samples()]


JOINED = [
    ([_gap(0, 10, 2), _gap(5, 20, 3)], [_gap(0, 20, 5)]),
    ([_gap(5, 20, 3), _gap(0, 10, 2)], [_gap(0, 20, 5)]),
    ([_gap(0, 10), _gap(10 + JOIN_MS / 1000, 80)], [_gap(0, 80, 2)]),
    ([_gap(0, 10), _gap(10.001 + JOIN_MS / 1000, 80)], [_gap(0, 10), _gap(10.001 + JOIN_MS / 1000, 80)]),
    ([_gap(0, 10), _gap(150, 160), _gap(70, 90)], [_gap(0, 160, 3)]),
    ([_gap(0, 10), _gap(5, 20, None)], [_gap(0, 20, None)]),
    ([_gap(0, 10), _gap(5, 20, device="solar")], [_gap(0, 10), _gap(5, 20, device="solar")]),
]


@pytest.mark.parametrize(("gaps", "sealed"), JOINED)
def test_gaps_that_touch_are_one_before_they_are_sealed(spool: Spool, gaps: list[Gap], sealed: list[Gap]) -> None:
    """Of one device and reason; what nobody can count has no count as a whole either."""
    _seal(spool, *gaps)
    assert spool.gaps() == sealed
    assert _carried(spool) == [sample_of(gap) for gap in sealed]


def test_a_gap_that_is_sealed_never_changes(spool: Spool) -> None:
    """The next one stands beside it, and begins elsewhere: of two on one point, a store would keep one."""
    first, longer, touching = _gap(0, 10), _gap(0, 30), _gap(5, 40)
    for gap in (first, longer, touching):
        _seal(spool, gap)
    moved = _gap(0.001, 30)
    assert spool.gaps() == [first, moved, touching]
    assert _carried(spool) == [sample_of(gap) for gap in (first, moved, touching)]
