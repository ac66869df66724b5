"""Both halves of a radar on a bus that listens: lines become passages, an interval becomes a sample."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge.listening import Garbled, Said
from edge.radar.reports import UnreadableError
from edge.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.interface import Measured
    from edge.listening import Word
    from edge.radar.counting import TrafficCounter
    from edge.radar.reports import ReportReader
    from edge.stream import Stream
    from wire.readings import Reading

LONGEST = 512
"""Bytes in a line; a report of a whole passage has about 300."""


class RadarDecoder:
    """Lines of a radar. Every one that can be read is a sign of life; what moves goes to the counter."""

    def __init__(self, reader: ReportReader, counter: TrafficCounter, question: bytes, ask_s: float) -> None:
        """`question`: what a radar always answers, asked every `ask_s`; empty where there is none."""
        self._reader, self._counter = reader, counter
        self._question, self._ask_s = question, ask_s
        self._lines = TextLines(LONGEST)

    def feed(self, data: bytes) -> Iterator[Word]:
        """Take bytes; returns a word for each line."""
        for line in self._lines.feed(data):
            yield self._word(line)

    def reset(self) -> None:
        """Forget half a line."""
        self._lines.reset()

    async def ask(self, line: Stream) -> None:
        """Ask for a sign of life, again and again: on a road without cars a radar has nothing to say."""
        self._counter.opened()
        try:
            while self._question:
                await line.write(self._question)
                await asyncio.sleep(self._ask_s)
            await asyncio.Event().wait()
        finally:
            self._counter.closed()

    def _word(self, line: bytes | None) -> Word:
        if line is None:
            self._counter.garbled()
            return Garbled(f"a line of over {LONGEST} bytes came")
        try:
            report = self._reader.read(line)
        except UnreadableError as error:
            self._counter.garbled()
            return Garbled(f"{error} came")
        self._counter.alive()
        if report is not None:
            self._counter.saw(report)
        return Said(())


class RadarGatherer:
    """Makes one sample of an interval: the counter knows what passed."""

    def __init__(self, counter: TrafficCounter) -> None:
        self._counter = counter

    def add(self, readings: tuple[Reading, ...], at_s: float, without_value: tuple[str, ...] = ()) -> None:
        """Nothing: the counter has heard it already."""

    def take(self) -> Measured | None:
        """Return the interval's sample."""
        return self._counter.take()
