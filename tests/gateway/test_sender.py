"""The sender's task: it ends when it is told to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from gateway.sender import Sender
from gateway.uplink import Uplink

if TYPE_CHECKING:
    from gateway.sealer import SpoolThread


def test_a_sender_that_is_woken_and_cancelled_at_once_ends() -> None:
    """As at every stop without a broker: the last seal wakes it in the moment in which the agent ends it."""

    async def story() -> None:
        spool = cast("SpoolThread", None)  # without a connection it asks for nothing
        sender = Sender(spool, Uplink(window=1, timeout_s=1.0), lambda _payload: False)
        task = asyncio.create_task(sender.run())
        for _ in range(5):
            await asyncio.sleep(0)
        sender.wake()
        await asyncio.sleep(0)
        sender.wake()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5.0)
        task.cancel()
        assert done
        assert task.cancelled()

    asyncio.run(story())
