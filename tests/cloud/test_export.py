"""What a store holds, as lines for programs."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import messnetz
from cloud import registry, town
from cloud.points import Point, Series
from cloud.routing import route
from cloud.stores.embedded import EmbeddedStore
from wire.readings import Flag, Reading, Sample

import towns

if TYPE_CHECKING:
    from pathlib import Path

AT_MS = 1_795_000_000_123
COLLECTOR = "collector: c1\nmqtt: {host: broker.example}\nstore: {embedded: {path: store.sqlite}}\n"
SAMPLES = [
    Sample("school-main", AT_MS, (Reading("active_power", 1.0, "W"), Reading("voltage", 9.0, "V", "L1", Flag.RANGE))),
    Sample("nobody", AT_MS, (Reading("voltage", 230.0, "V", "L1", Flag.MANUAL), Reading("magic", 2.0, "?"))),
]


@pytest.fixture
def collector(tmp_path: Path) -> Path:
    """A collector's file, with a store that holds a good, a suspect and two unregistered readings."""
    town.write_registry(towns.make(tmp_path / "town"), tmp_path / "registry.yaml")
    with closing(EmbeddedStore(tmp_path / "store.sqlite")) as store:
        store.prepare()
        store.write(route("school-gw", 1, SAMPLES, registry.load(tmp_path / "registry.yaml")))
    file = tmp_path / "collector.yaml"
    file.write_text(COLLECTOR)
    return file


def _exported(capsys: pytest.CaptureFixture[str], file: Path, *options: str) -> list[dict[str, Any]]:
    assert messnetz.run(["cloud", "export", str(file), "--json", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("options", [[], ["--latest"]])
def test_good_and_suspect_readings_are_exported(
    options: list[str], collector: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless others are asked for."""
    readings = _exported(capsys, collector, *options)
    assert {(r["measurement"], r["device"], r["quantity"]) for r in readings} == {
        ("electricity", "school-main", "active_power"),
        ("electricity_suspect", "school-main", "voltage"),
    }


def test_some_measurements_only(collector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are named."""
    (reading,) = _exported(capsys, collector, "--measurement", "electricity_suspect")
    assert (reading["quantity"], reading["flags"]) == ("voltage", 1)


def test_gaps_are_exported_as_they_travel(collector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By name only; the reason stands where a reading has its channel."""
    series = Series.of("gap", site="school", gateway="school-gw", device="school-main", reason="quota")
    with closing(EmbeddedStore(collector.parent / "store.sqlite")) as store:
        store.prepare()
        store.write([Point(series, AT_MS * 1_000_000, {"gap_until": AT_MS / 1000 + 60, "gap_readings": 12.0})])
    gaps = _exported(capsys, collector, "--measurement", "gap")
    assert {(g["measurement"], g["device"], g["quantity"], g["channel"], g["time_ms"], g["value"]) for g in gaps} == {
        ("gap", "school-main", "gap_until", "quota", AT_MS, AT_MS / 1000 + 60),
        ("gap", "school-main", "gap_readings", "quota", AT_MS, 12.0),
    }
    assert all(reading["measurement"] != "gap" for reading in _exported(capsys, collector))


def test_unregistered_readings_are_exported_whole(collector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the same shape: device, quantity and channel as the gateway said them."""
    readings = _exported(capsys, collector, "--measurement", "unregistered")
    plain = {"measurement": "unregistered", "site": "", "gateway": "school-gw", "device": "nobody", "time_ms": AT_MS}
    assert readings == [
        {**plain, "quantity": "voltage", "channel": "L1", "value": 230.0, "flags": 512},
        {**plain, "quantity": "magic", "channel": "", "value": 2.0, "flags": 0},
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--measurement", "alert"], "'alert' holds no readings"),
        (["--measurement", "unregistered", "--latest"], "--latest does not go with unregistered"),
    ],
)
def test_what_cannot_be_exported_is_a_wrong_input(
    options: list[str], said: str, collector: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2."""
    assert messnetz.run(["cloud", "export", str(collector), *options]) == 2
    assert said in capsys.readouterr().err
