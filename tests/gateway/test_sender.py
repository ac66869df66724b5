"""From the spool to the broker and back: everything goes, whatever fails on the way, and nothing too often."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from gateway.config import SpoolConfig
from gateway.sealer import SpoolThread
from gateway.sender import Sender
from gateway.spool import Settled
from gateway.uplink import Uplink
from wire import batch as wire_batch
from wire import confirm as wire_confirm
from wire.confirm import Confirm, Rejection
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

WAIT_S = 10.0


class Broker:
    """Takes what is published, or does not, and lets a test wait for it."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.streams: set[str] = set()
        self.refuses = False
        self.raises: Exception | None = None
        self._changed = asyncio.Event()

    def publish(self, payload: bytes) -> bool:
        """Take a batch, refuse it, or fail."""
        self._changed.set()
        if self.raises is not None:
            error, self.raises = self.raises, None
            raise error
        if self.refuses:
            return False
        header, _ = wire_batch.open_header(payload)
        self.numbers.append(header.number)
        self.streams.add(header.stream)
        return True

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was published fulfils a condition."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Bench:
    """A sender on a real spool, with a broker that a test plays."""

    def __init__(self, spool: SpoolThread, broker: Broker, window: int) -> None:
        self.spool = spool
        self.broker = broker
        self.uplink = Uplink(window=window, timeout_s=1000)
        self.sender = Sender(spool, self.uplink, broker.publish)

    async def seal(self, batches: int) -> None:
        """Seal so many batches, and tell the sender."""
        samples = [Sample("main", 1_795_000_000_000, (Reading("voltage", 230.0, "V"),))]
        settled = self.uplink.settled()
        await self.spool.run(lambda spool: spool.seal([samples] * batches, settled, 1))
        self.uplink.marked(settled)
        self.sender.wake()

    def confirm(self, first: int, last: int, rejected: tuple[int, ...] = ()) -> None:
        """Let the collector confirm a range and reject some."""
        stream = self.spool.spool.stream
        rejections = [Rejection(number, "no") for number in rejected]
        self.sender.confirmed(wire_confirm.encode(Confirm(stream, 0, [(first, last)], rejections)))


@asynccontextmanager
async def _bench(tmp_path: Path, window: int = 4) -> AsyncIterator[Bench]:
    spool = await SpoolThread.open(tmp_path / "spool.sqlite", SpoolConfig())
    bench = Bench(spool, Broker(), window)
    running = asyncio.create_task(bench.sender.run())
    try:
        yield bench
    finally:
        running.cancel()
        await spool.close()


def test_everything_goes_oldest_first_as_the_window_allows(tmp_path: Path) -> None:
    """Ten batches through a window of four: each confirm lets the next go, none goes twice."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            await bench.seal(10)
            bench.sender.connected()
            for first in range(1, 11):
                await bench.broker.until(lambda first=first: first in bench.broker.numbers)  # type: ignore[misc]
                assert len(bench.broker.numbers) <= first + 3
                bench.confirm(first, first)
            assert bench.broker.numbers == list(range(1, 11))
            assert bench.uplink.settled().confirmed == set(range(1, 11))

    asyncio.run(play())


def test_nothing_goes_without_a_connection(tmp_path: Path) -> None:
    """And everything when it is there."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            await bench.seal(2)
            await asyncio.sleep(0)
            assert bench.broker.numbers == []
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [1, 2])

    asyncio.run(play())


def test_a_reconnect_sends_what_is_in_flight_again(tmp_path: Path) -> None:
    """The broker is a relay and may have forgotten it."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            await bench.seal(2)
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [1, 2])
            bench.confirm(1, 1)
            bench.sender.disconnected()
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [1, 2, 2])

    asyncio.run(play())


@pytest.mark.parametrize("error", [ValueError("a fault of ours"), OSError("the socket"), None])
def test_a_publish_that_fails_ends_nothing(
    error: Exception | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would send: it is logged and tried again, and what was refused goes with the next chance."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            monkeypatch.setattr(bench.sender._backoff, "_chance", lambda: 0.0)
            bench.broker.raises, bench.broker.refuses = error, error is None
            await bench.seal(2)
            bench.sender.connected()
            if error is None:
                await bench.broker.until(bench.broker._changed.is_set)
                bench.broker.refuses = False
                bench.sender.wake()
            await bench.broker.until(lambda: bench.broker.numbers == [1, 2])

    asyncio.run(play())


def test_what_is_put_back_is_found_again(tmp_path: Path) -> None:
    """A batch with a low number that is to be sent again goes, though higher ones went long ago."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            await bench.seal(3)
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [1, 2, 3])
            bench.confirm(1, 3)
            await bench.seal(1)
            await bench.broker.until(lambda: bench.broker.numbers == [1, 2, 3, 4])

            assert await bench.spool.run(lambda spool: spool.resend(0, 2)) == (3, 3)
            bench.sender.wake()
            await bench.broker.until(lambda: bench.broker.numbers == [1, 2, 3, 4, 1, 2, 3])

    asyncio.run(play())


def test_a_rejected_batch_is_said_and_not_sent_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """City IT finds it in the log; the others go on."""

    async def play() -> None:
        async with _bench(tmp_path, window=1) as bench:
            await bench.seal(2)
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [1])
            bench.confirm(9, 9, rejected=(1,))
            await bench.broker.until(lambda: bench.broker.numbers == [1, 2])
            assert bench.uplink.settled() == Settled(frozenset(), {1: "no"})

    asyncio.run(play())
    assert "batch 1 is rejected: no" in caplog.text


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"stream":"x","now_ms":0}'])
def test_a_confirm_that_is_none_changes_nothing(payload: bytes, tmp_path: Path) -> None:
    """Whoever sent it."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            await bench.seal(1)
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [1])
            bench.sender.confirmed(payload)
            assert not bench.uplink.settled()
            assert bench.uplink.in_flight == 1

    asyncio.run(play())


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
