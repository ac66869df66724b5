"""What a store refuses, and what it does not answer."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

from base.errors import MessnetzError, TransientError
from cloud import writer as writers
from cloud.complaints import Complaints
from cloud.derived import Traces
from cloud.metrics import Metrics
from cloud.opening import Routed
from cloud.points import Point, Series
from cloud.stores.embedded import EmbeddedStore
from cloud.stores.interface import RejectedPointsError
from cloud.writer import Writer
from wire.batch import Header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cloud.stores.interface import Store

SERIES = Series.of("electricity", device="a")
BAD = 666.0


class Picky:
    """A store that refuses writes with a bad value in them, and keeps the rest in a real file."""

    def __init__(self, file: Path) -> None:
        self.kept = EmbeddedStore(file)
        self.kept.prepare()
        self.requests = 0
        self.refuses_letters_before_ns = 0
        self.errors: list[MessnetzError] = []

    def write(self, points: Sequence[Point]) -> None:
        """Fail by the script, refuse, or keep."""
        self.requests += 1
        if self.errors:
            raise self.errors.pop(0)
        for point in points:
            is_letter = point.series.measurement == "dead_letter"
            if BAD in point.fields.values() or (is_letter and point.time_ns < self.refuses_letters_before_ns):
                raise RejectedPointsError(f"field type conflict at {point.time_ns}")
        self.kept.write(points)

    def letters(self) -> list[Point]:
        """The dead letters."""
        return list(self.kept.series("dead_letter", -(2**62), 2**62))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Picky]:
    """A picky store."""
    made = Picky(tmp_path / "store.sqlite")
    yield made
    made.kept.close()


def _writer(store: Picky, monkeypatch: pytest.MonkeyPatch) -> Writer:
    plays: Store = store  # type: ignore[assignment] # the writer only writes
    made = Writer(plays, Complaints(logging.getLogger("cloud.test")), Metrics())
    monkeypatch.setattr(made._backoff, "_chance", lambda: 0.0)
    return made


@pytest.fixture
def writer(store: Picky, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """A writer into the picky store."""
    return _writer(store, monkeypatch)


def _batch(number: int, count: int, bad: Sequence[int] = (), gateway: str = "gw") -> Routed:
    points = [
        Point(SERIES, (number * 100_000 + i) * 10**6, {"active_power": BAD if i in bad else 1.0}) for i in range(count)
    ]
    return Routed(gateway, Header(1, "0" * 16, number, "zstd", 1_790_000_000_000, 0), points, Traces(), count, 0, 0)


def _bury_all(writer: Writer, *batches: Routed) -> list[int]:
    """Write, and bury what is refused; returns the numbers that may be confirmed."""
    stop = threading.Event()
    stored, refused = writer.write(batches, stop)
    buried = [batch for batch, error in refused if writer.bury(batch, error, stop)]
    return sorted(batch.header.number for batch in [*stored, *buried])


def test_only_the_bad_points_are_buried(store: Picky, writer: Writer) -> None:
    """Found in halves; every other point of its batch is stored, and every other batch."""
    confirmed = _bury_all(writer, *(_batch(n, 500, bad=[7, 8, 333] if n == 3 else ()) for n in range(1, 6)))
    assert confirmed == [1, 2, 3, 4, 5]
    assert len(list(store.kept.series("electricity", 0, 2**62))) == 5 * 500 - 3
    letters = store.letters()
    assert len(letters) == 3
    assert str(letters[0].fields["point"]).startswith("electricity,device=a active_power=666.0 ")
    assert "field type conflict" in str(letters[0].fields["reason"])
    assert store.requests < 80


def test_a_batch_that_comes_again_overwrites_its_own_letters(store: Picky, writer: Writer) -> None:
    """The same batch twice: the same letters once. Those of its neighbours stand beside them."""
    for _ in range(2):
        _bury_all(writer, _batch(1, 50, bad=[3, 4]), _batch(2, 50, bad=[3, 4]))
    assert len(store.letters()) == 4


def test_requests_are_bounded_and_nothing_is_lost(store: Picky, writer: Writer) -> None:
    """Where all is bad, what is undecided is buried whole: each point has a letter or is stored."""
    assert _bury_all(writer, _batch(1, 9_000, bad=range(0, 9_000, 2))) == [1]
    assert store.requests <= writers.MOST_REQUESTS + 2
    stored = {point.time_ns for point in store.kept.series("electricity", 0, 2**62)}
    letters = {int(str(point.fields["point"]).rpartition(" ")[2]) for point in store.letters()}
    assert len(stored | letters) == 9_000


def test_where_the_store_takes_no_old_days_letters_stand_at_now(store: Picky, writer: Writer) -> None:
    """Beyond its retention it refuses the letters, too, where the batch was sealed."""
    store.refuses_letters_before_ns = 1_790_000_000_000 * 10**6 + 10**15
    writer._clock = lambda: 1_795_000_000.0
    assert _bury_all(writer, _batch(1, 4, bad=[0])) == [1]
    assert [point.time_ns // 10**9 for point in store.letters()] == [1_795_000_000]


def test_without_its_letters_a_batch_is_not_confirmed(
    store: Picky, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its gateway keeps it, and the log says so."""
    store.refuses_letters_before_ns = 2**62
    assert _bury_all(writer, _batch(1, 4, bad=[0]), _batch(2, 4)) == [2]
    assert "gateway gw, not stored" in caplog.text


