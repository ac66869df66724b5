"""From words to values, and the fewest requests."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.modbus.registers import Order, Request, Type, bit_field, coalesce, number, scaled, text, tidy, width

WORDS: list[tuple[Type, Order, float, list[int], float | None]] = [
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
def test_words_become_the_value(kind: Type, order: Order, scale: float, words: list[int], value: float | None) -> None:
    """Every type, word order and scale gives the value right to the digit; NaN and infinity are no value."""
    raw = number(kind, word_order=order)(words)
    assert (None if raw is None else scaled(raw, scale)) == value


@pytest.mark.parametrize(
    ("word_order", "byte_order", "words"),
    [
        ("big", "big", [0x4366, 0x3333]),
        ("little", "big", [0x3333, 0x4366]),
        ("big", "little", [0x6643, 0x3333]),
        ("little", "little", [0x3333, 0x6643]),
    ],
)
def test_all_four_orders_are_read(word_order: Order, byte_order: Order, words: list[int]) -> None:
    """ABCD, CDAB, BADC and DCBA, as makers call them."""
    assert number("float32", word_order=word_order, byte_order=byte_order)(words) == 230.2


@pytest.mark.parametrize(
    ("kind", "words", "no_value"),
    [
        ("int16", [0x8000], 0x8000),
        ("uint16", [0xFFFF], 0xFFFF),
        ("int32", [0x8000, 0], 0x80000000),
        ("uint64", [0xFFFF] * 4, 2**64 - 1),
        ("float32", [0xFFFF, 0xFFFF], 0xFFFFFFFF),
    ],
)
def test_a_sentinel_is_no_value(kind: Type, words: list[int], no_value: int) -> None:
    """What makers write for "not measured" is never a number; anything else is."""
    assert number(kind, no_value=[no_value])(words) is None
    assert number(kind, no_value=[no_value])([0x0001] * len(words)) is not None


def test_bits_are_taken_out_of_a_word() -> None:
    """A single bit is a state, several are a small number; no value stays none."""
    assert bit_field(3, 3)(0b1000) == 1
    assert bit_field(3, 3)(0b0111) == 0
    assert bit_field(4, 7)(0xA5) == 10
    assert bit_field(0, 0)(None) is None


def test_a_text_ends_where_it_is_filled_up() -> None:
    """Zero bytes and blanks behind it are no part of it; what is no ASCII does not hurt."""
    assert text([0x5344, 0x4D36, 0x3330, 0x0000]) == "SDM630"
    assert text([0x4120, 0x2020]) == "A"
    assert text([0x00FF]) == ""
    assert text([0x41FF]) == "A\ufffd"


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_survives_its_shortest_form(value: float) -> None:
    """The decimal that stands for a float32 is the same float32."""
    words = list(struct.unpack(">HH", struct.pack(">f", value)))
    decoded = number("float32")(words)
    assert decoded is not None
    assert struct.pack(">f", decoded) == struct.pack(">f", value + 0.0)  # minus zero is zero


@given(st.integers(-999_999, 999_999), st.integers(0, 3))
def test_a_short_decimal_comes_back_as_written(digits: int, places: int) -> None:
    """What fits into six digits is shown as the meter's firmware meant it."""
    value = float(f"{digits}e-{places}")
    words = list(struct.unpack(">HH", struct.pack(">f", value)))
    assert number("float32")(words) == value


@pytest.mark.parametrize(
    ("computed", "meant"),
    [
        (12.3456 * 1000, 12345.6),
        (664 / 10 - 40, 26.4),
        (123456789012345 / 1000, 123456789012.345),
        (-0.1 - 0.2, -0.3),
        (1e-7, 1e-7),
        (0.0, 0.0),
    ],
)
def test_what_arithmetic_added_is_dropped(computed: float, meant: float) -> None:
    """A factor and an offset leave the digits that the maker meant."""
    assert tidy(computed) == meant


def test_width_counts_registers() -> None:
    """A register has 16 bits."""
    assert [width(kind) for kind in ("int16", "uint32", "float32", "float64")] == [1, 2, 2, 4]


def _spans(*spans: tuple[int, int]) -> list[Request]:
    return [Request(3, address, count) for address, count in spans]


def test_neighbours_share_a_request() -> None:
    """Registers side by side are read at once, those beyond the gap are not."""
    spans = _spans((4, 2), (0, 2), (2, 2), (20, 2))
    assert coalesce(spans, max_registers=125, max_gap=0) == _spans((0, 6), (20, 2))
    assert coalesce(spans, max_registers=125, max_gap=14) == _spans((0, 22))
    assert coalesce(spans, max_registers=21, max_gap=14) == _spans((0, 6), (20, 2))


def test_function_codes_do_not_mix() -> None:
    """Holding and input registers of one number are different things."""
    spans = [Request(3, 0, 2), Request(4, 2, 2)]
    assert coalesce(spans, max_registers=125, max_gap=10) == spans


@given(
    st.lists(
        st.builds(Request, st.sampled_from([3, 4]), st.integers(0, 400), st.integers(1, 4)), min_size=1, max_size=40
    ),
    st.integers(4, 125),
    st.integers(0, 40),
)
def test_requests_cover_every_value_whole(spans: list[Request], most: int, gap: int) -> None:
    """Whatever is asked for stands whole in one request, and no request is longer than allowed."""
    requests = coalesce(spans, max_registers=most, max_gap=gap)
    assert all(request.count <= most for request in requests)
    for span in spans:
        assert any(span.is_within(request) for request in requests)
