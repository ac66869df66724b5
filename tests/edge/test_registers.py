"""From words to values, and the fewest requests."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.modbus.registers import Request, Type, WordOrder, coalesce, decoder, width

WORDS: list[tuple[Type, WordOrder, float, list[int], float | None]] = [
    ("int16", "big", 1, [0xFFFF], -1.0),
    ("uint16", "big", 0.1, [2301], 230.1),
    ("uint32", "big", 1, [0x8000, 0x0001], 2147483649.0),
    ("int32", "big", 1, [0xFFFF, 0xFFFE], -2.0),
    ("uint32", "little", 1, [0x0001, 0x8000], 2147483649.0),
    ("float32", "big", 1, [0x4366, 0x3333], 230.2),
    ("float32", "little", 1, [0x3333, 0x4366], 230.2),
    ("float32", "big", 0.001, list(struct.unpack(">HH", struct.pack(">f", 96241856.0))), 96241.856),
    ("float32", "big", 1, [0x7FC0, 0x0000], None),
    ("float32", "big", 1, [0x7F80, 0x0000], None),
    ("float64", "big", 0.001, list(struct.unpack(">4H", struct.pack(">d", 12345.678))), 12.345678),
    ("uint64", "big", 1, [0, 0, 0x0001, 0x0000], 65536.0),
    ("int64", "big", 1, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF], -1.0),
]


@pytest.mark.parametrize(("kind", "order", "scale", "words", "value"), WORDS)
def test_words_become_the_value(
    kind: Type, order: WordOrder, scale: float, words: list[int], value: float | None
) -> None:
    """Every type, word order and scale gives the value right to the digit; NaN and infinity are no value."""
    assert decoder(kind, order, scale)(words) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_survives_its_shortest_form(value: float) -> None:
    """The decimal that stands for a float32 is the same float32."""
    words = list(struct.unpack(">HH", struct.pack(">f", value)))
    decoded = decoder("float32", "big", 1)(words)
    assert decoded is not None
    assert struct.pack(">f", decoded) == struct.pack(">f", value)


@given(st.integers(-999_999, 999_999), st.integers(0, 3))
def test_a_short_decimal_comes_back_as_written(digits: int, places: int) -> None:
    """What fits into six digits is shown as the meter's firmware meant it."""
    value = float(f"{digits}e-{places}")
    words = list(struct.unpack(">HH", struct.pack(">f", value)))
    assert decoder("float32", "big", 1)(words) == value


def test_width_counts_registers() -> None:
    """A register has 16 bits."""
    assert [width(kind) for kind in ("int16", "uint32", "float32", "float64")] == [1, 2, 2, 4]


def test_neighbours_share_a_request() -> None:
    """Registers side by side are read at once, those beyond the gap are not."""
    spans = [(4, 2), (0, 2), (2, 2), (20, 2)]
    assert coalesce(spans, max_registers=125, max_gap=0) == [Request(0, 6), Request(20, 2)]
    assert coalesce(spans, max_registers=125, max_gap=14) == [Request(0, 22)]
    assert coalesce(spans, max_registers=21, max_gap=14) == [Request(0, 6), Request(20, 2)]


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 4)), min_size=1, max_size=40),
    st.integers(4, 125),
    st.integers(0, 40),
)
def test_requests_cover_every_value_whole(spans: list[tuple[int, int]], most: int, gap: int) -> None:
    """Whatever is asked for stands whole in one request, and no request is longer than allowed."""
    requests = coalesce(spans, max_registers=most, max_gap=gap)
    assert all(request.count <= most for request in requests)
    for address, count in spans:
        assert any(r.address <= address and address + count <= r.address + r.count for r in requests)
