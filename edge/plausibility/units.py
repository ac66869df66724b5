"""The unit check: what a meter counts, beside what flows by its own word. It finds Wh taken for kWh, and ratios.

It flags nothing, since nobody knows which of the two is wrong; it says so, to whoever asks the agent for its status.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from edge.plausibility.hints import Hint
from wire.counters import rounding

if TYPE_CHECKING:
    from collections.abc import Collection

    from wire.counters import Rules as CounterRules

WINDOW_S = 3600.0
LONGEST_S = 86400.0
GAP_S = 300.0
"""Between two samples; what flows in a longer one nobody knows."""
STEPS = 20
"""Of the counter's resolution in one window, at least: a twentieth is what rounding may spoil."""
TOLERANCE = 1.1
"""As large as a factor may be off: samples are not a mean."""
IN_A_ROW = 2
"""Windows that must find the same."""
POWERS = (10.0, 100.0, 1000.0)
LEAST_FACTOR = 5.0
"""A smaller parameter cannot be told from a load that changes."""


class Kind(NamedTuple):
    """What flows, what counts it, in which direction, and how much of the flow's unit makes one of the count's."""

    flow: str
    meter: str
    sign: int
    per: float


KINDS = (
    Kind("active_power", "active_energy_import", 1, 3.6e6),
    Kind("active_power", "active_energy_export", -1, 3.6e6),
    Kind("heat_power", "heat_energy", 1, 3.6e6),
    Kind("flow_rate", "heat_volume", 1, 1.0),
    Kind("flow_rate", "water_volume", 1, 1.0),
    Kind("compressed_air_flow", "compressed_air_volume", 1, 1.0),
)


class Pair:
    """One flow and its counter on one device. Times are monotonic, in seconds."""

    def __init__(self, kind: Kind, channel: str, rules: CounterRules, parameters: Collection[float]) -> None:
        self.kind = kind
        self.channel = channel
        self.hint: Hint | None = None
        """What is wrong, as soon as enough windows in a row found the same."""
        self._rules = rules
        ratios = {abs(value) for value in parameters} | set(POWERS)
        self._factors = sorted({f for r in ratios if r >= LEAST_FACTOR for f in (r, 1 / r)}, key=lambda f: abs(f - 1))
        self._found = 1.0
        self._times = 0
        self._begin_s = -math.inf
        self._begin = self._flowed = self._last = 0.0
        self._last_s = -math.inf

    def add(self, flow: float, count: float, at_s: float) -> None:
        """Take what both say at one time."""
        passed_s = at_s - self._last_s
        if not 0 < passed_s <= GAP_S or flow * self._last < 0 or count < self._begin:
            return self._restart(flow, count, at_s)
        self._flowed += (flow + self._last) / 2 * passed_s
        self._last, self._last_s = flow, at_s
        if at_s - self._begin_s < WINDOW_S:
            return None
        rise = count - self._begin
        if rise >= STEPS * rounding(self._rules, count) and self._flowed:
            self._conclude(rise / (self.kind.sign * self._flowed / self.kind.per))
        elif at_s - self._begin_s < LONGEST_S:
            return None
        return self._restart(flow, count, at_s)

    def _restart(self, flow: float, count: float, at_s: float) -> None:
        self._begin_s = self._last_s = at_s
        self._begin, self._last, self._flowed = count, flow, 0.0

    def _conclude(self, ratio: float) -> None:
        """Take what one window found: the factor by which the counter counts more than flowed."""
        found = next((f for f in (1.0, -1.0, *self._factors) if 1 / TOLERANCE <= ratio / f <= TOLERANCE), None)
        self._times = self._times + 1 if found == self._found else 1
        self._found = found or 0.0
        if found == 1.0:
            self.hint = None
        elif found is not None and self._times >= IN_A_ROW:
            places: dict[str, float | str] = {"energy": self.kind.meter, "power": self.kind.flow}
            self.hint = Hint("sign", places) if found == -1.0 else Hint("factor", {**places, "factor": found})
