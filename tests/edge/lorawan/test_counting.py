"""What a frame counter tells of an uplink."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.lorawan.airtime import airtime_of, airtime_s
from edge.lorawan.counting import DUPLICATE_MS, Counted, FrameCounter, Verdict
from edge.lorawan.uplink import Radio, Uplink

MINUTE_MS = 60_000


def _uplink(f_cnt: int, payload: bytes | None = None, session: str = "s") -> Uplink:
    content = b"%d" % f_cnt if payload is None else payload
    return Uplink("0" * 16, 1, f_cnt, content, session=session)


def _take(counter: FrameCounter, *numbers: int, minute: int = 0) -> list[Counted]:
    return [counter.take(_uplink(n), (minute + i) * MINUTE_MS) for i, n in enumerate(numbers)]


def _verdicts(*numbers: int) -> list[str]:
    return [counted.verdict.value for counted in _take(FrameCounter(), *numbers)]


def test_the_next_frames_lose_nothing() -> None:
    """The first one neither: what was before it, nobody knows."""
    assert _take(FrameCounter(), 7, 8, 9) == [Counted(Verdict.FIRST), Counted(Verdict.NEXT), Counted(Verdict.NEXT)]


def test_a_gap_is_counted() -> None:
    """As many as are missing."""
    assert _take(FrameCounter(), 7, 11)[1] == Counted(Verdict.NEXT, 3)


def test_a_second_copy_is_a_duplicate() -> None:
    """From a second gateway, or delivered once more by the broker, out of order too."""
    counter = FrameCounter()
    _take(counter, 1, 2, 3)
    assert counter.take(_uplink(2), 4 * MINUTE_MS).verdict is Verdict.DUPLICATE


def test_a_late_copy_is_a_replay() -> None:
    """Nobody delivers after so long what was delivered then."""
    counter = FrameCounter()
    _take(counter, 1, 2, 3)
    assert counter.take(_uplink(2), DUPLICATE_MS + 4 * MINUTE_MS).verdict is Verdict.REPLAY


def test_a_frame_that_was_overtaken_counts() -> None:
    """Its number was missing; it was counted as lost, and is said to be late."""
    assert _verdicts(1, 2, 5, 4) == ["first", "next", "next", "late"]


def test_a_join_begins_anew() -> None:
    """Without a loss, whatever the numbers."""
    counter = FrameCounter()
    _take(counter, 500, 501)
    assert counter.take(_uplink(0, session="t"), 0) == Counted(Verdict.SESSION)
    assert counter.take(_uplink(1, session="t"), 0) == Counted(Verdict.NEXT)


@pytest.mark.parametrize("first", [0, 1])
def test_a_device_that_starts_anew_is_a_reset(first: int) -> None:
    """Without a join (ABP), with its first number."""
    counter = FrameCounter()
    _take(counter, 500, 501)
    assert counter.take(_uplink(first, b"new"), 0) == Counted(Verdict.RESET)
    assert counter.take(_uplink(first + 1, b"new too"), 0) == Counted(Verdict.NEXT)


def test_a_lone_old_number_is_a_replay() -> None:
    """With content that is not remembered: recorded long ago, or the first of a new count."""
    counter = FrameCounter()
    _take(counter, 500, 501)
    assert counter.take(_uplink(30, b"old"), 0).verdict is Verdict.REPLAY
    assert counter.take(_uplink(502), 0) == Counted(Verdict.NEXT)


def test_a_low_number_that_goes_on_is_a_reset() -> None:
    """Of a device whose first frames were lost: one is held back, and counted with those between."""
    counter = FrameCounter()
    _take(counter, 500, 501)
    assert counter.take(_uplink(5, b"a"), 0).verdict is Verdict.REPLAY
    assert counter.take(_uplink(7, b"b"), 0) == Counted(Verdict.RESET, 2)
    assert counter.take(_uplink(8, b"c"), 0) == Counted(Verdict.NEXT)


def test_sixteen_bits_may_start_over() -> None:
    """A source that passes on what is on the air goes from 65535 to 0: no reset, and the gap is counted."""
    assert _take(FrameCounter(), 65534, 1)[1] == Counted(Verdict.NEXT, 2)


def test_what_is_known_outlives_a_restart() -> None:
    """As plain data."""
    counter = FrameCounter()
    _take(counter, 1, 2, 3)
    again = msgspec.json.decode(msgspec.json.encode(counter), type=FrameCounter)
    assert again == counter
    assert again.take(_uplink(3), 3 * MINUTE_MS).verdict is Verdict.DUPLICATE


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1) | st.integers(0, 70), st.binary(max_size=2)), max_size=60))
def test_no_frame_counts_twice_soon(frames: list[tuple[int, bytes]]) -> None:
    """Whatever comes: among the frames that it remembers, no number with the same content counts a second time."""
    counter, counted, lost = FrameCounter(), list[tuple[int, bytes]](), 0
    for f_cnt, payload in frames:
        verdict, missing = counter.take(_uplink(f_cnt, payload), 0)
        lost += missing
        if verdict in (Verdict.RESET, Verdict.SESSION):
            counted.clear()
        if verdict.counts:
            assert (f_cnt, payload) not in counted[-60:] or verdict is Verdict.RESET
            counted.append((f_cnt, payload))
        assert len(counter.heard) <= 64
        assert lost >= 0


@pytest.mark.parametrize(
    ("size", "spreading_factor", "bandwidth_hz", "milliseconds"),
    [(23, 7, 125_000, 61.696), (64, 7, 125_000, 118.016), (23, 12, 125_000, 1482.752), (23, 7, 250_000, 30.848)],
)
def test_airtime(size: int, spreading_factor: int, bandwidth_hz: int, milliseconds: float) -> None:
    """As Semtech's calculator has it."""
    assert 1000 * airtime_s(size, spreading_factor, bandwidth_hz) == pytest.approx(milliseconds)


def test_the_networks_word_goes_first() -> None:
    """And where nothing is known of the radio, nothing is made up."""
    uplink = _uplink(1, b"x" * 10)
    assert airtime_of(uplink) is None
    assert airtime_of(uplink._replace(radio=Radio(spreading_factor=7))) == pytest.approx(0.061696)
    assert airtime_of(uplink._replace(radio=Radio(spreading_factor=7), consumed_airtime_s=0.5)) == 0.5


@pytest.mark.parametrize(
    "radio",
    [
        Radio(spreading_factor=2**31),
        Radio(spreading_factor=1),
        Radio(spreading_factor=-1),
        Radio(spreading_factor=2, bandwidth_hz=1),
        Radio(spreading_factor=7, bandwidth_hz=-125_000),
    ],
)
def test_a_radio_that_cannot_be_has_no_airtime(radio: Radio) -> None:
    """Whatever numbers a network sends: nothing is made up of them, and nothing breaks."""
    assert airtime_of(_uplink(1, b"x")._replace(radio=radio)) is None
