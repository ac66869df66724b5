"""What a write says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloud import registry, town
from cloud.derived import Traces
from wire import gaps
from wire.gaps import Gap
from wire.readings import Reading, Sample

import towns

if TYPE_CHECKING:
    from pathlib import Path

    from cloud.registry import Registry

AT_MS = 1_795_000_000_123  # 2026-11-18
HOUR_MS = 3_600_000
POWER = (Reading("active_power", 1.0, "W"),)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The registry of the small town."""
    directory: Path = tmp_path_factory.mktemp("town")
    town.write_registry(towns.make(directory / "town"), directory / "registry.yaml")
    return registry.load(directory / "registry.yaml")


def _traces(known: Registry, *samples: Sample) -> Traces:
    traces = Traces()
    traces.add("school-gw", samples, known)
    return traces


def test_a_device_is_seen_once_a_minute_with_its_place(known: Registry) -> None:
    """However many of its samples came; the point stands at the minute."""
    traces = _traces(known, *(Sample("school-main", AT_MS + second, POWER) for second in range(50)))
    (seen, touched) = Traces.of([traces, traces]).points(AT_MS)
    assert seen.series.measurement == "device_seen"
    assert dict(seen.series.tags) == {
        "device": "school-main",
        "gateway": "school-gw",
        "sector": "buildings",
        "site": "school",
    }
    assert (seen.time_ns % 60_000_000_000, seen.fields) == (0, {"arrived_at_ms": float(AT_MS)})
    assert (touched.series.measurement, touched.series.tags) == ("touched", (("device", "school-main"),))
    assert (touched.time_ns // 1_000_000, touched.fields) == (
        AT_MS // HOUR_MS * HOUR_MS,
        {"written_at_ms": float(AT_MS)},
    )


def test_every_hour_that_a_backlog_fills_is_touched(known: Registry) -> None:
    """Three days of it: 72 hours to compute again, and one arrival."""
    traces = _traces(known, *(Sample("school-main", AT_MS - hour * HOUR_MS, POWER) for hour in range(72)))
    assert (len(traces.seen), len(traces.touched)) == (1, 72)


def test_strangers_leave_no_trace(known: Registry) -> None:
    """Whoever invents a million devices, or names another gateway's, makes no series."""
    strangers = [Sample(f"invented-{number}", AT_MS, POWER) for number in range(1000)]
    assert _traces(known, *strangers, Sample("plant-pump", AT_MS, POWER)).points(AT_MS) == []


def test_a_gap_is_no_sign_of_life(known: Registry) -> None:
    """But its hour is computed again."""
    traces = _traces(known, gaps.sample(Gap("school-main", AT_MS, AT_MS + 5_000, "quota", 12)))
    assert [point.series.measurement for point in traces.points(AT_MS)] == ["touched"]
