"""From the spool to the broker and back: everything goes, whatever fails on the way, and nothing too often."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from base.errors import TransientError
from gateway import sender as senders
from gateway.config import SpoolConfig
from gateway.sealer import SpoolThread
from gateway.sender import RENEW_AFTER_S, Sender
from gateway.spool import Settled, Spool
from gateway.uplink import Uplink
from wire import batch as wire_batch
from wire import confirm as wire_confirm
from wire.confirm import Confirm, Rejection
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

WAIT_S = 10.0
HOUR_MS = 3_600_000


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

    async def seal(self, batches: int, at_ms: int = 1) -> None:
        """Seal so many batches, and tell the sender."""
        samples = [Sample("main", 1_795_000_000_000, (Reading("voltage", 230.0, "V"),))]
        settled = self.uplink.settled()
        await self.spool.run(lambda spool: spool.seal([samples] * batches, settled, at_ms))
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


def test_a_backlog_goes_oldest_first_behind_the_newest_batch(tmp_path: Path) -> None:
    """Ten batches of ten hours through a window of four: the newest, then the others, none twice."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            for hour in range(10):
                await bench.seal(1, hour * HOUR_MS)
            bench.sender.connected()
            order = [10, 1, 2, 3, 4, 5, 6, 7, 8, 9]
            for place, number in enumerate(order, 1):
                await bench.broker.until(lambda place=place: len(bench.broker.numbers) >= place)  # type: ignore[misc]
                assert bench.uplink.in_flight <= 4
                bench.confirm(number, number)
            assert bench.broker.numbers == order
            assert bench.uplink.settled().confirmed == set(range(1, 11))

    asyncio.run(play())


def test_fresh_data_overtakes_a_backlog(tmp_path: Path) -> None:
    """The window is full of backlog that nobody answers; what is sealed now goes at once."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            for hour in range(10):
                await bench.seal(1, hour * HOUR_MS)
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [10, 1, 2, 3])
            bench.confirm(10, 10)
            await bench.seal(1, 10 * HOUR_MS)
            await bench.broker.until(lambda: bench.broker.numbers[4:] == [11])

    asyncio.run(play())


def test_a_backlog_is_paced_and_fresh_data_is_not(tmp_path: Path) -> None:
    """By an own clock: at 3 readings/s, three batches of one reading a second, after a moment chosen by chance."""

    async def play() -> None:
        spool = await SpoolThread.open(tmp_path / "spool.sqlite", SpoolConfig())
        now_s, broker = 1000.0, Broker()
        uplink = Uplink(window=16, timeout_s=1000, backlog_readings_per_s=3.0, chance=lambda: 0.5)
        sender = Sender(spool, uplink, broker.publish, monotonic=lambda: now_s)
        samples = [Sample("main", 1_795_000_000_000, (Reading("voltage", 230.0, "V"),))]
        for hour in range(10):
            await spool.run(lambda opened, at_ms=hour * HOUR_MS: opened.seal([samples], Settled(), at_ms))  # type: ignore[misc]
        sender.connected()
        wait_s = await sender.step()
        assert broker.numbers == [10]
        assert 30 < wait_s < 31
        for at_s, sent in ((1029, 1), (1030.35, 2), (1031.35, 5), (1032.35, 8)):
            now_s = at_s
            await sender.step()
            assert len(broker.numbers) == sent
        assert broker.numbers == [10, 1, 2, 3, 4, 5, 6, 7]
        await spool.close()

    asyncio.run(play())


def test_nothing_goes_without_a_connection(tmp_path: Path) -> None:
    """And everything when it is there."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            await bench.seal(2)
            await asyncio.sleep(0)
            assert bench.broker.numbers == []
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [2, 1])

    asyncio.run(play())


def test_a_reconnect_sends_what_is_in_flight_again(tmp_path: Path) -> None:
    """The broker is a relay and may have forgotten it."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            await bench.seal(2)
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [2, 1])
            bench.confirm(1, 1)
            bench.sender.disconnected()
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [2, 1, 2])

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
            await bench.broker.until(lambda: bench.broker.numbers == [2, 1])

    asyncio.run(play())


def test_a_resend_waits_for_a_new_connection(tmp_path: Path) -> None:
    """What the database lost goes again; the connection, on which confirms from before may still come, is not used."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            now_s, renewed = 0.0, []
            bench.sender._now_s = lambda: now_s
            bench.sender._renew = lambda: renewed.append(now_s)
            await bench.seal(1)
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [1])
            bench.confirm(1, 1)

            settled = bench.uplink.settled()
            await bench.spool.run(lambda spool: spool.mark(settled, 1))
            bench.uplink.marked(settled)
            assert await bench.sender.resend(lambda spool: spool.resend(0, 2)) == (1, 1)
            assert not bench.uplink.settled()
            bench.confirm(1, 1)
            await bench.sender.step()
            assert not bench.uplink.settled()
            now_s = RENEW_AFTER_S
            await bench.sender.step()
            await bench.sender.step()
            assert (renewed, bench.broker.numbers) == ([RENEW_AFTER_S], [1])
            bench.sender.disconnected()
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [1, 1])
            bench.confirm(1, 1)
            assert bench.uplink.settled().confirmed == {1}

    asyncio.run(play())


