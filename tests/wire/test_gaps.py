"""Gaps as they travel."""

from __future__ import annotations

import re

from wire import gaps, pack
from wire.gaps import Gap
from wire.ids import CHANNEL_PATTERN
from wire.readings import Reading, Sample

AT_MS = 1_795_000_000_000


def test_a_gap_travels_as_readings_of_its_device() -> None:
    """Time is where it begins; the reason is the channel."""
    gap = Gap("school-main", AT_MS, AT_MS + 90_500, "quota", 12)
    assert gaps.sample(gap) == Sample(
        "school-main",
        AT_MS,
        (
            Reading("gap_until", 1_795_000_090.5, "s", "quota"),
            Reading("gap_readings", 12.0, "count", "quota"),
        ),
    )


def test_a_gap_of_unknown_size_carries_no_count() -> None:
    """Not known is not zero."""
    sample = gaps.sample(Gap("school-main", AT_MS, AT_MS + 1, "stopped"))
    assert [reading.name for reading in sample.readings] == ["gap_until/stopped"]


def test_a_gap_survives_the_wire_to_the_millisecond() -> None:
    """Its end is a value, and must not lose what its beginning keeps."""
    sample = gaps.sample(Gap("school-main", AT_MS, AT_MS + 123_457, "disk", 3))
    assert pack.decode(pack.encode([sample])) == [sample]


def test_reasons_can_be_channels() -> None:
    """Each of them."""
    assert all(re.match(CHANNEL_PATTERN, reason) for reason in gaps.REASONS)
