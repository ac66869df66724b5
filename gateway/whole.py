"""Work that must not be left half done, whoever gives up waiting for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
_under_way: set[asyncio.Future[Any]] = set()
"""The event loop alone would forget them."""


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """Await work that goes on to its end, also where this call is cancelled."""
    task = asyncio.ensure_future(work)
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return await asyncio.shield(task)
