"""Sentences as words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.listening import Garbled, Said
from edge.nmea import sentences
from edge.plausibility.encoding import shortest
from edge.text_lines import TextLines
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edge.listening import Word
    from edge.nmea.profile import NmeaHalf


class NmeaDecoder:
    """Words of one line. A sentence of which no reading is made is a sign of life."""

    def __init__(self, half: NmeaHalf, parameters: Mapping[str, float]) -> None:
        self._half, self._parameters = half, parameters
        self._lines = TextLines(sentences.LONGEST)

    def feed(self, data: bytes) -> Iterator[Word]:
        """Take bytes; returns the words that are whole now."""
        for line in self._lines.feed(data):
            word = self._word(line)
            if word is not None:
                yield word

    def reset(self) -> None:
        """Forget half a sentence."""
        self._lines.reset()

    def _word(self, line: bytes | None) -> Word | None:
        if line is None:
            return Garbled(f"a line of over {sentences.LONGEST} bytes came")
        try:
            sentence = sentences.read(line)
        except sentences.BadSentenceError as error:
            return Garbled(f"{error} came")
        if sentence is None:
            return None
        if self._half.talker not in (None, sentence.talker):
            return Said(())
        readings, without = [], []
        for name, rule in self._half.values.items():
            if rule.value in sentence.values:
                value = sentence.values[rule.value]
                if value is None:
                    without.append(name)
                else:
                    readings.append(self._reading(name, value * rule.scale, rule.add))
        return Said(tuple(readings), tuple(without))

    def _reading(self, name: str, value: float, add: str | None) -> Reading:
        quantity, _, channel = name.partition("/")
        unit = quantities()[quantity].unit
        value += self._parameters[add] if add is not None else 0.0
        return Reading(quantity, shortest(value % 360.0 if unit == "deg" else value), unit, channel)
