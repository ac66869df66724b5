"""What comes from a particulate sensor, as words; and what is put on its line, so that it speaks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.listening import Garbled, Said
from edge.pms.frames import Frame, Framer
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from edge.listening import Word
    from edge.pms.sensors import Sensor
    from edge.stream import Stream

ASK_S = 5.0
"""Between two questions; an SPS30 measures every second, an MH-Z19B every two."""
SETTLE_S = 0.2
"""Between two commands: sensors lose one that follows at once."""
WAKE_S = 30.0
"""A sensor that says nothing of worth for so long is woken once more: it may have lost its power."""


@dataclass(frozen=True)
class Working:
    """How a sensor works."""

    is_asked: bool
    """Otherwise it speaks by itself."""
    warm_up_s: float
    measures_s: float | None = None
    """It sleeps, and once in `period_s` it measures for so long; None: always."""
    period_s: float = 0.0


class PmsDecoder:
    """Words of one sensor, and its rhythm.

    What it says while it warms up is a word without readings: it is there, and not to be believed.
    """

    def __init__(
        self,
        sensor: Sensor,
        values: Mapping[str, str],
        working: Working,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        """`values`: the field of each reading. `clock`, `sleep`: for tests."""
        self._sensor, self._values, self._working = sensor, values, working
        self._clock = clock
        self._sleep = sleep or asyncio.sleep
        self._framer = Framer(*sensor.families)
        self._warm_at_s = float("inf")
        self._last_value_s = 0.0

    def feed(self, data: bytes) -> Iterator[Word]:
        """Take bytes; returns the words that are whole now."""
        for cut in self._framer.feed(data):
            yield self._word(cut) if isinstance(cut, Frame) else Garbled(f"{cut.why} came")

    def reset(self) -> None:
        """Forget half a frame: the line was opened anew, and the sensor perhaps with it."""
        self._framer.reset()
        self._warm_at_s = self._clock() + self._working.warm_up_s

    async def ask(self, line: Stream) -> None:
        """Put on the line what makes the sensor speak, for as long as the line is open."""
        if self._working.measures_s is None:
            await self._start(line)
            await self._measure(line, None)
        while True:
            began_s = self._clock()
            await self._start(line)
            self._warm_at_s = self._clock() + self._working.warm_up_s
            await self._measure(line, self._warm_at_s + (self._working.measures_s or 0.0))
            self._warm_at_s = float("inf")
            await self._say(line, self._sensor.commands.sleep)
            await self._sleep(max(0.0, began_s + self._working.period_s - self._clock()))

    async def _start(self, line: Stream) -> None:
        commands = self._sensor.commands
        await self._say(line, commands.wake)
        await self._say(line, commands.passive if self._working.is_asked else commands.active)
        self._last_value_s = self._clock()

    async def _measure(self, line: Stream, until_s: float | None) -> None:
        """Let it measure, and ask it where it wants to be asked; for ever where no end is given."""
        while until_s is None or self._clock() < until_s:
            if self._clock() - max(self._last_value_s, self._warm_at_s) > WAKE_S:
                await self._start(line)
            if self._working.is_asked:
                self._framer.reset()  # half an answer to the question before
                await line.write(self._sensor.commands.ask)
            left_s = ASK_S if until_s is None else until_s - self._clock()
            await self._sleep(max(0.0, min(ASK_S, left_s)))

    async def _say(self, line: Stream, command: bytes) -> None:
        if command:
            await line.write(command)
            await self._sleep(SETTLE_S)

    def _word(self, frame: Frame) -> Word:
        try:
            values = self._sensor.read(frame)
        except KeyError:  # the answer to a command
            return Said(())
        except ValueError as error:
            return Garbled(f"a frame with {error} came")
        if self._clock() < self._warm_at_s:
            return Said(())
        self._last_value_s = self._clock()
        if values is None:
            return Said((), tuple(self._values))
        return Said(tuple(_reading(name, values[of]) for name, of in self._values.items() if of in values))


def _reading(name: str, value: float) -> Reading:
    quantity, _, channel = name.partition("/")
    return Reading(quantity, value, quantities()[quantity].unit, channel)
