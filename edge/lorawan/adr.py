"""Adaptive data rate: a device that is heard well is told to send faster, and so shorter; never to send slower.

The rule is the usual one of network servers, as The Things Network documents it ("Adaptive Data Rate"): of the last
twenty frames the best signal to noise, less what the data rate needs, less a margin for worse days, in steps of 3 dB.
The power stays at the most that the region allows. A device that is heard no more by it goes back to slower data rates
by itself (specification, 4.3.1.1).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from edge.lorawan import eu868, mac

if TYPE_CHECKING:
    from edge.lorawan.eu868 import DataRate

FRAMES = 20
MARGIN_DB = 10.0
STEP_DB = 3.0
FASTEST = 5
"""DR5, SF7 at 125 kHz: every device and concentrator has it."""
ALL_DONE = 0x07
"""Power, data rate and channel mask, each accepted."""


class Adr:
    """What is known of one session's signal, and what its device is told."""

    def __init__(self, channels: int) -> None:
        """`channels`: how many the device knows, the first ones of the region."""
        self._snr_db: deque[float] = deque(maxlen=FRAMES)
        self._channel_mask = (1 << channels) - 1
        self._is_refused = False

    def heard(self, snr_db: float | None, *, is_wanted: bool) -> None:
        """Take a frame; `is_wanted`: whether the device lets the network choose (its ADR bit)."""
        if not is_wanted:
            self._snr_db.clear()
        elif snr_db is not None:
            self._snr_db.append(snr_db)

    def answered(self, status: int) -> None:
        """Take the device's word on what it was told; one that refuses is not asked again in this session."""
        self._is_refused = self._is_refused or status & ALL_DONE != ALL_DONE

    def request(self, rate: DataRate) -> mac.Command | None:
        """Return what to tell a device that sends at this rate; None where it is to stay as it is."""
        floor_db = eu868.FLOOR_DB.get(rate.spreading_factor or 0)
        if self._is_refused or len(self._snr_db) < FRAMES or floor_db is None or rate not in eu868.DATA_RATES:
            return None
        now = eu868.DATA_RATES.index(rate)
        steps = int((max(self._snr_db) - floor_db - MARGIN_DB) // STEP_DB)
        faster = min(FASTEST, now + steps)
        if faster <= now:
            return None
        self._snr_db.clear()  # what was heard at the former rate tells little of the next
        return mac.link_adr_request(faster, self._channel_mask)
