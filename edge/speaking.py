"""What all buses have in common whose devices speak by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.plausibility.encoding import Encoding

PATIENCE = 2.5
"""Intervals without a word, after which a device counts as silent."""
LEAST_PATIENCE_S = 10.0


def patience_s(interval_s: float) -> float:
    """Return for how long a device may say nothing that is expected to say something in each interval."""
    return max(LEAST_PATIENCE_S, PATIENCE * interval_s)


@dataclass(frozen=True)
class SpeakingTarget:
    """A device of such a bus."""

    id: str
    interval_s: float
    meaning: tuple[object, ...]
    """What its words mean: profile, parameters, address. Another meaning is another device."""
    encodings: Mapping[str, Encoding] = field(default_factory=dict, compare=False, repr=False)
    """How its values are written down, by the names of the readings."""

    @property
    def patience_s(self) -> float:
        """For how long it may say nothing."""
        return patience_s(self.interval_s)


class SpeakingPlan:
    """A checked bus of such devices."""

    listens = True

    def cost_s(self, device: str) -> float:
        """Nothing: nobody waits for anybody."""
        del device
        return 0.0

    def faster(self, share: float) -> str:
        """Nothing would be faster."""
        del share
        return ""


class SpeakingBus:
    """An open bus of such devices."""

    def parked_s(self, device: str) -> float | None:
        """None: nobody is asked."""
        del device
        return None