def test_an_evicted_batch_is_not_sent_again_and_a_damaged_one_is_set_aside(tmp_path: Path) -> None:
    """Both were in flight; neither holds its slot."""

    async def play() -> None:
        spool = await SpoolThread.open(tmp_path / "spool.sqlite", SpoolConfig())
        now_s, broker = 0.0, Broker()
        sender = Sender(spool, Uplink(window=4, timeout_s=10), broker.publish, monotonic=lambda: now_s)
        samples = [Sample("main", 1_795_000_000_000, (Reading("voltage", 230.0, "V"),))]
        await spool.run(lambda opened: opened.seal([samples] * 3, Settled(), 1))
        sender.connected()
        await sender.step()

        def spoil(opened: Spool) -> None:
            opened._db.execute("DELETE FROM place WHERE number = 1")
            opened._db.execute("DELETE FROM batch WHERE number = 1")
            opened._db.execute("UPDATE batch SET pack = x'00' WHERE number = 2")

        await spool.run(spoil)
        now_s = 10.0
        await sender.step()
        assert broker.numbers == [3, 2, 1, 3]
        assert (await spool.run(Spool.totals)).rejected_batches == 1
        assert sender._uplink.in_flight == 1
        await spool.close()

    asyncio.run(play())


@pytest.mark.parametrize("is_disk_full", [False, True])
def test_many_confirms_are_marked_without_waiting_for_a_seal(
    is_disk_full: bool,  # noqa: FBT001 - a case
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A backlog that drains between two seals stays easy to search; a disk that refuses does not stop it."""
    monkeypatch.setattr(senders, "MOST_UNMARKED", 2)

    def refuse(*_: object) -> None:
        raise TransientError("disk full")

    if is_disk_full:
        monkeypatch.setattr(Spool, "mark", refuse)

    async def play() -> None:
        async with _bench(tmp_path, window=2) as bench:
            await bench.seal(6)
            bench.sender.connected()
            for sent in (2, 4, 6):
                await bench.broker.until(lambda sent=sent: len(bench.broker.numbers) == sent)  # type: ignore[misc]
                bench.confirm(1, 6)
            await bench.sender.step()
            totals = await bench.spool.run(Spool.totals)
            assert totals.confirmed_batches + bench.uplink.unmarked_batches == 6
            assert bench.uplink.unmarked_batches == (6 if is_disk_full else 0)

    asyncio.run(play())
    assert ("disk full" in caplog.text) == is_disk_full


def test_a_confirm_of_nothing_tells_the_time(tmp_path: Path) -> None:
    """The answer to status `no_time`; only to this stream, and only where it tells nothing else."""

    async def play() -> None:
        async with _bench(tmp_path) as bench:
            times: list[int] = []
            bench.sender._on_time = times.append
            stream = bench.spool.spool.stream
            for confirm in (
                Confirm("f" * 16, 1),
                Confirm(stream, 2, [(1, 1)]),
                Confirm(stream, 3, [], [Rejection(1, "no")]),
                Confirm(stream, 4),
            ):
                bench.sender.confirmed(wire_confirm.encode(confirm))
            assert times == [4]

    asyncio.run(play())


def test_a_rejected_batch_is_said_and_not_sent_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """City IT finds it in the log; the others go on."""

    async def play() -> None:
        async with _bench(tmp_path, window=1) as bench:
            await bench.seal(2)
            bench.sender.connected()
            await bench.broker.until(lambda: bench.broker.numbers == [2])
            bench.confirm(9, 9, rejected=(2, 1))
            await bench.broker.until(lambda: bench.broker.numbers == [2, 1])
            assert bench.uplink.settled() == Settled(frozenset(), {2: "no"})

    asyncio.run(play())
    assert "batch 2 is rejected: no" in caplog.text
    assert "batch 1 is" not in caplog.text  # it was not sent when that was said


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
