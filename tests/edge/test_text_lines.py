"""Lines out of a stream of bytes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.text_lines import TextLines


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\r", b"x").replace(b"\n", b"y"))), st.integers(1, 9))
@settings(max_examples=300, derandomize=True)
def test_lines_are_found_however_the_stream_is_cut(lines: list[bytes], size: int) -> None:
    """With CR, LF or both at their ends."""
    ends = (b"\n", b"\r\n", b"\n")
    stream = b"".join(line + ends[n % 3] for n, line in enumerate(lines))
    cutter = TextLines(100)
    found: list[bytes | None] = []
    for at in range(0, len(stream), size):
        found += cutter.feed(stream[at : at + size])
    assert found == lines


def test_a_carriage_return_ends_a_line() -> None:
    """Ultrasonic sensors send nothing else."""
    assert list(TextLines(100).feed(b"R1234\rR1235\r")) == [b"R1234", b"R1235"]


@given(st.binary(max_size=2000), st.integers(1, 64))
@settings(max_examples=300, derandomize=True)
def test_no_more_than_a_line_is_kept(data: bytes, size: int) -> None:
    """Whatever a broken device sends."""
    cutter = TextLines(40)
    for at in range(0, len(data), size):
        assert all(line is None or len(line) <= 40 for line in cutter.feed(data[at : at + size]))
        assert len(cutter._buffer) <= 40


def test_a_line_that_is_too_long_is_said_once() -> None:
    """And the next one is read."""
    assert list(TextLines(5).feed(b"1234567890\nabc\n")) == [None, b"abc"]


def test_half_a_line_is_forgotten() -> None:
    """After the port was opened anew."""
    cutter = TextLines(50)
    assert list(cutter.feed(b"48.")) == []
    cutter.reset()
    assert list(cutter.feed(b"50.2\n")) == [b"50.2"]
