"""How long a reading keeps an M-Bus busy: arithmetic for the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.mbus.profile import MbusHalf

CHARACTER_BITS = 11
"""Start bit, eight data bits, even parity, stop bit."""
DELAY_BITS, DELAY_S = 330, 0.05
"""How long a meter may think before it answers (EN 13757-2, 5.7.1); half of it is assumed."""
SHORT_BYTES, ACKNOWLEDGEMENT_BYTES, SELECTION_BYTES = 5, 1, 17
BAUD_RATES = (2400, 9600, 19200, 38400)
"""What meters can usually be set to; 300 and 2400 are what all of them have."""


def delay_s(baud_rate: int) -> float:
    """Return how long a meter thinks, half of the longest that it may."""
    return (DELAY_BITS / baud_rate + DELAY_S) / 2


def reading_s(baud_rate: int, half: MbusHalf, *, is_selected: bool) -> float:
    """Estimate how long one reading takes: reset, selection where it is one, and the answers."""
    character_s = CHARACTER_BITS / baud_rate
    exchanges = [SHORT_BYTES + half.telegram_bytes] * half.telegrams
    if half.reset or is_selected:
        exchanges.append(SHORT_BYTES + ACKNOWLEDGEMENT_BYTES)
    if is_selected:
        exchanges.append(SELECTION_BYTES + ACKNOWLEDGEMENT_BYTES)
    return sum(exchanges) * character_s + len(exchanges) * delay_s(baud_rate)
