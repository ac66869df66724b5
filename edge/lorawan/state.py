"""What a network server must not forget: sessions, counters, used nonces, waiting downlinks; one SQLite file.

Everything that an attacker could use a second time is committed before its effect: a nonce and a session before the
join accept is sent, a block of downlink counters before its first one is used. An uplink counter is committed just
before the readings of its frame are sealed: a frame that was sealed is never taken again, and one that was not is taken
once more.

Calls come from the event loop's helpers and from the spool's thread, and also after the bus was closed: the last seal
comes later. A lock for each file lets one in at a time. The file holds session keys: its mode is 0600.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from base.errors import MessnetzError, PermanentError, TransientError
from base.sqlite import CorruptError, transaction, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)
_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
"""By path: a bus that is opened anew while the last one's frames are sealed has a connection of its own."""
_taken: defaultdict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
"""By path and session: run and counter of the last frame that this process took. A bus that is opened anew must not
take it again while it waits for its seal; another process does."""

SCHEMA = 1
REST_S = 5.0
"""How long a file that could not be written is left alone when frames are to be sealed."""
BLOCK = 16
"""Downlink counters that are reserved at once; as many are skipped by a crash."""
MOST_JOINS = 1 << 24
NONCES_SINCE_S = 1_704_067_200
"""2024-01-01. Join nonces of a device begin with the minutes since then ..."""
HIGHEST_FIRST_NONCE = 1 << 23
"""... and no higher."""
KEEP_DOWNLINKS = 16
"""Of each device: what became of the last ones."""
MOST_QUEUED = 16
_TABLES = """
CREATE TABLE session (
    id INTEGER PRIMARY KEY AUTOINCREMENT, dev_eui TEXT NOT NULL, key_id TEXT NOT NULL, dev_addr INTEGER NOT NULL,
    nwk_s_key BLOB NOT NULL, app_s_key BLOB NOT NULL, is_abp INTEGER NOT NULL, is_offered INTEGER NOT NULL,
    f_cnt_up INTEGER, run INTEGER NOT NULL DEFAULT 0, f_cnt_down INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE dev_nonce (
    dev_eui TEXT NOT NULL, key_id TEXT NOT NULL, nonce INTEGER NOT NULL, PRIMARY KEY (dev_eui, key_id, nonce)
) WITHOUT ROWID;
CREATE TABLE join_nonce (dev_eui TEXT NOT NULL, key_id TEXT NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (dev_eui, key_id)) WITHOUT ROWID;
CREATE TABLE downlink (
    id INTEGER PRIMARY KEY AUTOINCREMENT, dev_eui TEXT NOT NULL, port INTEGER NOT NULL, payload BLOB NOT NULL,
    is_confirmed INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'queued', tries INTEGER NOT NULL DEFAULT 0
);
"""
_SESSION = "id, dev_eui, key_id, dev_addr, nwk_s_key, app_s_key, is_abp, is_offered, f_cnt_up, run, f_cnt_down"
_DOWNLINK = "id, dev_eui, port, payload, is_confirmed, state, tries"


class NonceUsedError(PermanentError):
    """A join request with a nonce that the device has used before: a recorded one, or a device that forgets."""


class Row(NamedTuple):
    """A session as it is on disk."""

    id: int
    dev_eui: str
    key_id: str
    dev_addr: int
    nwk_s_key: bytes
    app_s_key: bytes
    is_abp: int
    is_offered: int
    """A join accept was sent, and nothing was heard in the session yet: the one before it still holds."""
    f_cnt_up: int | None
    """The last counter whose frame was sealed."""
    run: int
    """How often the device was let begin to count anew."""
    f_cnt_down: int
    """The first counter that was never reserved."""

    def __repr__(self) -> str:
        return f"Row({self.id}, {self.dev_eui})"


class Downlink(NamedTuple):
    """What waits for a device, or what became of it."""

    id: int
    dev_eui: str
    port: int
    payload: bytes
    is_confirmed: int
    state: str
    """`queued`, `sent` (a confirmed one waits for the device's word), `acknowledged`, `failed`."""
    tries: int


class NewSession(NamedTuple):
    """A session to be kept."""

    dev_addr: int
    nwk_s_key: bytes
    app_s_key: bytes

    def __repr__(self) -> str:
        return f"NewSession({self.dev_addr:08x})"


def key_id(*secrets: bytes) -> str:
    """Return what tells one key from another without being it; another key is another device."""
    return hashlib.sha256(b"messnetz lorawan\0" + b"\0".join(secrets)).hexdigest()[:16]


