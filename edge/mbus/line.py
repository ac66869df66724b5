"""One M-Bus line: a question, and the frame that answers it.

Whatever goes wrong costs that question alone: the line is listened to until it is quiet, so that the end of a late or
garbled answer is not taken for the next one.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from base.errors import TransientError
from edge import stream
from edge.interface import NoAnswerError
from edge.mbus import frame
from edge.mbus.errors import DamagedError

if TYPE_CHECKING:
    from edge.stream import LineAddress, LineSettings, Stream

QUIET_CHARACTERS = 33
"""A line that is silent for so long has no answer under way (EN 13757-2, 5.5.3: no pause within a telegram; but
converters and networks make some)."""
LEAST_QUIET_S, MOST_QUIET_S = 0.05, 3.0
PAUSE_S = 0.25
"""The longest pause within an answer that converters and networks are forgiven."""


class Line:
    """The line of one bus. Opened with the first question, and again whenever it was lost."""

    def __init__(self, address: LineAddress, settings: LineSettings, timeout_s: float) -> None:
        self.address = address
        self._character_s = settings.character_s
        self._timeout_s = timeout_s
        self._stream: Stream | None = None
        self.asked_at_s = 0.0

    async def ask(self, question: bytes) -> bytes:
        """Put a frame on the line and return the frame that answers it: an acknowledgement, or a long one.

        Raises: NoAnswerError where nothing comes, or the line cannot be opened; DamagedError where it is no frame.
        """
        try:
            line = await self._opened()
            line.discard()
            self.asked_at_s = time.monotonic()
            await line.write(question)
            return await self._answer(line, question)
        except DamagedError:
            await self._settle()
            raise
        except TransientError as error:
            if not isinstance(error, NoAnswerError):
                self.close()
                raise NoAnswerError(str(error)) from error
            raise
        except asyncio.CancelledError:
            self.close()  # an answer may be under way that nobody waits for
            raise

    def close(self) -> None:
        """Let go of the port."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    async def _opened(self) -> Stream:
        if self._stream is None:
            self._stream = await stream.open_line(self.address)
        return self._stream

    async def _answer(self, line: Stream, question: bytes) -> bytes:
        received = b""
        while True:
            received = received.removeprefix(question)  # the echo of a converter
            is_echo = question.startswith(received)
            size = None if is_echo else frame.size_of(received)
            if size is not None and len(received) >= size:
                if len(received) > size:
                    raise DamagedError(f"{len(received) - size} bytes more than the telegram: perhaps two meters")
                return received
            wait_s = PAUSE_S + self._character_s if received and not is_echo else self._timeout_s
            try:
                async with asyncio.timeout(wait_s):
                    received += await line.read()
            except TimeoutError as error:
                if not received or is_echo:
                    raise NoAnswerError(f"no answer in {self._timeout_s:g} s") from error
                raise DamagedError(f"half an answer: {len(received)} bytes, of {size or 'at least 4'}") from error
            if len(received) > 2 * (frame.FRAME_BYTES + 255):
                raise DamagedError("noise without end")

    async def _settle(self) -> None:
        """Wait until the line is quiet, for a while at most."""
        quiet_s = max(LEAST_QUIET_S, QUIET_CHARACTERS * self._character_s)
        try:
            async with asyncio.timeout(MOST_QUIET_S):
                while self._stream is not None and await self._says_something(self._stream, quiet_s):
                    pass
        except TimeoutError:
            return
        except TransientError:
            self.close()

    @staticmethod
    async def _says_something(line: Stream, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await line.read()
        except TimeoutError:
            return False
        return True
