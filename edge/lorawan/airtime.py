"""How long a LoRa frame is on the air (Semtech SX1276 datasheet, section 4.1.1.7; AN1200.13). Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.lorawan.uplink import Uplink

OVERHEAD = 13
"""Octets of a data frame around its FRMPayload: MHDR, DevAddr, FCtrl, FCnt, FPort, MIC."""
PREAMBLE_SYMBOLS = 8
SPREADING_FACTORS = range(5, 13)
BANDWIDTHS_HZ = range(7_800, 1_625_001)
"""Of any LoRa modem; what a message says beyond them is a mistake of its network."""
LOW_RATE_S = 0.016
"""Symbols that last longer are sent with the low data rate optimisation."""


def airtime_s(size: int, spreading_factor: int, bandwidth_hz: int = 125_000, coding_rate: str = "4/5") -> float:
    """Return the seconds that a PHYPayload of so many octets takes, with explicit header and CRC, as LoRaWAN sends.

    `coding_rate`: 4/5 to 4/8; another text counts as 4/5.
    """
    symbol_s = 2.0**spreading_factor / bandwidth_hz
    low_rate = 1 if symbol_s > LOW_RATE_S else 0
    redundancy = {"4/5": 1, "4/6": 2, "4/7": 3, "4/8": 4}.get(coding_rate, 1)
    bits = 8 * size - 4 * spreading_factor + 28 + 16
    blocks = max(0, math.ceil(bits / (4 * (spreading_factor - 2 * low_rate))))
    return symbol_s * (PREAMBLE_SYMBOLS + 4.25 + 8 + blocks * (redundancy + 4))


def airtime_of(uplink: Uplink) -> float | None:
    """Return the seconds that a message was on the air: as the network says, or as worked out.

    None where it is no LoRa, or none that can be.
    Options that the device sent along (FOpts) are counted where the network tells the frame's size, else not.
    """
    if uplink.consumed_airtime_s is not None:
        return uplink.consumed_airtime_s
    radio = uplink.radio
    factor, bandwidth_hz = radio.spreading_factor, radio.bandwidth_hz or 125_000
    if factor is None or factor not in SPREADING_FACTORS or bandwidth_hz not in BANDWIDTHS_HZ:
        return None
    size = uplink.size if uplink.size is not None else len(uplink.payload) + OVERHEAD
    return airtime_s(size, factor, bandwidth_hz, radio.coding_rate or "4/5")
