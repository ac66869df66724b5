from __future__ import annotations

import fcntl
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from base.errors import PermanentError, TransientError
from cloud.points import Point, Series
from cloud.stores import sqlite_file
from cloud.stores.embedded import EmbeddedStore
from cloud.stores.interface import RejectedPointsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]
METER = Series.of("electricity", device="meter-1")
ALL = (-(2**63), 2**63)

WRITER = """
import itertools, pathlib, sys
from cloud.points import Point, Series
from cloud.stores.embedded import EmbeddedStore

store = EmbeddedStore(pathlib.Path(sys.argv[1]))
store.prepare()
series = [Series.of("electricity", device=f"{sys.argv[2]}-{number}") for number in range(3)]
for number in itertools.count() if sys.argv[3] == "for ever" else range(int(sys.argv[3])):
    store.write([Point(one, number, {"v": float(number)}) for one in series])
    print(number, flush=True)
store.close()
"""


@contextmanager
def writer(file: Path, name: str = "w", count: str = "for ever") -> Iterator[subprocess.Popen[str]]:
    """A process that writes point after point and says each number once its write has returned."""
    command = [sys.executable, "-c", WRITER, str(file), name, count]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str], at_least: int) -> int:
    """Wait until the process has said a number that great; returns it."""
    assert process.stdout is not None
    return next(number for line in process.stdout if (number := int(line)) >= at_least)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the store shall be."""
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(file: Path) -> Iterator[EmbeddedStore]:
    """An empty store, open."""
    store = EmbeddedStore(file)
    store.prepare()
    yield store
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("writes", [1, 40, 200])
def test_a_killed_writer_has_lost_nothing_that_it_reported(file: Path, writes: int) -> None:
    """Kill -9 between or within writes: whatever write() returned for is there, and each write whole or not at all."""
    with writer(file) as process:
        reported = said(process, writes - 1)
        process.kill()
        process.wait()

    with closing(sqlite3.connect(file)) as second:
        stored = second.execute("SELECT series, time_ns, json_extract(fields, '$.v') FROM point").fetchall()
        health = second.execute("PRAGMA integrity_check").fetchone()

    by_time: dict[int, set[int]] = {}
    for series, time_ns, value in stored:
        assert value == time_ns
        by_time.setdefault(time_ns, set()).add(series)
    assert sorted(by_time) == list(range(len(by_time)))
    assert len(by_time) > reported
    assert {len(series) for series in by_time.values()} == {3}
    assert health == ("ok",)


@pytest.mark.slow
def test_a_store_goes_on_after_a_kill(file: Path) -> None:
    """The next process opens the file as if nothing had been, writes and reads."""
    with writer(file) as process:
        reported = said(process, 20)
        process.kill()
        process.wait()
    store = EmbeddedStore(file)
    store.prepare()

    store.write([Point(METER, 10**9, {"v": 1.0})])

    points = list(store.series("electricity", *ALL))
    store.close()
    assert points[-1] == Point(METER, 10**9, {"v": 1.0})
    assert len(points) > 3 * reported


@pytest.mark.slow
def test_a_reader_sees_what_another_process_writes(file: Path) -> None:
    """Read again and again while the other writes: always a whole and growing past, never an error."""
    with writer(file) as process:
        lengths = [0]
        for _ in range(5):
            reported = said(process, lengths[-1])  # more than was read before
            reader = EmbeddedStore(file)
            reader.prepare()
            times = [point.time_ns for point in reader.series("electricity", *ALL, {"device": "w-0"})]
            reader.close()
            assert times == list(range(len(times)))
            assert len(times) > reported
            lengths.append(len(times))

    assert len(lengths) == 6
    assert lengths == sorted(set(lengths))


@pytest.mark.slow
def test_two_processes_may_write(file: Path) -> None:
    """An import beside a running collector: they take turns, and nothing of either is lost."""
    with writer(file, "a", "60") as first, writer(file, "b", "60") as second:
        assert said(first, 59) == said(second, 59) == 59
        assert first.wait() == second.wait() == 0

    store = EmbeddedStore(file)
    store.prepare()
    found = [
        len(list(store.series("electricity", *ALL, {"device": d}))) for d in store.tag_values("electricity", "device")
    ]
    store.close()
    assert found == [60] * 6


def test_threads_may_share_a_store(store: EmbeddedStore) -> None:
    """A collector writes while its watchdog reads and writes."""
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(50):
                store.write([Point(Series.of("m", device=name), number, {"v": 1.0})])
                assert len(list(store.series("m", *ALL, {"device": name}))) == number + 1
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(list(store.series("m", *ALL))) == 200


def test_a_second_connection_reads_what_was_written(store: EmbeddedStore, file: Path) -> None:
    """On disk when write returns: WAL, and fsync at every commit."""
    store.write([Point(METER, 5, {"v": 1.5, "s": "ä"})])

    with closing(sqlite3.connect(file)) as second:
        rows = second.execute(
            "SELECT measurement, tags, time_ns, fields FROM point JOIN series ON id = series"
        ).fetchall()
        journal = second.execute("PRAGMA journal_mode").fetchone()

    assert rows == [("electricity", '{"device":"meter-1"}', 5, '{"v":1.5,"s":"ä"}')]
    assert journal == ("wal",)
    assert store._file.select("PRAGMA synchronous") == [(2,)]  # FULL


def test_a_write_is_whole_or_not_at_all(store: EmbeddedStore) -> None:
    """One bad point among good ones: none is stored."""
    with pytest.raises(RejectedPointsError):
        store.write([Point(METER, 1, {"v": 1.0}), Point(Series.of("bad", site="\n"), 2, {"v": 1.0})])

    assert store.measurements() == []


def test_a_full_disk_costs_nothing_but_time(store: EmbeddedStore) -> None:
    """The write fails as transient and leaves nothing; once there is room, the same write goes through."""
    points = [Point(Series.of("m", device=f"d{number}"), number, {"v": 1.0, "s": "x" * 200}) for number in range(500)]
    pages = store._file.select("PRAGMA page_count")[0][0]
    store._file.select(f"PRAGMA max_page_count = {pages + 5}")

    with pytest.raises(TransientError, match="full") as caught:
        store.write(points)
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert store.measurements() == []

    store._file.select("PRAGMA max_page_count = 100000")
    store.write(points)
    assert list(store.series("m", *ALL)) == points


def test_a_lock_that_is_never_released_is_transient(
    store: EmbeddedStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is bounded, the error says why, and afterwards all is well."""
    monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT_S", 0.05)
    with file.with_name("store.sqlite.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TransientError, match="locked"):
            store.write([Point(METER, 1, {"v": 1.0})])
        assert list(store.series("electricity", *ALL)) == []

    store.write([Point(METER, 1, {"v": 1.0})])
    assert len(list(store.series("electricity", *ALL))) == 1


def foreign(file: Path) -> None:
    """Another program's database."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def newer(file: Path) -> None:
    """A later release's store."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")


def rubbish(file: Path) -> None:
    """No database at all."""
    file.write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(foreign, "none of ours"), (newer, "newer release"), (rubbish, "no sound"), (Path.mkdir, "unable")],
)
def test_a_file_that_is_no_store_is_refused(file: Path, spoil: Callable[[Path], None], message: str) -> None:
    """A person must act: say what is wrong, and touch nothing."""
    spoil(file)
    before = file.read_bytes() if file.is_file() else b""
    store = EmbeddedStore(file)

    with pytest.raises(PermanentError, match=message):
        store.prepare()

    assert (file.read_bytes() if file.is_file() else b"") == before


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file where a directory should be."""
    (tmp_path / "town").write_text("a file")

    with pytest.raises(PermanentError):
        EmbeddedStore(tmp_path / "town" / "store.sqlite").prepare()


def test_a_damaged_file_is_named_when_it_is_read(store: EmbeddedStore, file: Path) -> None:
    """Corruption is permanent and says which file it is."""
    store.write([Point(Series.of("m", device=f"d{number}"), number, {"v": 1.0}) for number in range(2000)])
    store.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    damaged = EmbeddedStore(file)
    damaged.prepare()

    with pytest.raises(PermanentError, match=r"store\.sqlite is no sound SQLite file"):
        list(damaged.series("m", *ALL))
    damaged.close()


def test_a_store_must_be_prepared(file: Path) -> None:
    """Forgetting it is a fault in our program, and no reason to wait or to retry."""
    with pytest.raises(RuntimeError, match="prepare"):
        EmbeddedStore(file).measurements()
