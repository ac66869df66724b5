"""Sending a downlink in time.

It goes out in the first receive window after an uplink (RX1: the same channel and data rate), or in the second one
(RX2) where the first is too near, its band has no airtime left, or the concentrator refuses.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from base.retry import Backoff
from edge.lorawan import eu868, phy
from edge.lorawan.gwmp import Transmission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.lorawan.concentrators import Concentrators
    from edge.lorawan.gwmp import Reception

logger = logging.getLogger(__name__)

RX1_S, JOIN_RX1_S = 1.0, 5.0
"""From the end of an uplink to the first receive window; the second one opens 1 s later."""
RX2_AFTER_S = 1.0
LEAD_S = 0.1
"""What a packet forwarder needs before the moment of sending."""
DIPOLE_DBI = 2.15
"""The gain of a dipole, to which effective radiated power refers."""
REFUSALS = frozenset(
    {"TOO_LATE", "TOO_EARLY", "COLLISION_PACKET", "COLLISION_BEACON", "TX_FREQ", "TX_POWER", "GPS_UNLOCKED"}
    | {"BAND", "TOO_LONG", "DUTY_CYCLE"}
)
"""Why a downlink was not sent: what packet forwarders say, and what we find ourselves."""


class _Window(NamedTuple):
    """A chance to send."""

    delay_s: float
    frequency_hz: int
    rate: eu868.DataRate


class Transmitter:
    """Chooses concentrator and window. Times are monotonic, in seconds."""

    def __init__(self, name: str, concentrators: Concentrators, antenna_gain_dbi: float) -> None:
        self._concentrators = concentrators
        self._gain_db = antenna_gain_dbi - DIPOLE_DBI
        self._refused = Backoff(f"bus {name}: a downlink could not be sent", logger)

    async def send(self, frame: bytes, receptions: Sequence[Reception], rx1_s: float) -> bool:
        """Have the concentrator that heard the device best send, in the first window that can be met."""
        counts = self._concentrators.counts
        best = next((each for each in receptions if self._concentrators.can_send(each.gateway)), None)
        if best is None:
            counts["downlinks_no_concentrator"] += 1
            return False
        first = _Window(rx1_s, best.frequency_hz, best.rate)
        second = _Window(rx1_s + RX2_AFTER_S, eu868.RX2_FREQUENCY_HZ, eu868.RX2_DATA_RATE)
        why = ""
        for window in (first, second):
            refused = await self._send_in(window, frame, best)
            if refused is None:
                counts["downlinks"] += 1
                return True
            why = refused
            counts[f"downlinks_{refused.lower() if refused in REFUSALS else 'refused'}"] += 1
        self._refused.failed(why)
        return False

    async def _send_in(self, window: _Window, frame: bytes, best: Reception) -> str | None:
        """Send in a window; returns why not, or None."""
        now_s = time.monotonic()
        band = eu868.band(window.frequency_hz)
        if band is None:
            return "BAND"
        if now_s > best.at_s + window.delay_s - LEAD_S:
            return "TOO_LATE"
        if len(frame) > window.rate.max_payload_bytes + phy.LEAST_DATA_BYTES + 1:
            return "TOO_LONG"
        airtime_s = eu868.airtime_s(window.rate, len(frame))
        duty = self._concentrators.duty(best.gateway)
        if not duty.allows(window.frequency_hz, airtime_s, now_s):
            return "DUTY_CYCLE"
        transmission = Transmission(
            frame,
            best.tmst + round(window.delay_s * 1_000_000),
            window.frequency_hz,
            window.rate,
            power_dbm=int(band.erp_dbm - self._gain_db),
        )
        duty.book(window.frequency_hz, airtime_s, now_s)
        refused = await self._concentrators.send(best.gateway, transmission)
        if refused is not None:
            duty.take_back(window.frequency_hz, airtime_s, now_s)
        return refused
