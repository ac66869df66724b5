"""A store in trouble: nothing is confirmed early, nothing is there twice, and all recovers by itself."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from base.errors import TransientError
from base.retry import Backoff
from cloud.complaints import Complaints
from cloud.derived import Traces
from cloud.metrics import Metrics
from cloud.opening import Routed
from cloud.points import Point, Series
from cloud.stores.embedded import EmbeddedStore
from cloud.stores.influx1 import Influx1Store
from cloud.writer import Writer
from simulator.proxy import Proxy
from wire.batch import Header

from http_doubles import ScriptedServer, http_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from cloud.stores.interface import Store

    from servers import Influx1

SERIES = Series.of("electricity", device="a")
AT_NS = 1_795_000_000 * 10**9
DAY_S = 86_400.0


class Waits(threading.Event):
    """An event on which nobody waits for long: how long they would have is noted, and moves a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.now_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        """Note it."""
        self.waits.append(timeout or 0.0)
        self.now_s += timeout or 0.0
        return False


def _writer(store: object, stop: Waits | None = None) -> Writer:
    plays: Store = store  # type: ignore[assignment] # the writer only writes
    made = Writer(plays, Complaints(logging.getLogger("cloud.test")), Metrics())
    clock = time.monotonic if stop is None else lambda: stop.now_s
    made._backoff = Backoff("store", logging.getLogger("cloud.test"), first_s=0.2, cap_s=15.0, clock=clock)
    return made


