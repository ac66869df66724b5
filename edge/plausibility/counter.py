"""Watches one counter, by the rules of `wire.counters`; what usually happens takes a short way through them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge.plausibility.hints import Hint
from edge.plausibility.watch import Watch
from wire import counters
from wire.counters import Held, State, Track
from wire.readings import Flag

if TYPE_CHECKING:
    from edge.plausibility.rules import Rules
    from edge.plausibility.watch import Memory

RANGE = int(Flag.RANGE)


class Counter(Watch):
    """One counter of one device."""

    __slots__ = ("_changed_s", "_held", "_is_proven", "_last", "_seen_s", "notable")

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._last = math.nan
        self._changed_s = self._seen_s = 0.0
        self._is_proven = False
        self._held: Held | None = None
        self.notable = 0
        """How often something happened that a restart should not make undone."""

    def judge(self, value: float, at_s: float) -> int:
        """Return the flags of the next reading; where it is suspect, `hint` says why."""
        if self._held is None and self._is_proven:
            rise = value - self._last
            if rise == 0.0:
                self._seen_s = at_s
                return 0
            rules = self.rules
            if 0.0 < rise <= rules.counter.per_s * (at_s - self._seen_s) and value <= rules.high:
                self._last, self._changed_s, self._seen_s = value, at_s, at_s
                return 0
        return self._judge(value, at_s)

    def remember(self) -> Memory | None:
        """Return what a restart must not forget; None where there is nothing."""
        if math.isnan(self._last):
            return None
        plain = (self._last, self._changed_s, self._seen_s, float(self._is_proven))
        if self._held is None:
            return plain
        held, last = self._held, self._held.last
        return (*plain, held.start, held.start_s, float(held.count), last.value, last.changed_s, last.seen_s)

    def recall(self, memory: Memory, by_s: float, unsure_s: float) -> None:
        """Take what another run remembered, its times moved onto this run's clock."""
        value, changed_s, seen_s, is_proven, *more = memory
        held = None
        if more:
            start, start_s, count, *last = more
            held = Held(start, start_s, int(count), Track(*last))
        state = State(Track(value, changed_s, seen_s), bool(is_proven), held)
        self._take(counters.shifted(state, by_s, unsure_s))

    def _judge(self, value: float, at_s: float) -> int:
        rules = self.rules
        hint = rules.why_none(value)
        if hint is not None:
            self.hint = hint
            return RANGE
        before = self._state()
        after, verdict = counters.judge(before, rules.counter, value, at_s)
        self._take(after)
        if before is not None and (after.held is None) != (before.held is None):
            self.notable += 1
        if verdict.delta is None and verdict.flags:
            self.hint = Hint("fall" if verdict.flags & Flag.RESET else "jump", {"before": self._last})
        return int(verdict.flags)

    def _state(self) -> State | None:
        if math.isnan(self._last):
            return None
        return State(Track(self._last, self._changed_s, self._seen_s), self._is_proven, self._held)

    def _take(self, state: State) -> None:
        base = state.base
        self._last, self._changed_s, self._seen_s = base.value, base.changed_s, base.seen_s
        self._is_proven, self._held = state.is_proven, state.held