def test_a_whole_that_is_refused_for_its_size_alone_leaves_no_letter(
    store: Picky, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its halves are taken (413): nothing is dead."""
    write = store.write

    def small(points: Sequence[Point]) -> None:
        if len(points) > 60:
            raise RejectedPointsError("request entity too large")
        write(points)

    monkeypatch.setattr(store, "write", small)
    assert _bury_all(writer, _batch(1, 100)) == [1]
    assert store.letters() == []


def test_what_no_store_can_write_is_described_in_its_letter(store: Picky, writer: Writer) -> None:
    """Text that is none, and of any length: escaped, and cut."""
    point = Point(Series.of("unregistered", gateway="gw"), 10**18, {"unit": "\ud800" + "x" * 9_000, "value": 1.0})
    header = Header(1, "0" * 16, 1, "zstd", 1_790_000_000_000, 0)
    assert _bury_all(writer, Routed("gw", header, [point], Traces(), 1, 0, 1)) == [1]
    (letter,) = store.letters()
    assert str(letter.fields["point"]).startswith("unregistered,gateway=gw unit='\\ud800xxx")
    assert len(str(letter.fields["point"])) < 5_000


def test_retry_after_is_honoured_within_reason(store: Picky, writer: Writer) -> None:
    """As long as the store asks for, but no hour: and all the while its trouble can be seen."""
    waits: list[tuple[float, str]] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append((timeout or 0.0, writer.trouble))
            return False

    store.errors = [TransientError("busy", retry_after_s=7.0), TransientError("busy", retry_after_s=3600.0)]
    stored, _ = writer.write([_batch(1, 1)], Stop())
    assert len(stored) == 1
    assert waits == [(7.0, "busy"), (writers.MOST_WAIT_S, "busy")]
    assert writer.trouble == ""


def test_a_stop_ends_the_wait_for_a_store_that_is_gone(store: Picky, writer: Writer) -> None:
    """At once, and nothing of it counts as written."""
    stop = threading.Event()

    class Gone(list[MessnetzError]):
        def __bool__(self) -> bool:
            return True

        def pop(self, *_: object) -> MessnetzError:
            stop.set()
            return TransientError("gone")

    store.errors = Gone()
    assert writer.write([_batch(1, 1), _batch(2, 1)], stop) == ([], [])
    assert store.requests == 1
