"""The region EU868: channels, data rates, airtime, and how much of the time the law lets one send.

Sources: LoRaWAN Regional Parameters RP002-1.0.4, 2.3; ETSI EN 300 220-2 V3.2.1, annex B; Semtech SX1276 datasheet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from edge.lorawan import airtime

if TYPE_CHECKING:
    from collections.abc import Mapping


class DataRate(NamedTuple):
    """How a frame is modulated: LoRa, or FSK where there is no spreading factor."""

    spreading_factor: int | None
    bandwidth_hz: int
    max_payload_bytes: int
    """FRMPayload and FOpts together, without a repeater."""

    @property
    def name(self) -> str:
        """As the packet forwarder writes it."""
        return f"SF{self.spreading_factor}BW{self.bandwidth_hz // 1000}" if self.spreading_factor else "FSK"


DATA_RATES = (
    DataRate(12, 125_000, 51),
    DataRate(11, 125_000, 51),
    DataRate(10, 125_000, 51),
    DataRate(9, 125_000, 115),
    DataRate(8, 125_000, 222),
    DataRate(7, 125_000, 222),
    DataRate(7, 250_000, 222),
    DataRate(None, 50_000, 222),
)
"""DR0 to DR7."""
FSK_BITS_PER_S = 50_000
FSK_DEVIATION_HZ = 25_000
JOIN_FREQUENCIES_HZ = (868_100_000, 868_300_000, 868_500_000)
"""What every device knows."""
MORE_FREQUENCIES_HZ = (867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000)
"""What a join tells it; a concentrator of eight channels hears these and those."""
RX2_FREQUENCY_HZ = 869_525_000
RX2_DATA_RATE = DATA_RATES[0]
MAX_PAYLOAD_BYTES = 222
FLOOR_DB: Mapping[int, float] = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
"""Spreading factor -> signal to noise at which it is just understood (SX1276 datasheet, table 13)."""

_DATR = re.compile(r"^SF(7|8|9|10|11|12)BW(125|250|500)$")


class Band(NamedTuple):
    """A stretch of the spectrum, the share of each hour that one may send in it, and the most power."""

    low_hz: int
    high_hz: int
    duty_cycle: float
    erp_dbm: float
    """Effective radiated power."""


BANDS = (
    Band(863_000_000, 865_000_000, 0.001, 14),
    Band(865_000_000, 868_000_000, 0.01, 14),
    Band(868_000_000, 868_600_000, 0.01, 14),
    Band(868_700_000, 869_200_000, 0.001, 14),
    Band(869_400_000, 869_650_000, 0.1, 27),
    Band(869_700_000, 870_000_000, 0.01, 14),
)


def band(frequency_hz: int) -> Band | None:
    """Return the band of a frequency; None where one must not send at all."""
    return next((band for band in BANDS if band.low_hz <= frequency_hz < band.high_hz), None)


def data_rate(datr: str | float) -> DataRate | None:
    """Return the data rate of what a packet forwarder says (`SF7BW125`, or the bits per second of FSK)."""
    if not isinstance(datr, str):
        return DATA_RATES[7] if datr == FSK_BITS_PER_S else None
    match = _DATR.match(datr)
    if match is None:
        return None
    wanted = int(match[1]), int(match[2]) * 1000
    return next((rate for rate in DATA_RATES if (rate.spreading_factor, rate.bandwidth_hz) == wanted), None)


def airtime_s(rate: DataRate, phy_bytes: int) -> float:
    """Return how long a PHYPayload of so many octets is on the air, in seconds."""
    if rate.spreading_factor is None:
        overhead = 5 + 3 + 1 + 2  # preamble, sync word, length, CRC
        return (overhead + phy_bytes) * 8 / FSK_BITS_PER_S
    return airtime.airtime_s(phy_bytes, rate.spreading_factor, rate.bandwidth_hz)


def cf_list() -> bytes:
    """Return what a join accept says of the channels beyond the first three."""
    return b"".join((hz // 100).to_bytes(3, "little") for hz in MORE_FREQUENCIES_HZ) + b"\0"
