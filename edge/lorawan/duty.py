"""How much a concentrator has sent in the last hour, band by band: what the law allows is never exceeded."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from edge.lorawan import eu868

if TYPE_CHECKING:
    from edge.lorawan.eu868 import Band

HOUR_S = 3600.0


class Duty:
    """The account of one concentrator. Times are monotonic, in seconds. It begins anew with each start."""

    def __init__(self) -> None:
        self._sent: dict[Band, deque[tuple[float, float]]] = {}

    def allows(self, frequency_hz: int, airtime_s: float, now_s: float) -> bool:
        """Whether a frame of that airtime may be sent."""
        band = eu868.band(frequency_hz)
        return band is not None and self.used_s(band, now_s) + airtime_s <= band.duty_cycle * HOUR_S

    def used_s(self, band: Band, now_s: float) -> float:
        """Return the seconds on the air within the last hour."""
        sent = self._sent.setdefault(band, deque())
        while sent and sent[0][0] <= now_s - HOUR_S:
            sent.popleft()
        return sum(airtime_s for _, airtime_s in sent)

    def book(self, frequency_hz: int, airtime_s: float, at_s: float) -> None:
        """Count a frame as sent."""
        band = eu868.band(frequency_hz)
        if band is not None:
            self._sent.setdefault(band, deque()).append((at_s, airtime_s))

    def take_back(self, frequency_hz: int, airtime_s: float, at_s: float) -> None:
        """Count a frame that was booked, and not sent, as what it is."""
        band = eu868.band(frequency_hz)
        if band is not None and (at_s, airtime_s) in self._sent.get(band, ()):
            self._sent[band].remove((at_s, airtime_s))
