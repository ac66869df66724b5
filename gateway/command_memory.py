"""What the gateway remembers of commands over restarts: which ids it has seen, how they ended, what is in maintenance.

A file of its own beside the spool, one JSON object a line, appended and synced before a command is carried out: so
a command is never carried out twice, whenever the power fails. It is rewritten (a new file, synced and renamed)
when most of it is of no use any more.

An id is forgotten once its command has expired. Two marks keep that safe. A command that expires no later than one
that was forgotten is refused, so that a clock that is set back revives none. And where the file is missing or
damaged (a new SD card), every command that was issued before this start is refused: nobody can know what was seen.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from base.errors import PermanentError, TransientError
from base.files import sync
from wire.batch import TimeMs
from wire.bounds import MAX_TIME_MS
from wire.command import CommandId, State
from wire.ids import Id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

logger = logging.getLogger(__name__)

MOST_REMEMBERED = 2_000
"""Ids that have not expired; more commands are refused."""
MOST_USELESS_LINES = 50
MAX_FILE_BYTES = 4 << 20
"""Far more than all of that takes."""


class Seen(msgspec.Struct, tag="seen", frozen=True):
    """A command that came; written before it is carried out."""

    id: CommandId
    expires_at_ms: TimeMs
    state: State = "accepted"


class Ended(msgspec.Struct, tag="ended", frozen=True):
    """How a command ended."""

    id: CommandId
    state: State


class Span(msgspec.Struct, tag="maintenance", frozen=True):
    """A device in maintenance; without one, the whole gateway."""

    device: Id | None
    from_ms: TimeMs
    to_ms: TimeMs


class Marks(msgspec.Struct, tag="marks", frozen=True):
    """Commands that expire no later, or were issued earlier, are refused."""

    forgotten_until_ms: TimeMs = 0
    issued_from_ms: TimeMs = 0


_Line: TypeAlias = Seen | Ended | Span | Marks
_lines: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(Seen | Ended | Span | Marks)


class CommandMemory:
    """The file and what stands in it. One owner; every method that writes returns only once the disk has it."""

    def __init__(self, file: Path) -> None:
        """Read the file; nothing is written before the first entry."""
        self._file = file
        self._seen: dict[str, Seen] = {}
        self._spans: dict[str | None, Span] = {}
        self._marks = Marks()
        self._lines = 0
        self._descriptor: int | None = None
        if not self._read():
            self._marks = msgspec.structs.replace(self._marks, issued_from_ms=MAX_TIME_MS)

    @property
    def is_blank(self) -> bool:
        """Whether nobody knows what was seen before this start: `begin` then says from when on it is known."""
        return self._marks.issued_from_ms == MAX_TIME_MS

    def _read(self) -> bool:
        """Take in what the file says. Returns whether all of it could be read."""
        try:
            with self._file.open("rb") as handle:
                data = handle.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                logger.error("%s: %s; commands issued before now are refused", self._file, error)  # noqa: TRY400
            return False
        whole, _, torn = data.rpartition(b"\n")
        if torn:  # a power cut; what it says had not begun
            logger.warning("%s: the last line is not whole and is left out", self._file)
        is_sound = bool(whole) and len(data) <= MAX_FILE_BYTES
        for line in whole.splitlines():
            try:
                self._take(_lines.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                logger.error("%s: a damaged line; commands issued before now are refused", self._file)  # noqa: TRY400
                is_sound = False
        return is_sound

    def _take(self, line: _Line) -> None:
        self._lines += 1
        match line:
            case Seen():
                self._seen[line.id] = line
            case Ended() if line.id in self._seen:
                self._seen[line.id] = msgspec.structs.replace(self._seen[line.id], state=line.state)
            case Span():
                self._spans[line.device] = line
            case Marks():
                self._marks = line

    def begin(self, now_ms: int) -> None:
        """Begin a memory where there is none: commands issued before `now_ms` are refused from now on.

        Raises: TransientError where the disk refuses.
        """
        self._marks = msgspec.structs.replace(self._marks, issued_from_ms=now_ms)
        self._rewrite()

    def state_of(self, command: str) -> State | None:
        """How far a command came that was seen before; None where it was not."""
        seen = self._seen.get(command)
        return None if seen is None else seen.state

    def is_forgotten(self, issued_at_ms: int, expires_at_ms: int) -> bool:
        """Whether a command is so old that nobody can know any more whether it was seen."""
        return expires_at_ms <= self._marks.forgotten_until_ms or issued_at_ms < self._marks.issued_from_ms

    def unfinished(self) -> list[str]:
        """Return the ids of commands that began and of which nothing says how they ended."""
        return [seen.id for seen in self._seen.values() if seen.state == "accepted"]

    def remember(self, command: str, expires_at_ms: int, state: State) -> None:
        """Remember a command that comes for the first time, before anything is done about it.

        Raises: PermanentError where too many are remembered; TransientError where the disk refuses. Neither may be
        carried out.
        """
        if len(self._seen) >= MOST_REMEMBERED:
            raise PermanentError(f"{MOST_REMEMBERED} commands are remembered until they expire; no more are taken")
        try:
            self._write(Seen(command, expires_at_ms, state))
        except TransientError:
            self._seen[command] = Seen(command, expires_at_ms, "refused")  # and stays so when the disk is well again
            raise

    def end(self, command: str, state: State) -> None:
        """Remember how a command ended.

        Raises: TransientError where the disk refuses.
        """
        self._write(Ended(command, state))

    def maintain(self, device: str | None, from_ms: int, to_ms: int) -> None:
        """Remember a span of maintenance; a former one of the same device is replaced.

        Raises: TransientError where the disk refuses.
        """
        self._write(Span(device, from_ms, to_ms))

    def in_maintenance(self, device: str, at_ms: int) -> bool:
        """Whether a device, or the whole gateway, is in maintenance at a time."""
        return any(
            span is not None and span.from_ms <= at_ms < span.to_ms
            for span in (self._spans.get(device), self._spans.get(None))
        )

    def forget_expired(self, now_ms: int) -> None:
        """Forget what has expired, given a time that can be believed; the file follows when it is rewritten."""
        expired = [seen for seen in self._seen.values() if seen.expires_at_ms < now_ms and seen.state != "accepted"]
        over = [span for span in self._spans.values() if span.to_ms < now_ms]
        for seen in expired:
            del self._seen[seen.id]
        for span in over:
            del self._spans[span.device]
        until_ms = max([self._marks.forgotten_until_ms, *(seen.expires_at_ms for seen in expired)])
        self._marks = msgspec.structs.replace(self._marks, forgotten_until_ms=until_ms)

    def _write(self, line: _Line) -> None:
        self._take(line)
        if self._descriptor is None or self._lines > 2 * (len(self._seen) + len(self._spans)) + MOST_USELESS_LINES:
            self._rewrite()
            return
        try:
            _write_whole(self._descriptor, msgspec.json.encode(line) + b"\n")
            os.fsync(self._descriptor)
        except OSError as error:
            self.close()  # the next entry begins with a new file: nobody knows what this one holds at its end
            raise TransientError(f"{self._file}: cannot be written ({error.strerror})") from error

    def _rewrite(self) -> None:
        """Write what is of use into a new file and put it in the place of the old one."""
        new = self._file.with_name(self._file.name + ".new")
        lines: Iterable[_Line] = [self._marks, *self._seen.values(), *self._spans.values()]
        self.close()
        descriptor = None
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o640)
            _write_whole(descriptor, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            os.fsync(descriptor)
            new.replace(self._file)
            sync(self._file.parent)
        except OSError as error:
            if descriptor is not None:
                os.close(descriptor)
            raise TransientError(f"{self._file}: cannot be written ({error.strerror})") from error
        self._descriptor = descriptor
        self._lines = 1 + len(self._seen) + len(self._spans)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_whole(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
