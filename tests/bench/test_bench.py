"""The benches run: no figure is judged here, machines differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lacking import lacking

from bench.harness import Row, Scale, number, table
from bench.report import BEGIN, END, Rows, put

from servers import Influx1, Mosquitto

ROOT = Path(__file__).parent.parent.parent


def _row(measured: float | None, *, better: str = "less") -> Row:
    must, dream = (7.0, 4.0) if better == "less" else (4.0, 7.0)
    return Row(
        what="a row", measured=measured, unit="B", must=must, dream=dream, better="less" if better == "less" else "more"
    )


@pytest.mark.parametrize(
    ("measured", "better", "verdict"),
    [
        (4.0, "less", "dream"),
        (4.1, "less", "met"),
        (7.0, "less", "met"),
        (7.1, "less", "MISSED"),
        (7.0, "more", "dream"),
        (6.9, "more", "met"),
        (4.0, "more", "met"),
        (3.9, "more", "MISSED"),
        (None, "less", "not measured"),
    ],
)
def test_a_row_is_judged_by_its_targets(measured: float | None, better: str, verdict: str) -> None:
    """What is reached exactly is reached."""
    assert _row(measured, better=better).verdict == verdict


def test_a_row_without_target_is_not_judged() -> None:
    """It only informs."""
    assert Row(what="a row", measured=1.0, unit="").verdict == ""


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=5))
def test_a_table_has_a_line_for_each_row(figures: list[float]) -> None:
    """Under its head and rule; every figure stands in it."""
    lines = table(_row(figure) for figure in figures).splitlines()
    assert len(lines) == len(figures) + 2
    for figure, line in zip(figures, lines[2:], strict=True):
        assert f" {number(figure)} B " in line


def test_quick_is_quick() -> None:
    """A smoke test takes what is said for it, a measurement what is said for that."""
    assert (Scale(quick=True).seconds(60, 1), Scale().seconds(60, 1)) == (1, 60)
    assert (Scale(quick=True).count(1000, 2), Scale().count(1000, 2)) == (2, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["path", "modbus", "drivers", "growth", "collector", "drain", "fleet"])
def test_a_bench_runs_and_leaves_its_rows(name: str, tmp_path: Path) -> None:
    """Every row has a figure; so none rots unseen."""
    for kind in (Mosquitto, Influx1):
        if (missing := kind.missing()) is not None:
            lacking(missing)
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "bench", name, "--quick", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert rows
    assert all(row["measured"] is not None for row in rows)


@pytest.mark.slow
def test_the_bench_of_the_disk_runs(tmp_path: Path) -> None:
    """What counts at the block device needs root, and says so in its row."""
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "bench", "disk", "--quick", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    by_process, *by_device = json.loads(file.read_text())["rows"]
    assert by_process["measured"] > 0
    assert all(row["measured"] or "root" in row["note"] for row in by_device)


@pytest.mark.slow
def test_a_bench_of_no_such_name_is_refused() -> None:
    """The names that there are stand in the message."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "nothing"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "collector" in done.stderr


def test_a_report_replaces_what_stood_between_its_markers() -> None:
    """And leaves the rest of the page as it is, however often."""
    files = [Rows("a machine", [_row(5.0)])]
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = put(page, files)
    assert once.startswith(f"before\n{BEGIN}\n")
    assert once.endswith(f"{END}\nafter\n")
    assert "a machine" in once
    assert "5.00 B" in once
    assert "old" not in once
    assert put(once, files) == once


def test_a_page_without_markers_is_refused() -> None:
    """Nothing is written over what a person wrote."""
    with pytest.raises(ValueError, match="measured"):
        put("a page", [])
