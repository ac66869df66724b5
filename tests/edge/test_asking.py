"""A device that wants to be asked, on a bus that listens: both go on as long as the line does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from far_end import far_end, until

from base.errors import TransientError
from edge.interface import ParkedError
from edge.listening import ListeningBus, ListeningPlan, ListeningTarget, Said
from edge.stream import LineSettings, SerialPort
from edge.thinning import Rule, Thinner
from wire.readings import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.listening import Word
    from edge.stream import Stream


class Asker:
    """Asks once, and takes every byte of the answer for a word."""

    def __init__(self, refusals: int = 0) -> None:
        self.opened = self.ended = 0
        self._refusals = refusals

    def feed(self, data: bytes) -> Iterator[Word]:
        """One word a byte."""
        for byte in data:
            yield Said((Reading("temp_air", float(byte), "Cel"),))

    def reset(self) -> None:
        """Another line."""
        self.opened += 1

    async def ask(self, line: Stream) -> None:
        """Ask, unless the line does not take it."""
        if self.opened <= self._refusals:
            raise TransientError("the line takes nothing")
        try:
            await line.write(b"?")
            await asyncio.Event().wait()
        finally:
            self.ended += 1


def _bus(asker: Asker, port: str) -> ListeningBus:
    target = ListeningTarget("d", 60, ())
    make = (asker, Thinner([Rule("temp_air", "temp_air", "mean")]))
    return ListeningPlan("b", SerialPort(port, LineSettings()), target, lambda: make).open()


def test_what_is_asked_is_heard() -> None:
    """At the same time; and asking ends with the bus."""

    async def play() -> None:
        asker = Asker()
        with far_end() as end:
            end.behave = lambda data: b"\x14\x16" if data == b"?" else b""
            bus = _bus(asker, end.port)
            await _started(bus)
            await until(lambda: bus.traffic("d").requests == 2)
            assert [reading.value for reading in (await bus.read("d")).readings] == [21]
            await bus.close()
        assert (asker.opened, asker.ended) == (1, 1)

    asyncio.run(play())


def test_a_line_that_takes_no_question_is_opened_anew() -> None:
    """Though it may still be heard: a device that is not asked says nothing."""

    async def play() -> None:
        asker = Asker(refusals=1)
        with far_end() as end:
            end.behave = lambda data: b"\x14" if data == b"?" else b""
            bus = _bus(asker, end.port)
            await _started(bus)
            await until(lambda: bus.traffic("d").requests == 1)
            assert asker.opened == 2
            await bus.close()

    asyncio.run(play())


async def _started(bus: ListeningBus) -> None:
    try:
        await bus.read("d")
    except ParkedError:
        return
    raise AssertionError("it has not spoken yet")
