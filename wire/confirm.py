"""The collector's word: these batches are in the store, those can never be.

`P/<gateway>/confirm`: `{"stream","now_ms","batches":[[from,to],...],"rejected":[{"number","reason"}]}`.
Ranges are inclusive and hold only numbers that this collector wrote.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Annotated

import msgspec

from wire.batch import Number, Stream, TimeMs
from wire.bounds import MAX_CONFIRM_RANGES, MAX_PAYLOAD_BYTES, MAX_REASON_CHARS
from wire.errors import BadMessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Rejection(msgspec.Struct, frozen=True):
    """A batch that can never be stored, and why."""

    number: Number
    reason: str


class Confirm(msgspec.Struct, frozen=True):
    """One confirm message; without batches it only tells the time."""

    stream: Stream
    now_ms: TimeMs
    batches: Annotated[list[tuple[Number, Number]], msgspec.Meta(max_length=MAX_CONFIRM_RANGES)] = []
    rejected: Annotated[list[Rejection], msgspec.Meta(max_length=MAX_CONFIRM_RANGES)] = []


_confirms = msgspec.json.Decoder(Confirm)


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Join numbers into inclusive ranges: 1, 2, 3, 5 -> (1, 3), (5, 5)."""
    joined: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if joined and number == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], number)
        else:
            joined.append((number, number))
    return joined


def members(batches: Iterable[tuple[int, int]]) -> Callable[[int], bool]:
    """Return a test for being in one of these ranges, which may overlap; its cost does not grow with their length."""
    first, last = [], []
    reach = 0
    for begin, end in sorted(batches):
        reach = max(reach, end)
        first.append(begin)
        last.append(reach)

    def holds(number: int) -> bool:
        at = bisect_right(first, number) - 1
        return at >= 0 and number <= last[at]

    return holds


def encode(confirm: Confirm) -> bytes:
    """Write a confirm message; reasons are cut to their bound.

    Raises: ValueError for more ranges or rejections than a gateway takes; they belong into several messages.
    """
    if max(len(confirm.batches), len(confirm.rejected)) > MAX_CONFIRM_RANGES:
        raise ValueError(f"a confirm of over {MAX_CONFIRM_RANGES} ranges or rejections")
    rejected = [Rejection(r.number, r.reason[:MAX_REASON_CHARS]) for r in confirm.rejected]
    return msgspec.json.encode(msgspec.structs.replace(confirm, rejected=rejected))


def decode(payload: bytes) -> Confirm:
    """Read a confirm message.

    Raises: BadMessageError where it is none.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadMessageError(f"a confirm of {len(payload)} bytes")
    try:
        confirm = _confirms.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessageError(f"no confirm: {error}") from error
    for first, last in confirm.batches:
        if first > last:
            raise BadMessageError(f"no confirm: a range from {first} down to {last}")
    return confirm
