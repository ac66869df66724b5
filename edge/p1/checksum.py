"""The checksum of P1 since DSMR 4: CRC-16/ARC, from `/` to `!`, as four digits behind that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge import crc16

if TYPE_CHECKING:
    from edge.d0.framing import Telegram

_DIGITS = re.compile(r"^[0-9A-Fa-f]{4}$")


def is_right(telegram: Telegram) -> bool:
    """Whether a telegram came as it was sent."""
    return bool(_DIGITS.match(telegram.tail)) and int(telegram.tail, 16) == crc16.arc(telegram.raw)
