"""Watches one gauge or delta: its range, its steps, and whether it still moves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge.plausibility.hints import Hint
from edge.plausibility.rules import POWER_ON, TINY
from edge.plausibility.watch import Watch
from wire.readings import Flag

if TYPE_CHECKING:
    from edge.plausibility.rules import Rules
    from edge.plausibility.watch import Memory

CONFIRM_READINGS = 3
CONFIRM_S = 60.0
"""So many readings in a row that fit each other, over so long, make a new level."""
STEP_S = 60.0
"""What may change in a minute may change at once, too."""
GAP_S = 600.0
"""Not read for so long, and for three intervals: what a value did meanwhile nobody knows, so it was not stuck."""
RANGE, STEP, STUCK = int(Flag.RANGE), int(Flag.STEP), int(Flag.STUCK)


class Gauge(Watch):
    """One gauge or delta of one device."""

    __slots__ = (
        "_changed_s",
        "_gap_s",
        "_good",
        "_good_s",
        "_level",
        "_level_count",
        "_level_s",
        "_value",
    )

    def __init__(self, rules: Rules, interval_s: float) -> None:
        super().__init__(rules)
        self._gap_s = max(GAP_S, 3 * interval_s)
        self._value = math.nan
        self._changed_s = 0.0
        self._good = math.nan
        """The last value that did not come by an impossible step, and when it was so last."""
        self._good_s = 0.0
        self._level = math.nan
        """What came by such a step, the last of a run; since when, and how many."""
        self._level_s = 0.0
        self._level_count = 0

    def judge(self, value: float, at_s: float) -> int:
        """Return the flags of the next reading; where there are any, `hint` says why."""
        if value == self._value:
            return self._still(value, at_s)
        rules = self.rules
        if not rules.low <= value <= rules.high or -TINY < value < TINY or value in rules.traps:
            hint = rules.why_none(value)
            if hint is not None:
                self.hint = hint
                return RANGE
        self._value, self._changed_s, self.seen_s = value, at_s, at_s
        passed_s = at_s - self._good_s
        most = rules.step_per_s * (passed_s if passed_s > STEP_S else STEP_S)  # noqa: FURB136 - a third of the price
        if not -most <= value - self._good <= most and not math.isnan(self._good):
            return self._stepped(value, at_s)
        self._good, self._good_s = value, at_s
        self._level_count = 0
        return 0

    def remember(self) -> Memory | None:
        """Return what a restart must not forget; None where there is nothing."""
        if math.isnan(self._value):
            return None
        return (
            *(self._value, self._changed_s, self.seen_s, self._good, self._good_s),
            *(self._level if self._level_count else 0.0, self._level_s, float(self._level_count)),
        )

    def recall(self, memory: Memory, by_s: float, unsure_s: float) -> None:
        """Take what another run remembered, its times moved onto this run's clock."""
        value, changed_s, seen_s, good, good_s, level, level_s, count = memory
        self._value, self._changed_s, self.seen_s = value, changed_s + by_s, seen_s + by_s
        self._good, self._good_s = good, good_s + by_s - unsure_s
        self._level, self._level_s, self._level_count = level, level_s + by_s, int(count)

    def _still(self, value: float, at_s: float) -> int:
        """Judge a value that is what it was."""
        if at_s - self.seen_s > self._gap_s:
            self._changed_s = at_s
        self.seen_s = at_s
        if self._level_count:
            return self._stepped(value, at_s)
        self._good_s = at_s
        if at_s - self._changed_s < self.rules.stuck_s or value in self.rules.rest:
            return 0
        self.hint = Hint("stuck", {"hours": (at_s - self._changed_s) / 3600})
        return STUCK

    def _stepped(self, value: float, at_s: float) -> int:
        """Judge a value that came by an impossible step: a level that lasts is accepted."""
        rules, before = self.rules, self._good
        most = rules.step_per_s * max(STEP_S, at_s - self._good_s)
        if -most <= value - before <= most:  # by now it can be
            self._good, self._good_s, self._level_count = value, at_s, 0
            return 0
        fits = self._level_count > 0 and abs(value - self._level) <= rules.step_per_s * STEP_S
        if fits:
            self._level_count += 1
        else:
            self._level_s, self._level_count = at_s, 1
        self._level = value
        if self._level_count >= CONFIRM_READINGS and at_s - self._level_s >= CONFIRM_S:
            self._good, self._good_s, self._level_count = value, at_s, 0
            return 0
        self.hint = Hint("step", {"before": before})
        if value == POWER_ON and rules.quantity.unit == "Cel":
            self.hint = Hint("power_on")
            return RANGE | STEP
        return STEP