class State:
    """The open file.

    Raises, from every call: TransientError where the disk does not let it; PermanentError where the file is damaged.
    """

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        """Open the file, or make it. One that is damaged is moved aside: devices have to join anew.

        `wall` has the time (Unix, seconds).

        Raises: TransientError where it cannot be opened.
        """
        self._path, self._wall = path, wall
        self._lock = _locks[str(path)]
        self._is_closed = False
        self._owed: dict[int, tuple[int, int, str]] = {}
        """By session: run, counter and device of the last frame that is to be committed."""
        self._committed: dict[int, tuple[int, int]] = {}
        self._ill_until_s = 0.0
        with self._lock:
            try:
                self._connection = self._open()
            except CorruptError as error:
                self._start_anew(error)

    def _start_anew(self, error: CorruptError) -> None:
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
        logger.error(
            "%s; moved to %s. Devices with OTAA must join anew; of ABP devices the counters are forgotten",
            error,
            aside.name,
        )
        self._move_aside(aside)
        self._connection = self._open()

    def _move_aside(self, aside: Path) -> None:
        with translated(self._path):
            self._path.rename(aside)
            for end in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    self._path.with_name(self._path.name + end).rename(aside.with_name(aside.name + end))

    def _open(self) -> sqlite3.Connection:
        with translated(self._path):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5.0)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                self._check(connection)
                self._migrate(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise CorruptError(f"{self._path} is no sound SQLite file")

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise PermanentError(f"{self._path} is of a newer release (schema {version}; this one knows {SCHEMA})")
        if version == 0:
            with transaction(connection):
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self._path):
            connection = self._open() if self._is_closed else self._connection
            try:
                with transaction(connection):
                    yield connection
            finally:
                if self._is_closed:
                    connection.close()

    def _rows(self, query: str) -> list[tuple[object, ...]]:
        with self._lock, translated(self._path):
            return self._connection.execute(query).fetchall()

    def close(self) -> None:
        """Close the file; a call that comes later opens it for itself."""
        with self._lock, translated(self._path):
            self._is_closed = True
            self._connection.close()

    def sessions(self) -> list[Row]:
        """Return all sessions, the oldest of each device first."""
        rows = self._rows(f"SELECT {_SESSION} FROM session ORDER BY id")  # noqa: S608 - our own words
        return [self._as_taken(Row(*row)) for row in rows]  # type: ignore[arg-type]

    def _as_taken(self, row: Row) -> Row:
        run, f_cnt = _taken[str(self._path)].get(row.id, (-1, -1))
        if (run, f_cnt) <= (row.run, -1 if row.f_cnt_up is None else row.f_cnt_up):
            return row
        return row._replace(run=run, f_cnt_up=f_cnt, is_offered=0)

    def taken(self, session: int, run: int, f_cnt: int) -> None:
        """Note that a frame was taken; nothing is written, for it may yet be lost with this process."""
        _taken[str(self._path)][session] = (run, f_cnt)

    def forget(self, session: int) -> None:
        """Forget a session: of a device that is gone, or of a key that was replaced."""
        with self._writing() as connection:
            connection.execute("DELETE FROM session WHERE id = ?", (session,))

    def keep_abp(self, dev_eui: str, key: str, new: NewSession) -> Row:
        """Keep the session of a device that never joins; where it is known already, as it is."""
        with self._writing() as connection:
            known = connection.execute(
                f"SELECT {_SESSION} FROM session WHERE dev_eui = ? AND key_id = ? AND is_abp",  # noqa: S608 - as above
                (dev_eui, key),
            ).fetchone()
            return Row(*known) if known else self._insert(connection, dev_eui, key, new, is_abp=True)

    def join(self, dev_eui: str, key: str, dev_nonce: int, make: Callable[[int], NewSession]) -> tuple[int, Row]:
        """Use a nonce up, and keep the session that `make` makes of the join nonce; both or neither.

        Returns: the join nonce and the session; one that was offered before and never used is replaced.
        Raises: NonceUsedError where the device has used the nonce before; PermanentError where it has joined sixteen
        million times.
        """
        with self._writing() as connection:
            try:
                connection.execute("INSERT INTO dev_nonce VALUES (?, ?, ?)", (dev_eui, key, dev_nonce))
            except sqlite3.IntegrityError as error:
                raise NonceUsedError(f"device {dev_eui} has used the nonce {dev_nonce} before") from error
            last = connection.execute(
                "SELECT last FROM join_nonce WHERE dev_eui = ? AND key_id = ?", (dev_eui, key)
            ).fetchone()
            join_nonce = last[0] + 1 if last else self._first_nonce()
            if join_nonce >= MOST_JOINS:
                raise PermanentError(f"device {dev_eui} has joined too often; give it another app_key")
            connection.execute("INSERT OR REPLACE INTO join_nonce VALUES (?, ?, ?)", (dev_eui, key, join_nonce))
            connection.execute("DELETE FROM session WHERE dev_eui = ? AND is_offered", (dev_eui,))
            return join_nonce, self._insert(connection, dev_eui, key, make(join_nonce), is_abp=False)

    def _first_nonce(self) -> int:
        """Return a join nonce above all that the device was ever given, here or by another network.

        From 1.0.4 on devices take no lower one: were the file lost, they would never join again.
        """
        return min(max(1, int(self._wall() - NONCES_SINCE_S) // 60), HIGHEST_FIRST_NONCE)

    @staticmethod
    def _insert(connection: sqlite3.Connection, dev_eui: str, key: str, new: NewSession, *, is_abp: bool) -> Row:
        (row,) = connection.execute(
            "INSERT INTO session (dev_eui, key_id, dev_addr, nwk_s_key, app_s_key, is_abp, is_offered)"  # noqa: S608
            f" VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING {_SESSION}",
            (dev_eui, key, new.dev_addr, new.nwk_s_key, new.app_s_key, is_abp, not is_abp),
        ).fetchall()
        return Row(*row)

    def sealed(self, session: int, dev_eui: str, run: int, f_cnt: int) -> None:
        """Commit that a frame is about to be sealed: from now on neither it nor one before it is taken.

        Whatever was heard in a session ends those of the device before it. Calls may come late and twice. Where the
        disk did not let it, the next call does it too, and calls soon after fail at once: many may wait for it.
        """
        with self._lock:
            if (run, f_cnt) <= self._committed.get(session, (-1, -1)):
                return
            self._owed[session] = max(self._owed.get(session, (-1, -1, "")), (run, f_cnt, dev_eui))
            if time.monotonic() < self._ill_until_s:
                raise TransientError(f"{self._path} takes nothing just now")
            try:
                self._commit_owed()
            except MessnetzError:
                self._ill_until_s = time.monotonic() + REST_S
                raise

    def _commit_owed(self) -> None:
        owed = dict(self._owed)
        with self._writing() as connection:
            for session, (run, f_cnt, dev_eui) in owed.items():
                connection.execute(
                    "UPDATE session SET run = ?, f_cnt_up = ?, is_offered = 0"
                    " WHERE id = ? AND (run < ? OR (run = ? AND coalesce(f_cnt_up, -1) < ?))",
                    (run, f_cnt, session, run, run, f_cnt),
                )
                connection.execute(
                    "DELETE FROM session WHERE dev_eui = ? AND id < ? AND NOT is_abp", (dev_eui, session)
                )
        self._owed.clear()
        self._committed.update((session, (run, f_cnt)) for session, (run, f_cnt, _) in owed.items())

    def reserve(self, session: int) -> range:
        """Reserve the next downlink counters: they are used up, whatever happens."""
        with self._writing() as connection:
            found = connection.execute(
                "UPDATE session SET f_cnt_down = f_cnt_down + ? WHERE id = ? RETURNING f_cnt_down", (BLOCK, session)
            ).fetchall()
            if not found:
                raise PermanentError("a session that is gone")
            (end,) = found[0]
            return range(end - BLOCK, end)

    def give_back(self, session: int, first: int, end: int) -> None:
        """Say that the counters from `first` on were never used; only where nothing was reserved since."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE session SET f_cnt_down = ? WHERE id = ? AND f_cnt_down = ?", (first, session, end)
            )

    def queue(self, dev_eui: str, port: int, payload: bytes, *, is_confirmed: bool) -> Downlink:
        """Keep a downlink until the device listens.

        Raises: PermanentError where too many wait for it.
        """
        with self._writing() as connection:
            (waiting,) = connection.execute(
                "SELECT count(*) FROM downlink WHERE dev_eui = ? AND state = 'queued'", (dev_eui,)
            ).fetchone()
            if waiting >= MOST_QUEUED:
                raise PermanentError(f"{waiting} downlinks wait for the device already")
            (row,) = connection.execute(
                "INSERT INTO downlink (dev_eui, port, payload, is_confirmed) VALUES (?, ?, ?, ?)"  # noqa: S608
                f" RETURNING {_DOWNLINK}",
                (dev_eui, port, payload, is_confirmed),
            ).fetchall()
            connection.execute(
                "DELETE FROM downlink WHERE dev_eui = ? AND state != 'queued' AND id <= ?",
                (dev_eui, row[0] - KEEP_DOWNLINKS),
            )
            return Downlink(*row)

    def downlinks(self) -> list[Downlink]:
        """Return all downlinks that wait, and what became of the last ones, the oldest first."""
        rows = self._rows(f"SELECT {_DOWNLINK} FROM downlink ORDER BY id")  # noqa: S608 - as above
        return [Downlink(*row) for row in rows]  # type: ignore[arg-type]

    def update(self, downlink: Downlink) -> None:
        """Keep what became of a downlink."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE downlink SET state = ?, tries = ? WHERE id = ?", (downlink.state, downlink.tries, downlink.id)
            )
