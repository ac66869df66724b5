"""Between the thread that routes and the one that writes: one part waits while another is written."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from base.broker import MqttConfig
from base.errors import TransientError
from cloud import collector as collectors
from cloud import registry, town
from cloud.collector import Collector
from cloud.config import CollectorFile
from cloud.inbox import Arrival
from cloud.registry import Registry
from cloud.stores.config import EmbeddedConfig, StoreConfig
from wire import batch as wire_batch
from wire import confirm as wire_confirm
from wire.readings import Reading, Sample

import towns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cloud.points import Point
    from cloud.stores.interface import Store

AT_MS = 1_790_000_000_000
STREAM = "0123456789abcdef"
SOON_S = 20.0


class Gate:
    """A store that answers when it is let: `asked` says that it was asked, `answer` what it says."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.answers = threading.Semaphore(0)
        self.errors: list[Exception] = []
        self.written: list[tuple[Point, ...]] = []

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def write(self, points: Sequence[Point]) -> None:
        """Wait for leave, then fail by the script or keep."""
        self.asked.release()
        assert self.answers.acquire(timeout=SOON_S)
        if self.errors:
            raise self.errors.pop(0)
        self.written.append(tuple(points))

    def let(self, writes: int = 1) -> None:
        """Let it answer so many writes."""
        self.answers.release(writes)

    def numbers(self) -> list[int]:
        """What was written, by the numbers of the batches."""
        return [
            point.time_ns // 10**6 - AT_MS
            for points in self.written
            for point in points
            if point.series.measurement == "electricity"
        ]


class Running:
    """A collector that runs, with a list for a broker, and one batch in each part."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        town.write_registry(towns.make(tmp_path / "town"), tmp_path / "registry.yaml")
        config = CollectorFile(
            collector="c1", mqtt=MqttConfig(host="127.0.0.1"), store=StoreConfig(embedded=EmbeddedConfig(path="x"))
        )
        self.gate = Gate()
        store: Store = self.gate  # type: ignore[assignment] # the collector only writes
        known = registry.load(tmp_path / "registry.yaml")
        self.collector = Collector(config, known, store, reload=lambda before: Registry(before.file))
        self.confirmed: list[int] = []
        self.stop = threading.Event()
        monkeypatch.setattr(collectors, "TAKE_TIMEOUT_S", 0.01)
        monkeypatch.setattr(collectors, "MOST_AT_ONCE", 1)
        monkeypatch.setattr(self.collector._subscription, "start", lambda: None)
        monkeypatch.setattr(self.collector._subscription, "confirm", self._confirmed)
        monkeypatch.setattr(self.collector._writer._backoff, "_chance", lambda: 0.0)
        self._thread = threading.Thread(target=self.collector.run, args=(self.stop,), daemon=True)
        self._thread.start()

    def _confirmed(self, _gateway: str, payload: bytes) -> bool:
        for first, last in wire_confirm.decode(payload).batches:
            self.confirmed += range(first, last + 1)
        return True

    def put(self, *numbers: int) -> None:
        """Let batches arrive."""
        for number in numbers:
            sample = Sample("school-main", AT_MS + number, (Reading("active_power", 1.0, "W"),))
            packed = wire_batch.compress([sample])
            payload = wire_batch.seal_header(STREAM, number, 0, packed) + packed
            self.collector._inbox.put(Arrival("school-gw", payload))

    def end(self) -> None:
        """Stop it, with a store that answers."""
        self.stop.set()
        self.gate.let(100)
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A collector whose store answers when it is let."""
    made = Running(tmp_path, monkeypatch)
    yield made
    made.end()


def _until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_what_a_slow_store_has_not_answered_is_not_confirmed(running: Running) -> None:
    """Each part after its own answer, in order, and each written once."""
    running.put(1, 2, 3)
    for number in (1, 2, 3):
        assert running.gate.asked.acquire(timeout=SOON_S)
        assert running.confirmed == list(range(1, number))
        running.gate.let()
        _until(lambda: len(running.confirmed) == number)  # noqa: B023 - asked at once
    assert running.gate.numbers() == running.confirmed == [1, 2, 3]


def test_a_store_that_hangs_holds_three_parts_and_no_more(running: Running) -> None:
    """One is written, one waits, one is routed; all others stay in the bounded inbox, as they came."""
    running.put(*range(1, 11))
    _until(lambda: running.collector._inbox.batches == 7)
    time.sleep(0.1)
    assert running.collector._inbox.batches == 7
    running.put(1, 2, 3)
    assert running.collector._inbox.batches == 7, "what is in hand is not queued again"
    running.gate.let(10)
    _until(lambda: len(running.confirmed) == 10)
    assert running.gate.numbers() == list(range(1, 11))


def test_a_part_that_fails_is_written_before_the_next(running: Running) -> None:
    """The same part again, until the store has it: nothing overtakes it."""
    running.gate.errors = [TransientError("gone")] * 3
    running.put(1, 2)
    running.gate.let(5)
    _until(lambda: len(running.confirmed) == 2)
    assert running.gate.numbers() == [1, 2]


def test_a_registry_is_taken_over_while_the_store_hangs(running: Running) -> None:
    """Whoever sends SIGHUP sees it done, though nothing can be written."""
    before = running.collector._registry
    running.put(*range(1, 5))
    _until(lambda: running.collector._inbox.batches == 1)
    running.collector.ask_reload()
    _until(lambda: running.collector._registry is not before)
    assert running.gate.written == []


def test_a_stop_finishes_what_is_being_written_and_drops_the_rest(running: Running) -> None:
    """The one that the store is asked about is confirmed; what waits behind it is neither written nor confirmed."""
    running.put(1, 2, 3, 4)
    assert running.gate.asked.acquire(timeout=SOON_S)
    _until(lambda: running.collector._inbox.batches == 1)
    running.end()
    assert running.confirmed == running.gate.numbers() == [1]
