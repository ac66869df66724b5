"""The counter rules: what a counter's reading adds to its account, and what is to be thought of the reading.

Pure: the edge flags with it, the cloud books with it. State and reading in, state and verdict out; states and verdicts
are structs that serialise. Values are in the counter's unit, times in seconds on any one clock. A reading outside the
quantity's hard range is not for these rules: flag it, and leave the counter's state alone.

    reading, compared with the last one believed        booked            flag     event
    as high, or higher by what can have flowed          the difference    -        -
    lower by what rounding does                         0                 -        -
    lower, and the modulus explains it                  over the top      64       rollover (CNT_ROLLOVER)
    lower                                               nothing, held     128      fall, then held (CNT_BACKWARD)
    higher than can have flowed                         nothing, held     2        jump, then held (CNT_IMPLAUSIBLE)
    believable again, beside the last one believed      the difference    -        return
    the third of a held run, over half an hour          within the run    -        segment ("confirm the exchange")

What is held never moves the base, so a growing interval does not make a jump legitimate, and a counter that came back
from 0 is not booked from 0; not even where it said 0 for so long that this became a segment.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

import msgspec

from wire.readings import Flag

CONFIRM_READINGS = 3
CONFIRM_S = 1800.0
"""So many readings that fit each other, over so long, make a new segment."""
MARGIN = 1.1
"""What may flow beyond the largest rate, for clocks and rounding."""
FLOAT32_STEP = 2.0**-23
"""Distance of two float32 at most, as a share of the value: what any counter may lose to its encoding."""
CATCH_UP_S = 25 * 3600.0
"""Meters renew their registers every hour or every day: so far back an increase may have begun."""
UNKNOWN_S = 3600.0
"""How long the first reading of a counter may have stood already: its next step may be an hour's."""
ROLL_OVER_S = 900.0
"""As `CATCH_UP_S`, for a rollover: a counter that rested and then was reset must not look like one."""
LEAP_SHARE = 0.5
"""Of the way back to the segment before, in one reading: so far only who comes back leaps."""
ROLL_OVER_SHARE = 0.25
"""Most of the modulus that one rollover may add."""

Event: TypeAlias = Literal[
    "start", "", "rollover", "fall", "jump", "held", "return", "segment", "exchange", "doubtful", "no_number"
]


class Rules(msgspec.Struct, frozen=True):
    """What a counter can do."""

    per_s: float = math.inf
    """Most that can flow in a second (p_max)."""
    resolution: float = 0.0
    """Its smallest step."""
    modulus: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """The number at which it starts over from 0; None where that is not known, or does not happen."""


