"""An open receiver: its line is heard by a task of its own, opened again whenever it was lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from base.errors import TransientError
from edge.hearing import Hearing
from edge.interface import Heard
from edge.kept_line import KeptLine
from edge.listening import REOPEN_S
from edge.speaking import SpeakingBus
from edge.wmbus.driver import ReceiverPlan
from edge.wmbus.keys import KeyFile
from edge.wmbus.meters import Meters
from edge.wmbus.mqtt import wanted
from edge.wmbus.receivers import RECEIVERS

if TYPE_CHECKING:
    from base.retry import Backoff
    from edge.hearing import Said
    from edge.interface import BusPlan, Measured, Traffic
    from edge.stream import Stream

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Samples that nobody has taken yet; further ones are dropped: the meter says it again soon."""
PAUSE_S = 2.0
"""A receiver writes a telegram without a pause: what broke off before one does not begin what comes after it."""
QUIET_S = 30 * REOPEN_S
"""A receiver that hears nobody at all for half an hour is opened anew: sticks hang, and forget their mode."""


class ReceiverBus(SpeakingBus):
    """The open bus."""

    def __init__(self, plan: ReceiverPlan) -> None:
        self._plan = plan
        self._meters = Meters(wanted(plan.devices), KeyFile(plan.key_file))
        self._samples: deque[Heard] = deque()
        self._came_some = asyncio.Event()
        self._line = KeptLine(plan.id, plan.line, self._hear)
        self._line.why = "the receiver was not opened yet"
        self._hearing = Hearing(plan.id, "telegram")

    async def heard(self) -> Heard:
        """Wait for the next sample of any meter. A fault of ours that ends the listening is raised here, once."""
        while not self._samples:
            listening = self._line.keep()
            self._came_some.clear()
            coming = asyncio.ensure_future(self._came_some.wait())
            try:
                await asyncio.wait({listening, coming}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                coming.cancel()
        return self._samples.popleft()

    async def read(self, device: str) -> Measured:
        """Say whether a meter is there; what it says comes by itself.

        Raises: ParkedError where it is; NoAnswerError where nothing that can be read was heard for too long.
        """
        target = next(target for target in self._plan.devices if target.id == device)
        raise self._hearing.silence(target, self._plan.line, self._line.why)

    def traffic(self, device: str) -> Traffic:
        """Return how many telegrams of a meter came, and how many of them could not be read."""
        return self._hearing.traffic(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with other meters."""
        if not isinstance(plan, ReceiverPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        self._plan = plan
        self._meters.follow(wanted(plan.devices))
        here = {target.id for target in plan.devices}
        self._samples = deque(each for each in self._samples if each.device in here)

    async def close(self) -> None:
        """Close the port."""
        await self._line.close()

    async def _hear(self, line: Stream, backoff: Backoff) -> None:
        receiver = RECEIVERS[self._plan.receiver]
        unpacker = receiver.unpacker()
        if command := receiver.modes.get(self._plan.mode):
            await line.write(command)
        self._line.why = ""
        heard_s = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    data = await line.read()
            except TimeoutError as error:
                raise TransientError(f"{self._plan.line}: nothing heard for {QUIET_S / 60:.0f} min") from error
            backoff.succeeded()
            at_s = time.monotonic()
            if at_s - heard_s > PAUSE_S:
                unpacker.reset()
            heard_s = at_s
            for telegram, form in unpacker.feed(data):
                for said in self._meters.telegram(telegram, at_s, form=form):
                    self._take(said, at_s)

    def _take(self, said: Said, at_s: float) -> None:
        self._hearing.took(said, at_s)
        if said.measured is not None and len(self._samples) < MOST_WAITING:
            self._samples.append(Heard(said.device, said.measured))
            self._came_some.set()
