"""A bus that cannot keep up is an error at the desk, with the sum and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import messnetz
from base.errors import ConfigError
from gateway import bustime
from gateway.config import load

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "gateway: gw\nmqtt: {host: broker.example}\nbuses:\n  - id: cellar\n    driver: modbus\n"


def _file(tmp_path: Path, intervals_s: list[float], line: str = "serial: /dev/ttyS0") -> Path:
    devices = [
        f"      - {{id: d{n}, profile: eastron/sdm630, site: s, unit: {n + 1}, interval_s: {interval_s}}}\n"
        for n, interval_s in enumerate(intervals_s)
    ]
    file = tmp_path / "gw.yaml"
    file.write_text(f"{HEAD}    {line}\n    devices:\n{''.join(devices)}")
    return file


def test_the_share_is_the_sum_of_cost_over_interval(tmp_path: Path) -> None:
    """Device by device, the greatest first."""
    config = load(_file(tmp_path, [10, 2]))
    (time,) = config.bus_times
    (plan,) = config.buses
    assert [part.device for part in time.parts] == ["d1", "d0"]
    assert time.share == pytest.approx(plan.cost_s("d0") / 10 + plan.cost_s("d1") / 2)
    assert time.remedy == ""


def test_a_bus_over_its_time_is_refused_at_its_line(tmp_path: Path) -> None:
    """With the sum, the interval that would do, and the baud rate that would do."""
    with pytest.raises(ConfigError) as caught:
        load(_file(tmp_path, [0.4, 0.4, 60]))
    assert (caught.value.at.line, caught.value.at.column) == (4, 9)
    assert caught.value.found.startswith(
        "115 % of the time of bus 'cellar' asked for (d0 0.23 s every 0.4 s = 57 % + d1"
    )
    assert caught.value.expected == (
        "at most 100 %, better 80 %: `interval_s: 1` for d0, d1 or `baud_rate: 19200`, where all its devices can be set"
        " to it"
    )


def test_what_is_said_to_be_right_is_right(tmp_path: Path) -> None:
    """Both ways."""
    assert load(_file(tmp_path, [1, 1, 60])).bus_times[0].share <= bustime.SAFE
    faster = _file(tmp_path, [0.4, 0.4, 60], "serial: /dev/ttyS0\n    baud_rate: 19200")
    assert load(faster).bus_times[0].share <= bustime.SAFE


def test_of_many_devices_the_greatest_are_shown(tmp_path: Path) -> None:
    """A sentence has an end."""
    with pytest.raises(ConfigError, match=r"d7 0\.23 s every 1 s = 23 % \+ 12 more = 276 %\)") as caught:
        load(_file(tmp_path, [1] * 20))
    assert "`interval_s: 10` for d0, d1, d2, d3, d4, d5, d6, d7 and others" in caught.value.expected


def test_a_tight_bus_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It works until the first device is late: said, and exit 0."""
    assert messnetz.run(["gateway", "check", str(_file(tmp_path, [0.5, 0.5]))]) == 0
    shown = capsys.readouterr()
    assert "bus cellar: 92 % of its time for 2 devices" in shown.out
    assert "warning: bus cellar has nothing left for devices that answer late" in shown.err
    assert "Better: `interval_s: 1` for d0, d1 or `baud_rate: 19200`" in shown.err


def test_a_comfortable_bus_is_told_its_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else."""
    assert messnetz.run(["gateway", "check", str(_file(tmp_path, [60]))]) == 0
    shown = capsys.readouterr()
    assert "bus cellar: 0.4 % of its time for 1 device" in shown.out
    assert shown.err == ""