def _batch(number: int, *values: float) -> Routed:
    points = [Point(SERIES, AT_NS + (number * 1000 + i) * 10**9, {"active_power": v}) for i, v in enumerate(values)]
    header = Header(1, "0" * 16, number, "zstd", AT_NS // 10**6, 0)
    return Routed("gw", header, points, Traces(), len(points), 0, 0)


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """A server that says what it is told to."""
    with ScriptedServer() as server:
        yield server


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("is_date", [False, True], ids=["seconds", "HTTP date"])
def test_a_store_that_asks_for_patience_gets_it(
    scripted: ScriptedServer,
    status: int,
    is_date: bool,  # noqa: FBT001 - a case
) -> None:
    """As long as Retry-After says; then the same batch again, and only then it counts as stored."""
    header = email.utils.formatdate(time.time() + 90, usegmt=True) if is_date else "90"
    busy = http_answer(status, "busy", Retry_After=header)
    scripted.answers = [busy, busy, http_answer(204)]
    stop = Waits()
    with closing(Influx1Store(scripted.url)) as store:
        stored, refused = _writer(store, stop).write([_batch(1, 1.0)], stop)
    assert ([batch.header.number for batch in stored], refused) == ([1], [])
    assert len(stop.waits) == 2
    assert all(60 <= wait_s <= 90 for wait_s in stop.waits)
    assert len({body for _, body in scripted.requests}) == 1


def test_an_answer_that_is_lost_is_asked_for_again(scripted: ScriptedServer) -> None:
    """It may have written or not: the very same points again, and no other."""
    scripted.answers = [b"", http_answer(204)]
    stop = Waits()
    with closing(Influx1Store(scripted.url)) as store:
        stored, _ = _writer(store, stop).write([_batch(1, 1.0), _batch(2, 2.0)], stop)
    assert len(stored) == 2
    assert [body for _, body in scripted.requests] == [scripted.requests[0][1]] * 2


def test_a_store_that_is_gone_for_a_day_costs_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """By simulated time: some thousand tries, never more than 15 s apart, and then it works by itself."""
    stop = Waits()
    tries = 0

    class Gone:
        def write(self, _points: Sequence[Point]) -> None:
            nonlocal tries
            tries += 1
            if stop.now_s < DAY_S:
                raise TransientError("gone")

    writer = _writer(Gone(), stop)
    with caplog.at_level(logging.INFO):
        stored, _ = writer.write([_batch(1, 1.0)], stop)
    assert len(stored) == 1
    assert max(stop.waits) <= 15.0
    assert DAY_S / 15 < tries < 20_000
    assert len(caplog.records) <= DAY_S / 60 + 2
    assert "works again" in caplog.text
    assert writer.trouble == ""


def test_a_full_disk_under_the_embedded_store_is_waited_for(tmp_path: Path) -> None:
    """SQLite says that it is full; nothing of the batch is there, and with room all of it is, once."""
    store = EmbeddedStore(tmp_path / "store.sqlite")
    store.prepare()
    batch = _batch(1, *map(float, range(20_000)))
    ((pages,),) = store._file.select("PRAGMA page_count")
    store._file.select(f"PRAGMA max_page_count = {pages + 8}")

    class Room(Waits):
        def wait(self, timeout: float | None = None) -> bool:
            assert list(store.series("electricity", 0, 2**62)) == []
            assert "full" in writer.trouble
            store._file.select("PRAGMA max_page_count = 1000000")
            return super().wait(timeout)

    stop = Room()
    writer = _writer(store, stop)
    stored, refused = writer.write([batch], stop)
    assert (len(stored), refused, len(stop.waits)) == (1, [], 1)
    assert len(list(store.series("electricity", 0, 2**62))) == 20_000
    store.close()


@contextmanager
def _proxied(url: str) -> Iterator[tuple[str, Callable[[Callable[[Proxy], object]], None]]]:
    """Put a proxy before a server, in a loop of its own; gives its address, and a way to reach it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Coroutine[object, object, object]) -> object:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def call(act: Callable[[Proxy], object]) -> None:
        done = act(proxy)
        if asyncio.iscoroutine(done):
            await done

    def tell(act: Callable[[Proxy], object]) -> None:
        run(call(act))

    proxy = Proxy(int(url.rpartition(":")[2]))
    run(proxy.__aenter__())
    try:
        yield f"http://127.0.0.1:{proxy.port}", tell
    finally:
        run(proxy.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.mark.slow
def test_what_influxdb_wrote_without_being_heard_is_there_once(influx1: Influx1) -> None:
    """The way back is dead, the way there is not: asked again, the same points fall on themselves."""
    with _proxied(influx1.url) as (url, tell):
        store = Influx1Store(url, "lost_answers", timeout_s=1.0)
        store.prepare()
        direct = Influx1Store(influx1.url, "lost_answers")

        class Restoring(Waits):
            def wait(self, timeout: float | None = None) -> bool:
                found.append(len(list(direct.series("electricity", 0, 2**62))))
                tell(lambda proxy: proxy.restore())
                return super().wait(timeout)

        found: list[int] = []
        stop = Restoring()
        tell(lambda proxy: proxy.blackhole("down"))
        stored, refused = _writer(store, stop).write([_batch(1, 1.0, 2.0), _batch(2, 3.0)], stop)
        assert (len(stored), refused) == (2, [])
        assert found[0] == 3, "InfluxDB had written it before the answer was lost"
        values = [point.fields["active_power"] for point in direct.series("electricity", 0, 2**62)]
        assert values == [1.0, 2.0, 3.0]
        store.close()
        direct.close()


@pytest.mark.slow
def test_a_slow_and_a_cut_way_to_influxdb_lose_and_double_nothing(influx1: Influx1) -> None:
    """A trickle, then resets in the midst of a body; every point once in the end."""
    with _proxied(influx1.url) as (url, tell):
        store = Influx1Store(url, "slow_way", timeout_s=5.0)
        store.prepare()
        stop = Waits()
        writer = _writer(store, stop)
        tell(lambda proxy: proxy.limit(200_000, "up"))
        batch = _batch(1, *map(float, range(10_000)))
        cutter = threading.Timer(0.5, lambda: tell(lambda proxy: proxy.cut()))
        cutter.start()
        healer = threading.Timer(1.5, lambda: tell(lambda proxy: proxy.restore()))
        healer.start()
        stored, _ = writer.write([batch], stop)
        cutter.join()
        healer.join()
        assert len(stored) == 1
        assert stop.waits, "the cut was felt"
        direct = Influx1Store(influx1.url, "slow_way")
        assert [p.fields["active_power"] for p in direct.series("electricity", 0, 2**62)] == list(range(10_000))
        store.close()
        direct.close()


@pytest.mark.slow
def test_a_field_of_another_type_in_influxdb_buries_one_point(influx1: Influx1) -> None:
    """Somebody wrote a text where a number belongs: that point is a dead letter, its neighbours are stored."""
    store = Influx1Store(influx1.url, "conflict")
    store.prepare()
    week_ns = 7 * 86_400 * 10**9
    store.write([Point(SERIES, AT_NS, {"reactive_power": "a text"})])
    batch = _batch(1, *map(float, range(50)))
    batch.points[17].fields["reactive_power"] = 1.0
    stop = Waits()
    writer = _writer(store, stop)
    stored, refused = writer.write([batch, _batch(2, 1.0)], stop)
    assert [one.header.number for one in stored] == [2]
    assert [writer.bury(one, error, stop) for one, error in refused] == [True]
    found = {point.time_ns for point in store.series("electricity", AT_NS, AT_NS + week_ns)}
    assert len(found) >= 51
    (letter,) = store.series("dead_letter", 0, 2**62)
    assert "field type conflict" in str(letter.fields["reason"])
    assert "reactive_power=1" in str(letter.fields["point"])
    store.close()
