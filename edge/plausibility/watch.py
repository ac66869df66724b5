"""What the judges of single readings have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeAlias

from edge.plausibility.hints import Hint
from wire.readings import Flag

if TYPE_CHECKING:
    from edge.plausibility.rules import Rules

Memory: TypeAlias = tuple[float, ...]
"""What a restart must not forget, as numbers; only who wrote them can read them."""


class Watch(ABC):
    """Judges one reading of one device. Times are monotonic, in seconds."""

    __slots__ = ("flags", "hint", "logged_s", "rules", "seen_s")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.flags = 0
        """Those of the last reading; kept by whoever calls `judge`."""
        self.hint: Hint | None = None
        """Why the last suspect reading was one."""
        self.logged_s = -math.inf
        self.seen_s = -math.inf
        """When the last reading was made of which something was learned."""

    @abstractmethod
    def judge(self, value: float, at_s: float) -> int:
        """Return the flags of the next reading; where it is suspect, `hint` says why."""

    def remember(self) -> Memory | None:
        """Return what a restart must not forget; None where there is nothing."""
        return None

    def recall(self, memory: Memory, by_s: float, unsure_s: float) -> None:  # noqa: B027 - most have nothing to recall
        """Take what another run remembered, its times moved onto this run's clock.

        `unsure_s`: how much more time may have passed than `by_s` tells.

        Raises: ValueError or TypeError where it is no such thing.
        """


class State(Watch):
    """A state: 0 or 1."""

    __slots__ = ()

    def judge(self, value: float, at_s: float) -> int:  # noqa: ARG002 - a state may stay for ever
        """Return the flags of the next reading."""
        if value in (0.0, 1.0):
            return 0
        self.hint = Hint("range", {"low": 0.0, "high": 1.0})
        return int(Flag.RANGE)
