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
from 0 is not booked from 0.
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


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is known of a counter."""

    base: Track
    """The last reading that was believed."""
    is_proven: bool = False
    """Whether another reading has agreed with the first one."""
    held: Held | None = None


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


def judge(state: State | None, rules: Rules, value: float, at_s: float) -> tuple[State, Verdict]:
    """Judge the next reading of a counter, in the order of their times; None is a counter never seen."""
    if state is None or not math.isfinite(value):
        return _begun(state, value, at_s)
    base, held = state.base, state.held
    fits_held = held is not None and _fits(held.last, rules, value, at_s)
    if held is not None and fits_held and (held.start > base.value or not _fits(base, rules, value, at_s)):
        return _extended(state, held, value, at_s)
    if _fits(base, rules, value, at_s):
        event: Event = "" if held is None else "return"
        verdict = Verdict(max(0.0, value - base.value), 0, event, base.seen_s)
        return State(_moved(base, value, at_s), is_proven=True), verdict
    over_top = _rise_over_top(base, rules, value, at_s)
    if over_top is not None:
        verdict = Verdict(over_top, Flag.ROLLOVER, "rollover", base.seen_s)
        return State(Track(value, at_s, at_s), is_proven=True), verdict
    return _unfit(state, value, at_s)


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
    base, held = _shifted(state.base, by_s), state.held
    if held is not None:
        held = Held(held.start, held.start_s + by_s, held.count, _shifted(held.last, by_s))
    return State(Track(base.value, base.changed_s - unsure_s, base.seen_s), state.is_proven, held)


def rounding(rules: Rules, value: float) -> float:
    """Return what a value may be off by because of its encoding."""
    return max(rules.resolution, abs(value) * FLOAT32_STEP)


def _begun(state: State | None, value: float, at_s: float) -> tuple[State, Verdict]:
    if not math.isfinite(value):
        return state or started(0.0, at_s), Verdict(None, Flag.RANGE, "no_number")
    return started(value, at_s), Verdict(None, 0, "start")


def _unfit(state: State, value: float, at_s: float) -> tuple[State, Verdict]:
    """Hold a reading that fits nothing: it may be the first of a new segment."""
    base = state.base
    if not state.is_proven and base.value == 0.0:  # meters say 0 while they start: no base to judge others by
        return started(value, at_s), Verdict(None, 0, "start")
    found = State(base, state.is_proven, Held(value, at_s, 1, Track(value, at_s, at_s)))
    if value < base.value:
        return found, Verdict(None, Flag.RESET, "fall")
    return found, Verdict(None, Flag.STEP, "jump")


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
    if run.count >= CONFIRM_READINGS and at_s - run.start_s >= CONFIRM_S:
        unknown_s = (state.base.seen_s, run.start_s)
        rise = run.last.value - run.start
        return State(run.last, is_proven=True), Verdict(rise, 0, "segment", run.start_s, unknown_s)
    flag = Flag.RESET if held.start < state.base.value else Flag.STEP
    return State(state.base, state.is_proven, run), Verdict(None, flag, "held")
