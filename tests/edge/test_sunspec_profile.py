"""SunSpec profiles, checked at the desk, and what their points become."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import sunspec_maps as maps

from base import strict_yaml
from base.errors import ConfigError
from edge.modbus import profile as profiles
from edge.modbus.sunspec.chain import Block
from edge.modbus.sunspec.definitions import Definition, Point, definition
from edge.modbus.sunspec.points import TYPES, Use, field
from wire import profile as public

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = [
    ("{point: VA}", "{point: VAX}", "'VAX'", "a point of one of the models"),
    ("{point: VA}", "{point: VAR}", "'VAR' in var", "a point in VA"),
    ("{point: VA}", "{point: W_SF}", "'W_SF', a sunssf", "a number"),
    ("{point: VA}", "{point: VA, scale: 0.001}", "scale 0.001", "scale 1, from VA to VA"),
    ("{point: TotWhImp, scale: 0.001}", "{point: TotWhImp}", "scale 1", "scale 0.001, from Wh to kWh"),
    ("{point: W, sign: power_sign}", "{point: W, sign: power_sine}", "'power_sine'", "declared under 'parameters'"),
    ("instance: meter_number", "instance: meter", "'meter'", "declared under 'parameters'"),
    ("models: [201,", "models: [2010,", "2010", "a model that SunSpec has defined"),
    ("      frequency: {point: Hz}\n", "", "'frequency' without a point", "a row"),
    ("      frequency: {", "      frequenzy: {", "'frequenzy'", "listed under 'readings'"),
    ("      frequency: {point: Hz}", "      frequency: {points: Hz}", "'points'", "documented"),
]


@pytest.mark.parametrize(("old", "new", "found", "expected"), BROKEN)
def test_a_broken_profile_names_line_and_remedy(
    old: str, new: str, found: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A point that no model has, or a unit that is a thousand times another, is found before a device is asked."""
    text = (public.PROFILES / "sunspec" / "meter.yaml").read_text()
    assert old in text
    file = tmp_path / "meter.yaml"
    file.write_text(text.replace(old, new))
    monkeypatch.setattr(public, "load_document", lambda _name: strict_yaml.load(file))
    profiles.load.cache_clear()
    with pytest.raises(ConfigError) as caught:
        profiles.load("sunspec/meter")
    assert caught.value.at.line > 1
    assert found in caught.value.found
    assert expected in caught.value.expected


@pytest.mark.parametrize("model", [1, 101, 102, 103, 111, 112, 113, *range(201, 205), *range(211, 215)])
def test_points_stand_where_an_encoder_writes_them(model: int) -> None:
    """Every offset and size is what pysunspec2's own encoder makes of them."""
    known = definition(model)
    assert known is not None
    assert max(map(known.end, known.points)) == len(maps.block(model, {}))
    for name, point in known.points.items():
        if point.type in ("int16", "uint16") and name not in ("ID", "L"):
            assert maps.block(model, {name: 4711})[known.offsets[name]] == 4711


NO_VALUES = {
    "int16": "8000", "uint16": "FFFF", "acc16": "0000", "enum16": "FFFF", "bitfield16": "FFFF",
    "int32": "80000000", "uint32": "FFFFFFFF", "acc32": "00000000", "enum32": "FFFFFFFF", "bitfield32": "FFFFFFFF",
    "int64": "8000000000000000", "uint64": "FFFFFFFFFFFFFFFF", "acc64": "0000000000000000",
    "float32": "7FC00000", "float64": "7FF8000000000000",
}  # fmt: skip


def _decoded(kind: str, data: bytes, sf: int | str | None = None, factor: int = 0) -> float | None:
    """Decode a point of a made-up model: the point, and behind it a scale factor."""
    size = len(data) // 2
    points = {"X": Point("X", kind, size, sf), "X_SF": Point("X_SF", "sunssf", 1)}
    made = Definition(points, {"X": 2, "X_SF": 2 + size})
    placed = field("x", Use("X", 1.0, 1, magnitude=False), made, Block(9, 100, size + 1), 3)
    assert placed is not None
    words = [*struct.unpack(f">{size}H", data), factor & 0xFFFF]
    return placed.decode({(3, 102 + offset): word for offset, word in enumerate(words)})


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_not_implemented_is_no_value(kind: str) -> None:
    """Each type's own sentinel, and never 0; its neighbour is a value."""
    data = bytes.fromhex(NO_VALUES[kind])
    assert _decoded(kind, data) is None
    neighbour = b"\x3f" + bytes(len(data) - 2) + b"\x01"
    assert _decoded(kind, neighbour) is not None


@pytest.mark.parametrize(
    ("data", "kind", "factor", "value"),
    [
        ("08FD", "uint16", -1, 230.1),
        ("FF9C", "int16", 2, -10000.0),
        ("00BC614E", "acc32", -2, 123456.78),
        ("FFFFFFFFFFFFFFFE", "uint64", -10, 1844674407.3709552),
        ("08FD", "uint16", -32768, None),
        ("08FD", "uint16", 11, None),
        ("0000", "int16", -3, 0.0),
    ],
)
def test_a_scale_factor_is_a_power_of_ten(data: str, kind: str, factor: int, value: float | None) -> None:
    """Right to the digit; without one, or with nonsense for one, there is no value."""
    assert _decoded(kind, bytes.fromhex(data), "X_SF", factor) == value


def test_a_scale_factor_may_be_fixed() -> None:
    """Some definitions hold the power itself."""
    assert _decoded("uint16", bytes.fromhex("08FD"), -2) == 23.01


def test_a_register_map_does_without_sunspec() -> None:
    """The definitions are loaded for SunSpec profiles alone."""
    script = "import sys; from edge.modbus import profile as p; p.load(sys.argv[1]); print('sunspec2' in sys.modules)"
    answers = [
        subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True, check=True, timeout=60)
        for name in ("eastron/sdm630", "sunspec/meter")
    ]
    assert [done.stdout.strip() for done in answers] == ["False", "True"]


def _made(kind: str) -> Definition:
    """Make up a model with one point behind its header."""
    return Definition({"X": Point("X", kind, 1)}, {"X": 2})


def test_no_power_turned_round_is_no_power() -> None:
    """A sign makes 0 W no -0 W, which a board would show as such."""
    placed = field("x", Use("X", 1.0, -1, magnitude=False), _made("int16"), Block(9, 100, 1), 3)
    assert placed is not None
    assert str(placed.decode({(3, 102): 0})) == "0.0"
    assert placed.decode({(3, 102): 5}) == -5.0


@pytest.mark.parametrize(("address", "is_placed"), [(65533, True), (65534, False)])
def test_a_block_may_claim_no_register_beyond_the_last(address: int, *, is_placed: bool) -> None:
    """Register 65535 is the last one; what a length promises behind it is never asked for."""
    placed = field("x", Use("X", 1.0, 1, magnitude=False), _made("int16"), Block(9, address, 500), 3)
    assert (placed is not None) == is_placed
