"""What the drivers of electricity meters have in common that speak by themselves: SML, D0 push, P1.

A telegram becomes the word of its device; a meter that was exchanged is noticed by its number.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.listening import Garbled, Said

if TYPE_CHECKING:
    from edge.listening import Word
    from edge.obis import Map, Meter, Values

logger = logging.getLogger(__name__)


class Identity:
    """Which meter speaks: another number than before is said in the log."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._number = ""

    def note(self, number: str) -> None:
        """Take the number of a good telegram; empty where it has none."""
        if not number or number == self._number:
            return
        if self._number:
            logger.warning(
                "device %s: the meter's number is %s now, and was %s: exchanged? Write the exchange down",
                self._device,
                number,
                self._number,
            )
        else:
            logger.info("device %s: the meter's number is %s", self._device, number)
        self._number = number


def word_of(mapping: Map, values: Values, meter: Meter) -> Word:
    """Make a word of a good telegram's values."""
    mapped = mapping.readings(values, meter)
    if mapped.readings:
        return Said(mapped.readings)
    why = mapped.why or "it has none of the profile's values: is it another model's?"
    return Garbled(f"a telegram that is whole, but {why}")
