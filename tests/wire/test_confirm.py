"""The confirm: ranges that hold what was written, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import confirm
from wire.bounds import MAX_CONFIRM_RANGES, MAX_PAYLOAD_BYTES, MAX_REASON_CHARS
from wire.confirm import Confirm, Rejection
from wire.errors import BadMessageError

STREAM = "0123456789abcdef"
NOW_MS = 1_760_000_000_123
numbers = st.lists(st.one_of(st.integers(1, 60), st.integers(1, 2**63 - 1)))


@given(numbers)
def test_ranges_hold_exactly_the_numbers(written: list[int]) -> None:
    """A number too many would lose a batch, one too few would send it again."""
    joined = confirm.ranges(written)
    assert all(first <= last for first, last in joined)
    assert sum(last - first + 1 for first, last in joined) == len(set(written))
    assert all(any(first <= number <= last for first, last in joined) for number in written)


@given(numbers)
def test_ranges_are_sorted_and_as_few_as_can_be(written: list[int]) -> None:
    """Between two of them at least one number is missing."""
    joined = confirm.ranges(written)
    assert all(later[0] - earlier[1] > 1 for earlier, later in pairwise(joined))


def test_numbers_in_any_order_are_joined() -> None:
    """Also where one comes twice."""
    assert confirm.ranges([5, 2, 1, 3, 2]) == [(1, 3), (5, 5)]


def test_a_confirm_comes_back_as_it_was() -> None:
    """Ranges, rejections and the time."""
    word = Confirm(STREAM, NOW_MS, [(1, 3), (5, 5)], [Rejection(4, "a pack that does not match its checksum")])
    assert confirm.decode(confirm.encode(word)) == word


def test_a_confirm_without_batches_tells_the_time() -> None:
    """For a gateway whose clock does not know it."""
    word = confirm.decode(b'{"stream":"0123456789abcdef","now_ms":1760000000123}')
    assert word == Confirm(STREAM, NOW_MS, [], [])


def test_an_unknown_member_is_skipped() -> None:
    """A later collector may say more."""
    word = confirm.decode(b'{"stream":"0123456789abcdef","now_ms":1,"batches":[[1,1]],"collector":"c1"}')
    assert word.batches == [(1, 1)]


def test_a_long_reason_is_cut() -> None:
    """It is for people; the batch stays rejected."""
    word = confirm.decode(confirm.encode(Confirm(STREAM, NOW_MS, [], [Rejection(1, "x" * 5000)])))
    assert word.rejected == [Rejection(1, "x" * MAX_REASON_CHARS)]


def test_more_ranges_than_a_gateway_takes_are_not_sent() -> None:
    """The gateway would refuse the whole message, and send every batch again."""
    full = [(2 * i, 2 * i) for i in range(1, MAX_CONFIRM_RANGES + 1)]
    assert len(confirm.decode(confirm.encode(Confirm(STREAM, NOW_MS, full))).batches) == MAX_CONFIRM_RANGES
    with pytest.raises(ValueError, match="over 1000"):
        confirm.encode(Confirm(STREAM, NOW_MS, [*full, (1, 1)]))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"stream":"0123456789abcdef"}',
        b'{"stream":"short","now_ms":1}',
        b'{"stream":"0123456789abcdef","now_ms":-1}',
        b'{"stream":"0123456789abcdef","now_ms":9223372036855}',
        b'{"stream":"0123456789abcdef","now_ms":1,"batches":[[1]]}',
        b'{"stream":"0123456789abcdef","now_ms":1,"batches":[[0,1]]}',
        b'{"stream":"0123456789abcdef","now_ms":1,"batches":[[3,1]]}',
        b'{"stream":"0123456789abcdef","now_ms":1,"batches":[[1,9223372036854775808]]}',
        b'{"stream":"0123456789abcdef","now_ms":1,"rejected":[{"number":1}]}',
        b'{"stream":"0123456789abcdef","now_ms":1,"batches":[' + b",".join([b"[1,1]"] * 1001) + b"]}",
        b'{"stream":"0123456789abcdef","now_ms":1,"note":"' + b"x" * MAX_PAYLOAD_BYTES + b'"}',
    ],
)
def test_what_is_no_confirm_is_refused(message: bytes) -> None:
    """Nothing is let go on the word of a message that is not understood as a whole."""
    with pytest.raises(BadMessageError, match="confirm"):
        confirm.decode(message)
