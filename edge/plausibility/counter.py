"""Watches one counter, by the rules of `wire.counters`; what usually happens takes a short way through them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from edge.plausibility.hints import Hint
from edge.plausibility.watch import Watch
from wire import counters
from wire.counters import Former, Held, State, Track
from wire.readings import Flag

if TYPE_CHECKING:
    from edge.plausibility.rules import Rules
    from edge.plausibility.watch import Memory

RANGE = int(Flag.RANGE)
NONE = (math.nan,) * 6


class Counter(Watch):
    """One counter of one device."""

    __slots__ = ("_changed_s", "_last", "_state", "notable")

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._state: State | None = None
        """The whole state; where the short way can be gone it is None, and the three below are all there is."""
        self._last = math.nan
        self._changed_s = 0.0
        self.notable = 0
        """How often something happened that a restart should not make undone."""

    def judge(self, value: float, at_s: float) -> int:
        """Return the flags of the next reading; where it is suspect, `hint` says why."""
        if self._state is None:
            rise = value - self._last  # NaN as long as nothing is known
            if rise == 0.0:
                self.seen_s = at_s
                return 0
            rules = self.rules
            if 0.0 < rise <= rules.counter.per_s * (at_s - self.seen_s) and value <= rules.high:
                self._last, self._changed_s, self.seen_s = value, at_s, at_s
                return 0
        return self._judge(value, at_s)

    def remember(self) -> Memory | None:
        """Return what a restart must not forget; None where there is nothing."""
        state = self._whole()
        if state is None:
            return None
        held, former = state.held, state.former
        return (
            *msgspec.structs.astuple(state.base),
            float(state.is_proven),
            *((held.start, held.start_s, float(held.count), *msgspec.structs.astuple(held.last)) if held else NONE[:6]),
            *((former.start, *msgspec.structs.astuple(former.last)) if former else NONE[:4]),
        )

    def recall(self, memory: Memory, by_s: float, unsure_s: float) -> None:
        """Take what another run remembered, its times moved onto this run's clock."""
        value, changed_s, seen_s, is_proven, start, start_s, count, h1, h2, h3, former, f1, f2, f3 = memory
        held = None if math.isnan(start) else Held(start, start_s, int(count), Track(h1, h2, h3))
        before = None if math.isnan(former) else Former(Track(f1, f2, f3), former)
        state = State(Track(value, changed_s, seen_s), bool(is_proven), held, before)
        self._take(counters.shifted(state, by_s, unsure_s))

    def _judge(self, value: float, at_s: float) -> int:
        rules = self.rules
        hint = rules.why_none(value)
        if hint is not None:
            self.hint = hint
            return RANGE
        after, verdict = counters.judge(self._whole(), rules.counter, value, at_s)
        self._take(after)
        if verdict.event in ("fall", "jump", "segment", "return", "rollover"):
            self.notable += 1
        if verdict.delta is None and verdict.flags:
            self.hint = Hint("fall" if verdict.flags & Flag.RESET else "jump", {"before": self._last})
        return int(verdict.flags)

    def _whole(self) -> State | None:
        if self._state is not None:
            return self._state
        if math.isnan(self._last):
            return None
        return State(Track(self._last, self._changed_s, self.seen_s), is_proven=True)

    def _take(self, state: State | None) -> None:
        if state is None:
            return
        is_plain = state.is_proven and state.held is None and state.former is None
        self._state = None if is_plain else state
        self._last, self._changed_s, self.seen_s = msgspec.structs.astuple(state.base)
