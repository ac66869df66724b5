"""When a pulse is one, how far a counter went on, and the file in which counts are kept."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import TransientError
from edge.s0 import pulses
from edge.s0.ledger import PAGE, Count, Ledger
from edge.s0.pulses import Edge, PulseFilter, went_on

if TYPE_CHECKING:
    from collections.abc import Sequence

CASES = Path(pulses.__file__).parent / "cases"
MS = 1_000_000


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """Edges (active, ms, number) become pulses; a counter's positions become steps."""
    given = json.loads((folder / "input.json").read_text())
    expected = json.loads((folder / "expected.json").read_text())
    assert len(given["why"]) > 20
    if "raws" in given:
        raws = given["raws"]
        steps = [went_on(last, now, given["modulus"]) for last, now in pairwise(raws)]
        assert {"steps": steps} == expected
        return
    found = PulseFilter(20 * MS)
    for is_active, at_ms, number in given["edges"]:
        found.take(Edge(bool(is_active), at_ms * MS, number))
    assert {"pulses": found.pulses, "spikes": found.spikes, "lost": found.lost} == expected


def _edges(lengths_ms: Sequence[int]) -> list[Edge]:
    edges: list[Edge] = []
    at_ms = 0
    for length_ms in lengths_ms:
        edges += [Edge(True, at_ms * MS, len(edges) + 1), Edge(False, (at_ms + length_ms) * MS, len(edges) + 2)]  # noqa: FBT003
        at_ms += length_ms + 50
    return edges


@given(st.lists(st.integers(1, 100), max_size=40))
@settings(max_examples=200, derandomize=True)
def test_pulses_and_spikes_are_all_there_is(lengths_ms: list[int]) -> None:
    """By their length."""
    found = PulseFilter(20 * MS)
    for edge in _edges(lengths_ms):
        found.take(edge)
    assert found.pulses == sum(length >= 20 for length in lengths_ms)
    assert found.spikes == sum(length < 20 for length in lengths_ms)


@given(st.integers(1, 60), st.data())
@settings(max_examples=300, derandomize=True)
def test_lost_edges_cost_no_pulse(count: int, data: st.DataObject) -> None:
    """However many are missing, between whichever two."""
    edges = _edges([40] * count)
    first = data.draw(st.integers(1, len(edges) - 1))
    last = data.draw(st.integers(first, len(edges) - 1))
    found = PulseFilter(20 * MS)
    for edge in edges[:first] + edges[last:]:
        found.take(edge)
    assert found.pulses == count
    assert found.lost == last - first


@given(st.lists(st.tuples(st.booleans(), st.integers(-(2**63), 2**63), st.integers(-5, 2**32))))
@settings(max_examples=300, derandomize=True)
def test_any_edges_are_taken(edges: list[tuple[bool, int, int]]) -> None:
    """Times that go back, numbers that repeat: a count never falls."""
    found, last = PulseFilter(20 * MS), 0
    for edge in edges:
        found.take(Edge(*edge))
        assert found.pulses >= last
        last = found.pulses


@given(st.sampled_from([1 << 16, 1 << 24, 1 << 32, 1 << 64]), st.data())
@settings(max_examples=300, derandomize=True)
def test_a_counter_goes_on_over_its_top(modulus: int, data: st.DataObject) -> None:
    """By as much as half its range between two readings."""
    last = data.draw(st.integers(0, modulus - 1))
    step = data.draw(st.integers(0, modulus // 2))
    assert went_on(last, (last + step) % modulus, modulus) == step


COUNT = Count(12345, 7, bytes(range(16)), 48211.3)


def test_a_count_is_found_again(tmp_path: Path) -> None:
    """The newest of all that were kept, by another process."""
    file = tmp_path / "pulses" / "meter"
    ledger = Ledger(file)
    assert ledger.load() is None
    for total in range(5):
        ledger.save(COUNT._replace(total=total))
    assert Ledger(file).load() == COUNT._replace(total=4)


def test_counting_goes_on_where_it_was(tmp_path: Path) -> None:
    """Numbers of writes, too: the older place is the next one."""
    file = tmp_path / "meter"
    Ledger(file).save(COUNT)
    later = Ledger(file)
    later.load()
    later.save(COUNT._replace(total=2))
    later.save(COUNT._replace(total=3))
    assert Ledger(file).load() == COUNT._replace(total=3)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("damage", ["torn", "zeros", "cut"])
def test_a_place_that_is_damaged_leaves_the_other(tmp_path: Path, place: int, damage: str) -> None:
    """A power cut while it was written: the count before it is right."""
    file = tmp_path / "meter"
    ledger = Ledger(file)
    ledger.save(COUNT._replace(total=1))  # in the second place
    ledger.save(COUNT._replace(total=2))  # in the first
    data = bytearray(file.read_bytes())
    if damage == "cut" and place == 1:
        del data[PAGE + 10 :]
    else:
        data[place * PAGE + 20 : place * PAGE + 40] = bytes(20) if damage == "zeros" else os.urandom(20)
    file.write_bytes(data)
    found = Ledger(file).load()
    assert found is not None
    assert found.total == (1 if place == 0 else 2)


def test_a_file_without_a_count_is_said_to_be_damaged(tmp_path: Path) -> None:
    """That is not the same as none."""
    file = tmp_path / "meter"
    file.write_bytes(b"\xff" * 5000)
    ledger = Ledger(file)
    assert ledger.load() is None
    assert ledger.is_damaged


@given(st.binary(max_size=PAGE + 200))
@settings(max_examples=200, derandomize=True)
def test_any_file_is_read(data: bytes) -> None:
    """Never an exception, never a count out of nothing."""
    import tempfile  # noqa: PLC0415

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        assert Ledger(Path(file.name)).load() is None


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    """In a sentence."""
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(TransientError, match="the count cannot be kept"):
        Ledger(tmp_path / "file" / "meter").save(COUNT)
    (tmp_path / "folder").mkdir()
    with pytest.raises(TransientError, match="not readable"):
        Ledger(tmp_path / "folder").load()
