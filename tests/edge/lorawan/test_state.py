"""What a network server must not forget, on disk."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from base.errors import PermanentError, TransientError
from edge.lorawan import state as states
from edge.lorawan.state import BLOCK, MOST_QUEUED, NewSession, NonceUsedError, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EUI, KEY = "a81758fffe0512ab", "0123456789abcdef"
NEW = NewSession(0x01020304, b"n" * 16, b"a" * 16)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the state is kept."""
    return tmp_path / "lorawan.sqlite"


@pytest.fixture
def state(file: Path) -> Iterator[State]:
    """An open one."""
    opened = State(file)
    yield opened
    opened.close()


def _on_disk(file: Path, query: str) -> list[tuple[object, ...]]:
    """Read it as another process would."""
    connection = sqlite3.connect(file)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_join_is_on_disk_when_it_returns(state: State, file: Path) -> None:
    """Nonce, join nonce and session: then the accept may be sent."""
    join_nonce, row = state.join(EUI, KEY, 7, lambda _: NEW)
    assert _on_disk(file, "SELECT last FROM join_nonce") == [(join_nonce,)]
    assert _on_disk(file, "SELECT nonce FROM dev_nonce") == [(7,)]
    assert _on_disk(file, "SELECT id, dev_addr, is_offered FROM session") == [(row.id, 0x01020304, 1)]


def test_a_join_that_cannot_be_made_uses_nothing_up(state: State, file: Path) -> None:
    """Both or neither."""

    def fail(_: int) -> NewSession:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        state.join(EUI, KEY, 7, fail)
    assert _on_disk(file, "SELECT * FROM dev_nonce") == []
    assert _on_disk(file, "SELECT * FROM join_nonce") == []


def test_a_nonce_counts_once_for_each_key(state: State) -> None:
    """Another key is another device."""
    state.join(EUI, KEY, 7, lambda _: NEW)
    with pytest.raises(NonceUsedError, match="7"):
        state.join(EUI, KEY, 7, lambda _: NEW)
    assert state.join(EUI, "another", 7, lambda _: NEW)
    assert state.join("0" * 16, KEY, 7, lambda _: NEW)


@pytest.mark.parametrize(("at_s", "nonce"), [(0.0, 1), (1_790_000_000.0, 1_432_213), (1e12, 1 << 23)])
def test_a_file_that_was_lost_keeps_no_device_out(tmp_path: Path, at_s: float, nonce: int) -> None:
    """Its join nonces begin above those of the file before it; where the clock does not know the time, with 1."""
    state = State(tmp_path / "new.sqlite", lambda: at_s)
    given = [state.join(EUI, KEY, dev_nonce, lambda _: NEW)[0] for dev_nonce in (7, 8)]
    state.close()
    assert given == [nonce, nonce + 1]


def test_an_uplink_counter_never_goes_back(state: State, file: Path) -> None:
    """Seals may be repeated, and come late; a run that began anew is later than any number of the one before."""
    row = state.keep_abp(EUI, KEY, NEW)
    for run, f_cnt in ((0, 5), (0, 4), (0, 5), (1, 0), (0, 9)):
        state.sealed(row.id, EUI, run, f_cnt)
    assert _on_disk(file, "SELECT run, f_cnt_up FROM session") == [(1, 0)]


def test_what_the_disk_refused_is_committed_with_the_next(
    state: State, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile whoever waits is refused at once, and not each after the time that a lock takes."""
    monkeypatch.setattr(states, "REST_S", 3600.0)
    session = state.join(EUI, KEY, 1, lambda _: NEW)[1].id
    holder = sqlite3.connect(file, isolation_level=None)
    state._connection.execute("PRAGMA busy_timeout = 1")
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="locked"):
        state.sealed(session, EUI, 0, 1)
    holder.execute("ROLLBACK")
    holder.close()
    with pytest.raises(TransientError, match="just now"):
        state.sealed(session, EUI, 0, 7)
    state._ill_until_s = 0.0
    state.sealed(session, EUI, 0, 1)
    state.sealed(session, EUI, 0, 7)
    assert _on_disk(file, "SELECT f_cnt_up FROM session") == [(7,)]


def test_what_is_sealed_in_a_new_session_ends_the_old_one(state: State) -> None:
    """Until then both hold; and one that was offered and never used is replaced by the next."""
    first = state.join(EUI, KEY, 1, lambda _: NEW)[1]
    state.sealed(first.id, EUI, 0, 0)
    state.join(EUI, KEY, 2, lambda _: NEW)
    third = state.join(EUI, KEY, 3, lambda _: NEW)[1]
    assert [row.id for row in state.sessions()] == [first.id, third.id]
    state.sealed(third.id, EUI, 0, 0)
    assert [row.id for row in state.sessions()] == [third.id]


def test_downlink_counters_are_reserved_before_they_are_used(state: State, file: Path) -> None:
    """Given back by who ends in peace; not by who was overtaken."""
    row = state.keep_abp(EUI, KEY, NEW)
    assert state.reserve(row.id) == range(BLOCK)
    assert _on_disk(file, "SELECT f_cnt_down FROM session") == [(BLOCK,)]
    state.give_back(row.id, 3, BLOCK)
    assert state.reserve(row.id) == range(3, 3 + BLOCK)
    state.give_back(row.id, 1, BLOCK)
    assert state.reserve(row.id).start == 3 + BLOCK


def test_downlinks_wait_and_are_bounded(state: State) -> None:
    """What became of the last ones is kept for a while."""
    queued = [state.queue(EUI, 1, b"x", is_confirmed=False) for _ in range(MOST_QUEUED)]
    with pytest.raises(PermanentError, match="16 downlinks wait"):
        state.queue(EUI, 1, b"x", is_confirmed=False)
    for each in queued:
        state.update(each._replace(state="sent", tries=1))
    for _ in range(3):
        state.queue(EUI, 1, b"y", is_confirmed=True)
    kept = state.downlinks()
    assert len(kept) == states.KEEP_DOWNLINKS
    assert [each.state for each in kept[-4:]] == ["sent", "queued", "queued", "queued"]


def test_a_device_without_join_keeps_its_session(file: Path) -> None:
    """Across restarts, with its counters."""
    state = State(file)
    row = state.keep_abp(EUI, KEY, NEW)
    state.sealed(row.id, EUI, 0, 41)
    state.close()
    again = State(file)
    assert again.keep_abp(EUI, KEY, NEW) == row._replace(f_cnt_up=41)
    again.close()


def test_only_its_owner_reads_the_file(state: State, file: Path) -> None:
    """It holds keys; so do the files that SQLite keeps beside it."""
    state.keep_abp(EUI, KEY, NEW)
    assert {path.stat().st_mode & 0o077 for path in file.parent.iterdir()} == {0}
    assert "n" * 16 not in repr(NEW) + repr(state.sessions())


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    """The bus tries again later."""
    with pytest.raises(TransientError, match="No such file"):
        State(tmp_path / "none" / "lorawan.sqlite").close()


def test_the_state_of_a_newer_release_is_left_alone(file: Path) -> None:
    """After a step back; nothing of it is lost."""
    State(file).close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(PermanentError, match="newer release"):
        State(file)
    assert _on_disk(file, "PRAGMA user_version") == [(99,)]