class Track(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value, since when it stands, and when it was read last."""

    value: float
    changed_s: float
    seen_s: float


class Held(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A run of readings that do not fit the base, and may be a new segment."""

    start: float
    start_s: float
    count: int
    last: Track


class Former(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The end of the segment before one that began below it: a counter that said 0 for long may come back there."""

    last: Track
    start: float
    """Where the new segment began."""


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is known of a counter."""

    base: Track
    """The last reading that was believed."""
    is_proven: bool = False
    """Whether another reading has agreed with the first one."""
    held: Held | None = None
    former: Former | None = None


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What becomes of one reading."""

    delta: float | None
    """What it adds to the account; None: nothing can be said yet, or at all. 0 where nothing flowed."""
    flags: int = 0
    event: Event = ""
    since_s: float | None = None
    """When what `delta` counts began to flow."""
    unknown_s: tuple[float, float] | None = None
    """Of a new segment: the stretch for which nothing is booked, nor ever will be."""


def judge(state: State | None, rules: Rules, value: float, at_s: float) -> tuple[State | None, Verdict]:
    """Judge the next reading of a counter, in the order of their times; None is a counter never seen."""
    if not math.isfinite(value):
        return state, Verdict(None, Flag.RANGE, "no_number")
    if state is None or (not state.is_proven and state.base.value == 0.0 != value):  # meters say 0 while they start
        return started(value, at_s), Verdict(None, 0, "start")
    return _judge(state, rules, value, at_s)


def started(value: float, at_s: float) -> State:
    """Return the state of a counter after its first reading."""
    return State(Track(value, at_s - UNKNOWN_S, at_s))


def exchange(state: State | None, rules: Rules, end_old: float, start_new: float, at_s: float) -> tuple[State, Verdict]:
    """Book a meter exchange that a person wrote down, before the first reading of the new meter.

    Where the old meter's last reading contradicts what was read of it, nothing is booked for it and the event is
    `doubtful`; the new meter counts all the same.
    """
    after = State(Track(start_new, at_s, at_s), is_proven=True)
    if state is None:
        return after, Verdict(None, 0, "exchange")
    base = state.base
    if not _fits(base, rules, end_old, at_s):
        return after, Verdict(None, 0, "doubtful", unknown_s=(base.seen_s, at_s))
    return after, Verdict(max(0.0, end_old - base.value), 0, "exchange", base.seen_s)


def shifted(state: State, by_s: float, unsure_s: float = 0.0) -> State:
    """Move a state's times onto another clock; an increase may have begun `unsure_s` before what that one says."""
    base, held, former = _shifted(state.base, by_s), state.held, state.former
    if held is not None:
        held = Held(held.start, held.start_s + by_s, held.count, _shifted(held.last, by_s))
    if former is not None:
        former = Former(_shifted(former.last, by_s), former.start)
    return State(Track(base.value, base.changed_s - unsure_s, base.seen_s), state.is_proven, held, former)


def rounding(rules: Rules, value: float) -> float:
    """Return what a value may be off by because of its encoding."""
    return max(rules.resolution, abs(value) * FLOAT32_STEP)


def _judge(state: State, rules: Rules, value: float, at_s: float) -> tuple[State, Verdict]:
    base, held, former = state.base, state.held, state.former
    if former is not None and _is_back(former, base, rules, value, at_s):
        rise = max(0.0, value - former.last.value - (base.value - former.start))
        return State(_moved(former.last, value, at_s), is_proven=True), Verdict(rise, 0, "return", former.last.seen_s)
    fits_held = held is not None and _fits(held.last, rules, value, at_s)
    if held is not None and fits_held and (held.start > base.value or not _fits(base, rules, value, at_s)):
        return _extended(state, held, value, at_s)
    if _fits(base, rules, value, at_s):
        event: Event = "" if held is None else "return"
        verdict = Verdict(max(0.0, value - base.value), 0, event, base.seen_s)
        return State(_moved(base, value, at_s), is_proven=True, former=_still_former(former, value)), verdict
    over_top = _rise_over_top(base, rules, value, at_s)
    if over_top is not None:
        verdict = Verdict(over_top, Flag.ROLLOVER, "rollover", base.seen_s)
        return State(Track(value, at_s, at_s), is_proven=True), verdict
    found = State(base, state.is_proven, Held(value, at_s, 1, Track(value, at_s, at_s)), former)
    if value < base.value:
        return found, Verdict(None, Flag.RESET, "fall")
    return found, Verdict(None, Flag.STEP, "jump")


def _is_back(former: Former, base: Track, rules: Rules, value: float, at_s: float) -> bool:
    """Whether a counter came back to the segment before: in one leap, and as if it had counted there all the time."""
    leap = LEAP_SHARE * (former.last.value - former.start)
    return value - base.value >= leap and _fits(former.last, rules, value, at_s)


def _still_former(former: Former | None, value: float) -> Former | None:
    """Forget the segment before as soon as the new one has counted far by itself."""
    if former is None or value - former.start >= LEAP_SHARE * (former.last.value - former.start):
        return None
    return former


def _shifted(track: Track, by_s: float) -> Track:
    return Track(track.value, track.changed_s + by_s, track.seen_s + by_s)


def _moved(track: Track, value: float, at_s: float) -> Track:
    """Take a value that fits; the base never falls, or jitter would be booked when it comes back."""
    return Track(value, at_s, at_s) if value > track.value else Track(track.value, track.changed_s, at_s)


def _fits(track: Track, rules: Rules, value: float, at_s: float) -> bool:
    """Whether a counter can have gone from a track to a value."""
    rise, step = value - track.value, rounding(rules, track.value)
    return -2 * step <= rise <= _most(track, rules, at_s, CATCH_UP_S) + step


def _rise_over_top(track: Track, rules: Rules, value: float, at_s: float) -> float | None:
    """Return what a counter gained that went over its top; None where it did not."""
    if rules.modulus is None or value >= track.value or track.value >= rules.modulus + rules.resolution:
        return None
    rise = max(0.0, rules.modulus - track.value + value)
    most = _most(track, rules, at_s, ROLL_OVER_S) + rounding(rules, track.value)
    return rise if rise <= min(most, rules.modulus * ROLL_OVER_SHARE) else None


def _most(track: Track, rules: Rules, at_s: float, back_s: float) -> float:
    """Return the most that can have flowed since a track."""
    passed_s = max(at_s - track.seen_s, min(at_s - track.changed_s, back_s), 0.0)
    return rules.per_s * passed_s * MARGIN if passed_s else 0.0


def _extended(state: State, held: Held, value: float, at_s: float) -> tuple[State, Verdict]:
    """Take a reading that fits the held run; the third one over half an hour makes it the new base."""
    run = Held(held.start, held.start_s, held.count + 1, _moved(held.last, value, at_s))
    base, is_fall = state.base, held.start < state.base.value
    if run.count >= CONFIRM_READINGS and at_s - run.start_s >= CONFIRM_S:
        rise, unknown_s = run.last.value - run.start, (base.seen_s, run.start_s)
        former = _still_former(Former(base, run.start), run.last.value) if is_fall else None
        return State(run.last, is_proven=True, former=former), Verdict(rise, 0, "segment", run.start_s, unknown_s)
    flag = Flag.RESET if is_fall else Flag.STEP
    return State(base, state.is_proven, run, state.former), Verdict(None, flag, "held")
