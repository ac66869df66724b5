"""The spool: sealed batches on disk, until the collector has confirmed them, and a while longer.

One SQLite file, one process, one connection, one thread. Explicit transactions only; `synchronous=FULL`, so
that a sealed batch survives a power cut. A batch is known by its stream and number; numbers are never used
twice (AUTOINCREMENT), streams are one per start of the agent. See docs/spool.md.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from base.build_date import BUILT_AT_MS
from base.errors import MessnetzError, PermanentError, TransientError
from base.retry import Backoff
from base.sqlite import CorruptError, DiskError, FullError, transaction, translated
from gateway import alive, batch_table, boots, clock, eviction, gap_table, rescue, spool_file, spool_log
from gateway.alive import Alive
from gateway.disk_room import Room, ShortError
from gateway.eviction import DAMAGED, Choice, Gone
from gateway.last_read import last_read
from gateway.spool_file import LockedError
from gateway.spool_records import DAY_MS, EARLIEST_MS, Limits, SealedBatch, Settled, Totals
from gateway.spool_schema import CONFIRMED, PAGE_BYTES, REJECTED, UNPLACED, WAITING
from wire import gaps as wire_gaps
from wire.gaps import Gap
from wire.ids import is_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from gateway.stamps import Past, Timing
    from wire.readings import Sample

__all__ = ["Gone", "Limits", "LockedError", "SealedBatch", "Settled", "Spool", "Totals", "read_totals"]
T = TypeVar("T")
logger = logging.getLogger(__name__)

ALIVE_MS = 600_000
"""How often an agent that has nothing to seal writes down that it runs."""
EXPIRE_MS = 3_600_000
"""How often batches whose time is over are let go of: many at once cost the disk less than each by itself."""
STEP_BATCHES = 128
"""Most batches let go of in one transaction."""
MAX_STEPS = 16
"""Most such transactions after one seal; the next one goes on."""
MAX_AGED_BATCHES = 16
"""Most waiting batches that one seal lets go of for their age: a clock that is years ahead for an hour costs little."""
LOG_FRAMES = 1000
RESCUE_AFTER = 6
"""So many failures to read in a row, where the disk can be written, are damage: a bad sector does not heal."""
_UNREADABLE = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
"""The last is what SQLite makes of EIO."""
_UNWRITABLE = {
    *(sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_TRUNCATE),
    *(sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP),
}
"""What SQLite says of a full disk too, where it does not call it full."""


class Spool:
    """The spool of this process. Every method belongs to the thread that made it.

    Where the file cannot be opened yet, each call tries again; a damaged one is replaced (see `rescue`).

    Raises: LockedError where another agent has it (also when made); all methods TransientError where the disk is
    full, busy, read-only or failing: the transaction has not happened, and nothing that was sealed is lost.
    """

    def __init__(  # noqa: PLR0913 - all but the path have a default
        self,
        path: Path,
        *,
        keep_confirmed_ms: int = 7 * DAY_MS,
        limits: Limits | None = None,
        devices: Iterable[str] = (),
        boot: str = "",
        now_ms: Callable[[], int] = clock.now_ms,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        """`boot` tells this start of the machine from others; `now_ms` says what time it is, or was at the least.

        `on_turn` hears on the spool's thread, already while this object is made, whenever a rescue came on a bit.
        """
        self.path = path
        self.stream = secrets.token_hex(8)
        self._keep_confirmed_ms = keep_confirmed_ms
        self._limits = limits or Limits()
        self._room = Room(path, self._limits)
        self._devices = set(devices)
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._witness: int | None = None
        """The open file once more: the kernel tells each opening once what it could not write."""
        self._boot = boot
        self._boot_number: int | None = None
        self._timing: tuple[Timing, Timing] | None = None
        """What was kept last, and with which placing."""
        self._has_estimated = False
        self.now_ms = now_ms
        """Says what time it is, or was at the least; on any thread."""
        self.may_place = True
        """Whether batches without a time may be there that could have it now."""
        self._alive = Alive()
        self._has_gaps = False
        self._expired_at_ms: int | None = None
        self._failures = 0
        self._counted: tuple[int, Totals] | None = None
        self._tidying = Backoff(f"{path}: making room", logger)
        self._on_turn = on_turn
        self.turned_at_s = time.monotonic()
        """When a rescue last came on a bit (monotonic): whoever waits for the spool meanwhile does not hang."""
        self.rescued_since_s: float | None = None
        """Since when a rescue runs (monotonic), for other threads; None where none does."""
        try:
            self._do(lambda _: None)
        except LockedError:
            raise
        except MessnetzError as error:
            logger.error("%s; readings stay in memory until the spool can be opened", error)  # noqa: TRY400 - expected

    def close(self) -> None:
        """Close the file and let go of it."""
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def seal(
        self,
        batches: Sequence[Sequence[Sample]],
        settled: Settled,
        now_ms: int,
        *,
        gaps: Sequence[Gap] = (),
        in_flight: Collection[int] = (),
        boot_ms: int | None = None,
    ) -> list[int]:
        """Commit batches to disk, mark what was settled, and seal what gaps there are, in one transaction.

        What a limit then forces out is let go of, those in flight last. Returns the numbers of the batches.
        `boot_ms`: nobody knows the time yet; it is so long after the machine's start, and from there the times of
        batches and gaps count. Such batches are sent when they have their time (`place`).

        Raises: FullError where the disk has no room, or less than must stay free.
        """
        rows = [boots.row_of(samples) for samples in batches]
        at_ms = now_ms if boot_ms is None else boot_ms
        state = WAITING if boot_ms is None else UNPLACED

        def seal(db: sqlite3.Connection) -> list[int]:
            if not (rows or settled or gaps or self._has_gaps):
                if boot_ms is None:
                    self._stay_alive(db, now_ms)
                return []
            self._estimate(db)
            if self._room.is_short:
                self._make_room(db, settled, now_ms)
            devices = {sample.device for samples in batches for sample in samples} - self._devices
            with transaction(db):
                db.executemany("INSERT OR IGNORE INTO device VALUES (?)", [(name,) for name in devices])
                boot = None if boot_ms is None else self._registered(db)
                numbers = [batch_table.insert(db, self.stream, row, at_ms, state) for row in rows]
                batch_table.mark(db, settled, now_ms)
                gap_table.add(db, gaps, boot)
                number = self._seal_gaps(db, now_ms) or max(numbers, default=self._alive.number)
            self._has_gaps = False
            self._devices |= devices
            if number != self._alive.number:
                self._alive = Alive(at_ms, number)
            return numbers

        numbers = self._do(seal)
        self._tidy(now_ms, in_flight)
        return numbers

    def past(self) -> Past:
        """Return what is known of this boot's time, and of the time before."""

        def recall(db: sqlite3.Connection) -> Past:
            self._estimate(db)
            return boots.past(db, self._boot)

        return self._do(recall)

    def keep_time(self, timing: Timing) -> Timing:
        """Write this boot's time down, before anything is sealed with it.

        Returns it with the placing that holds: the first one that was ever kept.
        """

        def keep(db: sqlite3.Connection) -> Timing:
            if self._timing is not None and self._timing[0] == timing:
                return self._timing[1]
            with transaction(db):
                kept = boots.keep(db, self._registered(db), timing)
            self._has_gaps = bool(gap_table.unsealed(db))
            if self._alive.at_ms is not None and self._alive.at_ms < EARLIEST_MS:
                self._alive.at_ms += kept.placing_ms
            self._timing = timing, kept
            self.may_place = True
            return kept

        return self._do(keep)

    def place(self, most: int, mark: Callable[[Sample], Sample] = lambda sample: sample) -> int:
        """Give so many batches their time, where their boot has one; `mark` is done with every sample of theirs.

        Returns how many were dealt with: 0 where there is none left.
        """

        def place(db: sqlite3.Connection) -> int:
            self._estimate(db)
            self.may_place = boots.has_placeable(db)
            if not self.may_place:
                return 0
            with transaction(db):
                placed = boots.place(db, most, self._devices, mark)
            self._has_gaps = bool(gap_table.unsealed(db))
            return placed

        return self._do(place)

    def mark(self, settled: Settled, now_ms: int) -> None:
        """Mark what was settled, where there is nothing to seal."""

        def mark(db: sqlite3.Connection) -> None:
            with transaction(db):
                batch_table.mark(db, settled, now_ms)

        self._do(mark)

    def next_to_send(self, limit: int, without: Collection[int] = (), *, newest: bool = False) -> list[SealedBatch]:
        """Return waiting batches, oldest (or newest) first, at most `limit`, those numbered in `without` left out.

        One that the disk has damaged is set aside as rejected: it is kept, never sent, and its gap recorded.
        """
        return self._do(lambda db: self._next(db, limit, without, newest=newest))

    def get(self, number: int) -> SealedBatch | None:
        """Return one batch, whatever its state; None where it is no longer kept."""
        return self._do(lambda db: eviction.read_batch(db, number))

    def resend(self, from_ms: int, to_ms: int) -> tuple[int, int]:
        """Put back to waiting what is kept and was settled in the time given, or has readings of that time.

        What was settled since the last seal is not marked yet: seal first. Returns how many batches and readings.
        """
        return self._do(lambda db: batch_table.resend(db, from_ms, to_ms))

    def evict(self, now_ms: int, in_flight: Collection[int] = ()) -> Gone:
        """Let go of what is over its time or over the quota, a bounded number of batches; those in flight last."""
        return self._do(lambda db: self._expire(db, now_ms, in_flight) + self._keep_quota(db, in_flight))

    def declare_stopped(self, devices: Iterable[str], at_ms: int) -> None:
        """Record that nothing was read since the last seal; nothing in a new spool, or where the clock went back.

        A device whose last sample is older than that seal was perhaps being read at that moment: its gap begins there.
        `at_ms` counts from the machine's start where there is no time.
        """

        def declare(db: sqlite3.Connection) -> None:
            self._estimate(db)
            since_ms, has_time = self._alive.at_ms, at_ms >= EARLIEST_MS
            if since_ms is None or (at_ms <= since_ms and has_time == (since_ms >= EARLIEST_MS)):
                return
            read_at_ms = last_read(db, since_ms)
            with transaction(db):
                boot = None if has_time else self._registered(db)
                for device in sorted(devices):
                    begin_ms = min(since_ms, read_at_ms.get(device, since_ms) + 1)
                    gap_table.add(db, [Gap(device, begin_ms, at_ms, "stopped")], boot)
                alive.write(db, Alive(at_ms, self._alive.number))
            self._alive.at_ms = at_ms
            self._devices.update(devices)
            self._has_gaps = True

        self._do(declare)

    def oldest_waiting_ms(self) -> int | None:
        """Return when the oldest waiting batch was sealed; None where none waits."""
        return self._do(batch_table.oldest_waiting_ms)

    def gaps(self) -> list[Gap]:
        """Return all gaps ever recorded."""
        return self._do(gap_table.recorded)

    def totals(self) -> Totals:
        """Count what was ever sealed, and what became of it."""

        def count(db: sqlite3.Connection) -> Totals:
            if self._counted is None or self._counted[0] != db.total_changes:
                self._counted = db.total_changes, Totals(**spool_file.count(db))
            return self._counted[1]

        return self._do(count)

    def _do(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation on the open file; on a new one where the file proves to be damaged."""
        try:
            try:
                return self._tried(operation)
            except CorruptError as error:
                self._rescue(error)
                return self._tried(operation)
        except CorruptError as error:
            raise TransientError(f"{error} (again)") from error

    def _tried(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with translated(self.path), self._full_said():
                result = operation(self._db)
        except ShortError:
            raise
        except FullError:
            self._room.release()
            self._relieve()
            raise
        except DiskError as error:
            self._failures += 1
            self._disconnect_failing()
            is_unreadable = self._failures >= RESCUE_AFTER and _code(error) in _UNREADABLE
            if is_unreadable and spool_file.can_write(self.path):
                self._failures = 0
                raise CorruptError(str(error)) from error
            raise
        self._failures = 0
        return result

    @contextmanager
    def _full_said(self) -> Iterator[None]:
        """Call a disk full on which nothing is free and something could not be written: then the ballast goes."""
        try:
            yield
        except (sqlite3.OperationalError, DiskError) as error:
            code = getattr(error, "sqlite_errorcode", None) or _code(error)
            if code in _UNWRITABLE and self._room.free_bytes() <= 0:
                raise FullError(f"{self.path}: no room on the disk ({error})") from error
            raise

    @property
    def _db(self) -> sqlite3.Connection:
        """The open file."""
        if self._connection is None:
            if self._lock is None:
                self._lock = spool_file.hold(self.path, fcntl.LOCK_EX)
            rescue.resume(self.path)
            self._connection = spool_file.connect(self.path)
            self._witness = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self._load(self._connection)
        return self._connection

    def _load(self, db: sqlite3.Connection) -> None:
        frames = min(LOG_FRAMES, max(32, self._room.quota_bytes // 8 // spool_log.FRAME_BYTES))
        db.execute(f"PRAGMA wal_autocheckpoint = {frames}").fetchall()
        db.execute(f"PRAGMA journal_size_limit = {2 * frames * spool_log.FRAME_BYTES}").fetchall()
        self._devices |= {name for (name,) in db.execute("SELECT name FROM device") if is_id(name)}
        self._has_gaps = bool(gap_table.unsealed(db))
        self._boot_number = self._timing = None
        self._has_estimated = False
        self.may_place = True
        self._alive = alive.read(db, self._boot)
        self._counted = None
        self._room.rebuild()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        witness, self._witness = self._witness, None
        try:
            if connection is not None:
                connection.close()
        finally:
            if witness is not None:
                os.close(witness)

    def _disconnect_failing(self) -> None:
        """Close the file on a disk that has failed, so that it is opened anew as it lies on the disk.

        Closing writes what of the log is not in the file yet; it must not do so over pages that exist in memory alone.
        """
        spool_file.forget(self.path)
        with suppress(sqlite3.Error):
            self._disconnect()
        spool_file.forget(self.path)

    def _rescue(self, error: CorruptError) -> None:
        logger.error("%s; what can be read is saved", error)
        self._disconnect()
        now_ms = self.now_ms()
        made_ms = round(os.fstat(self._lock).st_mtime * 1000) if self._lock is not None else 0
        oldest_ms = max(made_ms, now_ms - self._limits.keep_unconfirmed_ms)
        self._room.release()
        known = rescue.Known(frozenset(self._devices), self._alive.number, now_ms, oldest_ms)
        self._turn()
        self.rescued_since_s = time.monotonic()
        try:
            rescue.rescue(self.path, known, self._turn)
        finally:
            self.rescued_since_s = None

    def _turn(self) -> None:
        self.turned_at_s = time.monotonic()
        self._on_turn()

    def _registered(self, db: sqlite3.Connection) -> int:
        """Return the number of this boot, noted down; belongs into a transaction."""
        if self._boot_number is None:
            self._boot_number = boots.register(db, self._boot, self.stream)
        return self._boot_number

    def _estimate(self, db: sqlite3.Connection) -> None:
        """Give boots that ended without a time one."""
        if self._has_estimated:
            return
        if boots.needs_estimate(db, self._boot):
            with transaction(db):
                self._registered(db)
                boots.estimate(db, self._boot, BUILT_AT_MS)
            self._alive = alive.read(db, self._boot)
            self._has_gaps = bool(gap_table.unsealed(db))
        self._has_estimated = True

    def _seal_gaps(self, db: sqlite3.Connection, now_ms: int) -> int:
        """Seal every gap that is not; returns the last number used, 0 where there was none."""
        number = 0
        while found := gap_table.unsealed(db):
            samples = sorted((wire_gaps.sample(gap) for _, gap in found), key=lambda s: (s.measured_at_ms, s.device))
            number = batch_table.insert(db, self.stream, boots.row_of(samples), now_ms, is_gap=True)
            gap_table.sealed(db, [gap for gap, _ in found], number)
        return number

    def _stay_alive(self, db: sqlite3.Connection, now_ms: int) -> None:
        at_ms = self._alive.at_ms
        if at_ms is not None and not at_ms <= now_ms < at_ms + ALIVE_MS:
            now = Alive(now_ms, self._alive.number)
            with transaction(db):
                alive.write(db, now)
            self._alive = now

    def _next(self, db: sqlite3.Connection, limit: int, without: Collection[int], *, newest: bool) -> list[SealedBatch]:
        chosen = batch_table.waiting(db, limit, without, newest=newest)
        batches = {number: eviction.read_batch(db, number) for number in chosen}
        damaged = [number for number, batch in batches.items() if batch is None or not batch.is_sound]
        if damaged:
            logger.error("%s: batches %s are damaged on disk and set aside", self.path, damaged)
            self._set_aside(db, damaged)
        return [batch for number, batch in batches.items() if batch is not None and number not in damaged]

    def _set_aside(self, db: sqlite3.Connection, numbers: Iterable[int]) -> None:
        with transaction(db):
            for number in numbers:
                if not gap_table.seal_again(db, number):
                    gap_table.add(db, eviction.damaged(db, number, self._devices))
            batch_table.mark(db, Settled(rejected=dict.fromkeys(numbers, DAMAGED)), self.now_ms())
        self._has_gaps = True

    def _make_room(self, db: sqlite3.Connection, settled: Settled, now_ms: int) -> None:
        """Give up confirmed batches where the disk is short of room, and broken files moved aside.

        Raises: FullError where that is not enough.
        """
        with transaction(db):
            batch_table.mark(db, settled, now_ms)
        self._relieve()
        if self._room.is_short:
            rescue.prune(self.path, 0)
        if self._room.is_short:
            raise self._room.error()

    def _relieve(self) -> None:
        """Return to the file system what it can have: free pages first, then confirmed batches, oldest first."""
        for _ in range(2):
            try:
                with translated(self.path):
                    return self._shrink_under(self._connection)
            except FullError:  # not even the log can be written back: that is what the ballast is for
                self._room.release()
            except MessnetzError as error:
                return logger.warning("%s", error)
        return None

    def _shrink_under(self, db: sqlite3.Connection | None) -> None:
        if db is not None:
            spool_file.shrink(db)
            while self._room.is_short and self._let_go(db, Choice(CONFIRMED), STEP_BATCHES):
                spool_file.shrink(db)

    def _tidy(self, now_ms: int, in_flight: Collection[int]) -> None:
        """Keep the limits after a seal. A failure here must not look like one of the seal: it has happened."""
        try:
            with translated(self.path):
                db = self._db
                self._check_written()
                if self._expired_at_ms is None or not 0 <= now_ms - self._expired_at_ms < EXPIRE_MS:
                    self._expire(db, now_ms, in_flight)
                    self._expired_at_ms = now_ms
                self._keep_quota(db, in_flight)
                self._room.rebuild()
        except MessnetzError as error:
            if isinstance(error, DiskError):
                self._disconnect_failing()
            elif isinstance(error, CorruptError):
                self._disconnect()  # it is checked, and rescued, when it is opened for the next call
            self._tidying.failed(error)
        else:
            self._tidying.succeeded()

    def _check_written(self) -> None:
        """Learn whether the log could be written into the file: SQLite keeps it to itself, and would try in vain.

        Costs no write.
        """
        if self._witness is not None:
            os.fdatasync(self._witness)

    def _expire(self, db: sqlite3.Connection, now_ms: int, in_flight: Collection[int]) -> Gone:
        strange = "SELECT EXISTS (SELECT 1 FROM place WHERE state IN (?, ?) AND settled_at_ms = 0)"
        if db.execute(strange, (CONFIRMED, REJECTED)).fetchone()[0]:
            raise CorruptError(f"{self.path}: a batch that was confirmed or rejected, and by nobody")
        confirmed = Choice(CONFIRMED, now_ms - self._keep_confirmed_ms)
        gone = Gone()
        for _ in range(MAX_STEPS):
            found = self._let_go(db, confirmed, STEP_BATCHES)
            if not found:
                break
            gone += found
        too_old_ms = now_ms - self._limits.keep_unconfirmed_ms
        for choice in (Choice(REJECTED, too_old_ms), Choice(WAITING, too_old_ms, in_flight)):
            gone += self._let_go(db, choice, MAX_AGED_BATCHES)
        return gone

    def _keep_quota(self, db: sqlite3.Connection, in_flight: Collection[int]) -> Gone:
        """Where the quota is exceeded, let go of a little more than that, so that it does not happen every time."""
        quota = self._room.quota_bytes
        gone = Gone()
        if self._used_bytes(db) <= quota:
            return gone
        choices = [
            *(Choice(CONFIRMED), Choice(REJECTED), Choice(WAITING, without=in_flight)),
            *(Choice(UNPLACED), Choice(WAITING)),
        ]
        for _ in range(MAX_STEPS + len(choices)):
            if not choices or self._used_bytes(db) <= quota - quota // 64:
                break
            found = self._let_go(db, choices[0], STEP_BATCHES)
            gone += found
            if not found:
                del choices[0]
        return gone

    def _let_go(self, db: sqlite3.Connection, choice: Choice, most: int) -> Gone:
        with transaction(db):
            gone = eviction.step(db, choice, most, self._devices)
            if gone:
                alive.write(db, self._alive)
        self._has_gaps = self._has_gaps or (bool(gone) and choice.state != CONFIRMED)
        return gone

    def _used_bytes(self, db: sqlite3.Connection) -> int:
        """Live pages and log."""
        pages, free = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        log = spool_log.path_of(self.path)
        return int(pages - free) * PAGE_BYTES + (log.stat().st_size if log.exists() else 0)


def _code(error: BaseException) -> int | None:
    return getattr(error.__cause__, "sqlite_errorcode", None)


def read_totals(path: Path) -> Totals:
    """Read the totals of a spool whose agent has ended; changes nothing.

    Raises: TransientError where an agent has it open; PermanentError where there is none.
    """
    if not path.exists():
        raise PermanentError(f"{path}: no spool; has the agent ever run?")
    try:
        lock = spool_file.hold(path, fcntl.LOCK_SH)
    except LockedError as error:
        if rescue.is_under_way(path):
            raise LockedError(f"{path}: damaged; the agent saves what can be read of it, and then starts") from error
        raise
    try:
        return Totals(**spool_file.count_at_rest(path))
    finally:
        os.close(lock)
