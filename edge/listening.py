"""Buses on which one device speaks by itself: an optical head, a radar counter, a receiver of positions.

A driver brings what is its own: a decoder of bytes into words, and where its line is. The rest is here: the port is
opened, opened again when it was pulled out or has fallen silent, and of each interval one sample is made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

from base.errors import TransientError
from base.retry import Backoff
from edge import stream
from edge.interface import NoAnswerError, ParkedError, Traffic
from edge.kept_line import KeptLine
from edge.speaking import SpeakingBus, SpeakingPlan, SpeakingTarget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from edge.interface import BusPlan, Measured, Place
    from edge.planning import Planned
    from edge.stream import LineAddress, Stream
    from wire.profile import Profile
    from wire.readings import Reading

logger = logging.getLogger(__name__)

REOPEN_S = 60.0
"""A line that says nothing for so long, and for as long as its device may be silent, is opened anew: adapters hang."""

CLEAN_S = 60.0
"""For so long nothing may be garbled before the log says that all is well: a disturbed line has good words between."""


class Said(NamedTuple):
    """One good word of the device."""

    readings: tuple[Reading, ...]
    without_value: tuple[str, ...] = ()
    """Names of the readings for which the device says that it has no value."""


class Garbled(NamedTuple):
    """What began as a word and was none: counted as an error of the line."""

    why: str
    """For the log, as the end of a sentence."""


Word: TypeAlias = Said | Garbled


class Decoder(Protocol):
    """Makes words of the bytes of one line, however they are cut. Bounded in what it keeps."""

    def feed(self, data: bytes) -> Iterable[Word]:
        """Take the next bytes; returns the words that are whole now. Raises nothing."""

    def reset(self) -> None:
        """Forget half a word: the line was opened anew."""


@runtime_checkable
class Asking(Protocol):
    """A decoder of a device that wants to be asked, woken or told to speak."""

    async def ask(self, line: Stream) -> None:
        """Put on the line what makes the device speak, for as long as the line is open: it is cancelled with the line.

        Raises: TransientError where the line is gone.
        """


class Gatherer(Protocol):
    """Makes one sample of the words of an interval; `thinning.Thinner` is the usual one."""

    def add(self, readings: tuple[Reading, ...], at_s: float, without_value: tuple[str, ...] = ()) -> None:
        """Take a word; time on the monotonic clock."""

    def take(self) -> Measured | None:
        """Return the interval's sample, and begin the next; None where there is none."""


@dataclass(frozen=True)
class ListeningTarget(SpeakingTarget):
    """The device of such a bus."""


def target_of(device: Planned[Profile]) -> ListeningTarget:
    """Return the target of a checked device."""
    return ListeningTarget(device.id, device.interval_s, device.meaning)


@dataclass(frozen=True)
class ListeningPlan(SpeakingPlan):
    """A checked bus with one device that speaks by itself."""

    id: str
    line: LineAddress
    device: ListeningTarget
    make: Callable[[], tuple[Decoder, Gatherer]] = field(compare=False, repr=False)
    """Called when the bus is opened: loads what the protocol needs."""
    settings: tuple[object, ...] = ()
    """What else of the bus's file makes it another line."""
    wakes: bytes = b""
    """Put on the line whenever it was opened."""

    @property
    def devices(self) -> tuple[ListeningTarget, ...]:
        """The one device."""
        return (self.device,)

    @property
    def place(self) -> Place:
        """Where it is."""
        return stream.place_of(self.line)

    @property
    def line_and_meaning(self) -> tuple[object, ...]:
        """What makes it the line that it is; the interval does not."""
        return self.line, self.settings, self.wakes, self.device.id, self.device.meaning

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether an open bus can go on with another plan: line and device are the same, if perhaps its interval."""
        return isinstance(other, ListeningPlan) and self.line_and_meaning == other.line_and_meaning

    def open(self) -> ListeningBus:
        """Make the bus ready; the port is opened with the first reading."""
        return ListeningBus(self)


class ListeningBus(SpeakingBus):
    """The open bus. A task of its own hears the line; `read` takes what was heard since the last time."""

    def __init__(
        self, plan: ListeningPlan, open_line: Callable[[LineAddress], Awaitable[Stream]] | None = None
    ) -> None:
        """`open_line`: another way to open it, for tests."""
        self._plan = plan
        self._decoder, self._gatherer = plan.make()
        self._line = KeptLine(plan.id, plan.line, self._converse, open_line)
        self._began_s = time.monotonic()
        self._heard_s: float | None = None
        self._words = self._errors = 0
        self._garbled_s = 0.0
        self._garbled = Backoff(f"bus {plan.id}: what came cannot be read", logger)

    async def read(self, device: str) -> Measured:
        """Return what the device said since the last time.

        Raises: ParkedError where it said nothing yet; NoAnswerError where it is silent for too long.
        """
        self._line.keep()
        measured = self._gatherer.take()
        if measured is not None:
            return measured
        silent_s = time.monotonic() - (self._heard_s or self._began_s)
        if silent_s < self._plan.device.patience_s:
            raise ParkedError(f"device {device} has said nothing for {silent_s:.0f} s")
        raise NoAnswerError(self._line.why or f"{self._plan.line}: nothing heard for {silent_s:.0f} s")

    def traffic(self, device: str) -> Traffic:
        """Return how many words came, and how many of them could not be read."""
        del device
        return Traffic(self._words, self._errors)

    def follow(self, plan: BusPlan) -> None:
        """Go on with another interval."""
        if not isinstance(plan, ListeningPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        self._plan = plan

    async def close(self) -> None:
        """Close the port."""
        await self._line.close()

    async def _converse(self, line: Stream, backoff: Backoff) -> None:
        """Hear the line, and ask where the device wants that; ends with the first of both that fails."""
        self._decoder.reset()
        if self._plan.wakes:
            await line.write(self._plan.wakes)
        if not isinstance(self._decoder, Asking):
            await self._hear(line, backoff)
            return
        both = {asyncio.ensure_future(self._hear(line, backoff)), asyncio.ensure_future(self._decoder.ask(line))}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
            for task in both:
                if task.done():
                    task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _hear(self, line: Stream, backoff: Backoff) -> None:
        while True:
            patience_s = max(REOPEN_S, self._plan.device.patience_s)
            try:
                async with asyncio.timeout(patience_s):
                    data = await line.read()
            except TimeoutError as error:
                raise TransientError(f"{self._plan.line}: nothing heard for {patience_s:.0f} s") from error
            at_s = time.monotonic()
            for word in self._decoder.feed(data):
                self._words += 1
                if isinstance(word, Garbled):
                    self._errors += 1
                    self._line.why = f"{self._plan.line}: {word.why}"
                    self._garbled.failed(word.why)
                    self._garbled_s = at_s
                    continue
                if at_s - self._garbled_s >= CLEAN_S:
                    self._garbled.succeeded()
                backoff.succeeded()
                self._line.why, self._heard_s = "", at_s
                self._gatherer.add(word.readings, at_s, word.without_value)
