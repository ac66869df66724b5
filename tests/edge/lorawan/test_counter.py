"""Frame counters, and what they tell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.lorawan import counter
from edge.lorawan.counter import Counter, Kind


def _judge(known: Counter, f_cnt: int, mic: bytes = b"mic", now_s: float = 0.0) -> tuple[Kind, int]:
    """As a frame whose MIC is right under one counter alone."""
    return known.judge(f_cnt & 0xFFFF, mic, now_s, lambda tried: tried == f_cnt)


def _heard(*f_cnts: int, can_reset: bool = True) -> Counter:
    known = Counter(None, 0.0, can_reset=can_reset)
    for f_cnt in f_cnts:
        known.take(f_cnt, b"mic %d" % f_cnt, 0.0)
    return known


@given(st.integers(0, 2**32 - 1), st.integers(1, 4 * 65_536))
@settings(max_examples=300, derandomize=True)
def test_any_number_ahead_is_found(last: int, ahead: int) -> None:
    """Up to a quarter of a million frames may be lost."""
    known = Counter(last, 0.0, can_reset=False)
    if last + ahead <= counter.LAST:
        assert _judge(known, last + ahead) == (Kind.NEW, last + ahead)


@given(st.integers(0, 2**32 - 1), st.integers(0, 3 * 65_536))
@settings(max_examples=300, derandomize=True)
def test_no_number_that_was_is_new(last: int, back: int) -> None:
    """Whatever the upper half is taken for."""
    known = Counter(last, 0.0, can_reset=False)
    kind, _ = _judge(known, max(0, last - back), now_s=1000.0)
    assert kind is Kind.REPLAY


def test_a_counter_ends_where_32_bits_end() -> None:
    """There is nothing after the last number: the device must join anew."""
    known = Counter(counter.LAST, 0.0, can_reset=False)
    assert known.judge(0, b"", 0.0, lambda tried: tried > counter.LAST).kind is Kind.BAD_MIC


def test_the_last_frame_again_is_a_duplicate_for_a_while() -> None:
    """Devices repeat what was not acknowledged; later it is a replay."""
    known = _heard(7)
    assert _judge(known, 7, b"mic 7", counter.REPEATED_WITHIN_S) == (Kind.DUPLICATE, 7)
    assert _judge(known, 7, b"mic 7", counter.REPEATED_WITHIN_S + 1) == (Kind.REPLAY, 7)


def test_an_older_frame_is_a_replay() -> None:
    """However soon it comes."""
    assert _judge(_heard(20, 21), 20, b"mic 20") == (Kind.REPLAY, 20)


@pytest.mark.parametrize("first", [0, 1, counter.FIRST_FRAMES - 1])
def test_a_device_that_counts_anew_is_known_by_its_first_frames(first: int) -> None:
    """And by those that go on from there, if some are lost."""
    known = _heard(500)
    verdict = known.judge(first, b"new", 0.0, lambda tried: tried == first)
    assert verdict.kind is Kind.RESET
    known.refuse(verdict)
    assert _judge(known, first + 40)[0] is Kind.RESET
    assert _judge(known, first + 65)[0] is Kind.REPLAY


def test_the_first_frame_itself_is_no_reset() -> None:
    """A frame of the first day with the same octets was recorded then."""
    assert _judge(_heard(0, 500), 0, b"mic 0") == (Kind.REPLAY, 0)


def test_a_device_that_joins_cannot_count_anew() -> None:
    """It would have another session."""
    assert _judge(_heard(500, can_reset=False), 0) == (Kind.REPLAY, 0)


def test_the_first_frame_ever_may_have_any_number() -> None:
    """A device that was in another network before counts on."""
    known = Counter(None, 0.0, can_reset=True)
    assert _judge(known, 15 * 65_536 + 9) == (Kind.NEW, 15 * 65_536 + 9)
