"""Lines of text as words."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from edge.line.pattern import number
from edge.listening import Garbled, Said
from edge.plausibility.encoding import shortest
from edge.text_lines import TextLines
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edge.line.profile import LineHalf, Value
    from edge.listening import Word
    from edge.stream import Stream

LONGEST = 512
SHOWN = 40
"""Characters of a line that fits nothing, in the log: for whoever writes its pattern."""


class LineDecoder:
    """Words of one line. The first one after it was opened is left out: it may have begun before."""

    def __init__(self, half: LineHalf, parameters: Mapping[str, float]) -> None:
        self._half, self._parameters = half, parameters
        self._patterns, self._ignored = half.patterns(), half.ignored()
        self._also = {name: value.of for name, value in half.values.items() if value.of is not None}
        self._lines = TextLines(LONGEST)
        self._is_first = False

    def feed(self, data: bytes) -> Iterator[Word]:
        """Take bytes; returns the words that are whole now."""
        for line in self._lines.feed(data):
            is_first, self._is_first = self._is_first, False
            if line is None:
                yield Garbled(f"a line of over {LONGEST} bytes came")
            elif line and not is_first:
                yield self._word(line.decode("latin-1"))

    def reset(self) -> None:
        """Forget half a line."""
        self._lines.reset()
        self._is_first = True

    async def ask(self, line: Stream) -> None:
        """Ask, where the sensor wants to be asked. What it answers is whole."""
        question = self._half.asks.encode("latin-1", "replace")
        while question:
            self._lines.reset()
            self._is_first = False
            line.discard()
            await line.write(question)
            await asyncio.sleep(self._half.ask_s)

    def _word(self, line: str) -> Word:
        for pattern in self._patterns:
            found = pattern.match(line)
            if found is not None:
                return self._said(found)
        if any(pattern.match(line) is not None for pattern in self._ignored):
            return Said(())
        return Garbled(f"{line[:SHOWN]!r} came, which fits no pattern")

    def _said(self, found: dict[str, str]) -> Word:
        readings, without = [], []
        texts = found | {name: found[of] for name, of in self._also.items() if of in found}
        for name, text in texts.items():
            value = self._value(self._half.values.get(name), text)
            if value is None:
                without.append(name)
            else:
                quantity, _, channel = name.partition("/")
                readings.append(Reading(quantity, value, quantities()[quantity].unit, channel))
        return Said(tuple(readings), tuple(without))

    def _value(self, rule: Value | None, text: str) -> float | None:
        """Return what a text means; None where it means that there is no value."""
        raw = number(text, self._half.decimal_mark)
        if rule is None:
            return None if raw is None or not math.isfinite(raw) else shortest(raw)
        if text in rule.no_value:
            return None
        if rule.states:
            return rule.states.get(text)
        if raw is None or any(raw == number(each, self._half.decimal_mark) for each in rule.no_value):
            return None
        factor = self._of(rule.multiply_by, 1.0) / self._of(rule.divide_by, 1.0)
        value = raw * rule.scale * factor + rule.offset + self._of(rule.add, 0.0)
        return shortest(value) if math.isfinite(value) else None

    def _of(self, parameter: str | None, otherwise: float) -> float:
        return self._parameters[parameter] if parameter is not None else otherwise
