"""`messnetz chaos` as anybody runs it: a short set of seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from lacking import lacking

from simulator.chaos.store import find_influx1

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SHORT = ("--minutes", "0.4", "--agents", "2", "--json")


def _chaos(*options: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "messnetz", "chaos", *options], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(("seed", "store"), [(1, "influx1"), (6, "embedded")])
def test_nothing_is_unaccounted_for(seed: int, store: str, tmp_path: Path) -> None:
    """Two seeds with two stores; any other by hand: `messnetz chaos --seed N`."""
    if store == "influx1" and find_influx1() is None:
        lacking("no influxd 1.x here: apt-get install mosquitto influxdb")
    keep = ("--keep", str(tmp_path / "c"))
    code, report, said = _chaos("--seed", str(seed), "--store", store, *SHORT, *keep)
    account = report["account"]
    assert (account["unaccounted"], account["duplicates"], account["wrong"], account["wrong_time"]) == (0, 0, 0, 0), (
        said
    )
    assert (report["died"], report["verdict"], code) == ([], "whole", 0), said
    assert account["stored"] > 1_000
    assert account["made"] == account["stored"] + account["lost"]
    assert report["faults"]
    assert not list(tmp_path.glob("c/**/filler"))


def test_clocks_that_step_and_disks_that_fail_are_tried(tmp_path: Path) -> None:
    """Where libfaketime is installed and loop devices may be made; agents are killed in between."""
    keep = ("--keep", str(tmp_path / "c"))
    code, report, said = _chaos("--seed", "9", "--faults", "clock,eio,kill", *SHORT, *keep)
    if report["skipped"]:
        lacking("; ".join(report["skipped"]))
    assert {"clock", "eio"} <= {fault["kind"] for fault in report["faults"]}
    assert (report["verdict"], code) == ("whole", 0), said


def test_amqtt_does_where_mosquitto_is_not_there() -> None:
    """One collector on an embedded store: what a machine without servers has."""
    code, report, said = _chaos("--seed", "3", "--broker", "amqtt", "--store", "embedded", *SHORT)
    assert (report["collectors"], report["broker"], report["verdict"], code) == (1, "amqtt", "whole", 0), said


def test_a_kind_that_there_is_not_is_named() -> None:
    """With those that there are."""
    done = subprocess.run(
        [sys.executable, "-m", "messnetz", "chaos", "--faults", "kill,earthquake"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "earthquake is no kind of fault; there are kill, pause" in done.stderr
