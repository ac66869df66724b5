"""A line that a task of its own keeps open, for buses whose devices speak by themselves."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from base.retry import Backoff
from edge import stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from base.errors import TransientError
    from edge.stream import LineAddress, Stream

logger = logging.getLogger(__name__)


class KeptLine:
    """Opened when it is first wanted, and again whenever it was lost."""

    def __init__(
        self,
        bus: str,
        address: LineAddress,
        hear: Callable[[Stream, Backoff], Awaitable[None]],
        open_line: Callable[[LineAddress], Awaitable[Stream]] | None = None,
    ) -> None:
        """`hear` uses the open line, and tells the Backoff that all is well; `open_line`: as `stream.open_line`."""
        self._bus, self._address, self._hear = bus, address, hear
        self._open_line = open_line or stream.open_line
        self._task: asyncio.Task[None] | None = None
        self.why = ""
        """Why nothing is heard; `hear` empties it."""

    def keep(self) -> asyncio.Task[None]:
        """Return the task, started where it does not run. A fault of ours that ended it is raised here, once."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"bus {self._bus}: listening")
        return self._task

    async def close(self) -> None:
        """Close the port."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _keep(self) -> None:
        backoff = Backoff(f"bus {self._bus}", logger, cap_s=15.0)

        def failed(error: TransientError) -> float:
            self.why = str(error)
            return backoff.failed(error)

        await stream.keep_open(lambda: self._open_line(self._address), lambda line: self._hear(line, backoff), failed)
