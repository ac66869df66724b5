"""What others want of a bus: done by the task that owns it, one after the other, between two polls."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from base.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self

MOST_WAITING = 8

B = TypeVar("B")
T = TypeVar("T")


class Requests(Generic[B]):
    """A short queue of jobs for one bus. It is open while its owner is within the context."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._waiting: deque[tuple[Callable[[B], Awaitable[Any]], asyncio.Future[Any]]] = deque()
        self._came = asyncio.Event()
        self._is_open = False

    def __enter__(self) -> Self:
        self._is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        while self._waiting:
            unanswered = self._waiting.popleft()[1]
            if not unanswered.done():
                unanswered.set_exception(TransientError(f"{self._what} is not polled any more"))

    async def ask(self, job: Callable[[B], Awaitable[T]]) -> T:
        """Have a job done on the bus.

        Raises: what the job raises; TransientError where nobody does it, or too many wait.
        """
        if not self._is_open:
            raise TransientError(f"{self._what} is not polled")
        if len(self._waiting) >= MOST_WAITING:
            raise TransientError(f"{self._what} has {MOST_WAITING} requests waiting; try later")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, answer))
        self._came.set()
        return await answer

    async def pause(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait until the time has passed, somebody asks, or the stop comes; whichever is first.

        Where no time is left, everybody else has their turn, and no more.
        """
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waits = {asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._came.wait())}
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def serve_one(self, bus: B) -> None:
        """Do the oldest job, if there is one whose asker still waits. What it raises goes to the asker."""
        while self._waiting:
            job, answer = self._waiting.popleft()
            if answer.done():  # its asker has given up
                continue
            try:
                result = await job(bus)
            except asyncio.CancelledError:
                answer.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - handed on whole, to be translated where it was asked for
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)
            break
        if not self._waiting:
            self._came.clear()
