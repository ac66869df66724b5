"""A serial port that a simulated device plays: a pseudo-terminal under a link that outlives it, with noise on it.

The far end opens the link. The port can be pulled out and put back: the next one is another pseudo-terminal.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import tty
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHUNK_BYTES = 4096


async def ended(task: asyncio.Task[None] | None) -> None:
    """Cancel a device's task, where it runs, and wait until it is over."""
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Noise:
    """What a line does to bytes: bursts of others, bytes lost, bytes added. The same seed, the same noise.

    `share`: of all telegrams, those that suffer.
    """

    def __init__(self, share: float, seed: int = 0) -> None:
        self.share = share
        self.spoiled = 0
        """Telegrams that were not sent as they were."""
        self._chance = random.Random(seed)  # noqa: S311 - no secret

        self._ways = [self._burst, self._lost, self._added, self._cut, self._bit]

    def of_bursts(self) -> Self:
        """Spoil by eight bytes and more, or cut: what is left of the text shows it, even without a checksum."""
        self._ways = [self._burst, self._added, self._cut]
        return self

    def of_one_piece(self) -> Self:
        """Lose no bytes out of the middle: of an exclusive or, two that are alike do not show."""
        self._ways = [self._burst, self._added, self._cut, self._bit]
        return self

    def spoil(self, data: bytes) -> bytes:
        """Return a telegram as it comes out at the other end."""
        if not data or self._chance.random() >= self.share:
            return data
        at = self._chance.randrange(len(data))
        how = self._chance.choice(self._ways)
        spoiled = how(data, at)
        self.spoiled += spoiled != data
        return spoiled

    def between(self) -> bytes:
        """Return what is heard between two telegrams: most often nothing."""
        if self._chance.random() >= self.share:
            return b""
        return self._chance.randbytes(self._chance.randrange(1, 60))

    def _burst(self, data: bytes, at: int) -> bytes:
        length = self._chance.randrange(8, 40)
        return data[:at] + self._chance.randbytes(length) + data[at + length :]

    def _lost(self, data: bytes, at: int) -> bytes:
        return data[:at] + data[at + self._chance.randrange(1, 9) :]

    def _added(self, data: bytes, at: int) -> bytes:
        return data[:at] + self._chance.randbytes(self._chance.randrange(8, 24)) + data[at:]

    def _cut(self, data: bytes, at: int) -> bytes:
        return data[:at]

    def _bit(self, data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1 << self._chance.randrange(8)]) + data[at + 1 :]


class Port:
    """One serial port, found at `address`."""

    def __init__(self, link: Path, hear: Callable[[bytes], None] | None = None) -> None:
        """`hear`: called with what the far end sends."""
        self.address = str(link)
        self._link, self._hear = link, hear
        self._master = self._slave = -1

    @property
    def is_plugged(self) -> bool:
        """Whether it is there."""
        return self._master >= 0

    def plug(self) -> None:
        """Put it in. Harmless where it is in."""
        if self.is_plugged:
            return
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        if self._hear is not None:
            asyncio.get_running_loop().add_reader(self._master, self._take)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(self._slave))
        if self._hear is None:  # so that the master tells whether somebody has it open; a reader would never rest
            os.close(self._slave)
            self._slave = -1

    @property
    def is_heard(self) -> bool:
        """Whether somebody has the port open; of one that hears, whether it is plugged."""
        if self._hear is not None or not self.is_plugged:
            return self.is_plugged
        poll = select.poll()
        poll.register(self._master, select.POLLHUP)
        return not poll.poll(0)

    def unplug(self) -> None:
        """Pull it out: who has it open reads an end, and who opens it finds none. Harmless where it is out."""
        if not self.is_plugged:
            return
        if self._hear is not None:
            asyncio.get_running_loop().remove_reader(self._master)
        master, slave, self._master, self._slave = self._master, self._slave, -1, -1
        self._link.unlink(missing_ok=True)
        os.close(master)
        if slave >= 0:
            os.close(slave)

    def send(self, data: bytes) -> None:
        """Put bytes on the line; what nobody reads is lost, as on a wire."""
        if not self.is_plugged:
            return
        with suppress(OSError):
            os.write(self._master, data)

    def _take(self) -> None:
        with suppress(OSError):
            data = os.read(self._master, CHUNK_BYTES)
            if data and self._hear is not None:
                self._hear(data)
