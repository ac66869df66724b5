"""What the frame counter of an uplink tells: the next one, some lost, a duplicate, a replay, a counter that began anew.

For all sources alike. A network server that checks counters and MIC lets no replay through; one that was told to skip
the check (for ABP devices that lose their counter with the battery) does, and then this is what tells them apart:

    same number and content as one of the last messages, soon after it   -> duplicate (a second gateway, a redelivery)
    the same, later                                                      -> replay
    a number that was missing                                            -> late: it was overtaken, and counts
    a low number, unheard content                                        -> held against the next: one that goes on
                                                                            counting from there is a reset, alone it
                                                                            is a replay

So of a device that began anew, the first message is lost and counted, unless its session is a new one (a join), or
it begins with 0 or 1. Who records a whole series and sends it again to a network without counter check looks like a
reset, unless the series is among the last messages: nobody without the keys could tell.
"""

from __future__ import annotations

import zlib
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from edge.lorawan.uplink import Uplink

REMEMBERED = 64
"""Messages whose content is known; and as far back a number may be late."""
DUPLICATE_MS = 10 * 60_000
"""Between a message and its duplicate: a redelivery after a reconnect may take minutes."""
BEGINNING = 1
"""Numbers up to this one are those of a device that has just started."""
FOLLOWS = 16
"""A second low number within so many of the first goes on counting from it."""
MOST_LOST = 65_535


class Verdict(Enum):
    """What an uplink is, by its counter."""

    FIRST = "first"
    """Nothing was heard of this device before."""
    NEXT = "next"
    SESSION = "session"
    """The first of a new session: the device has joined again."""
    RESET = "reset"
    """The counter began anew within its session."""
    LATE = "late"
    """It was overtaken by others; its number was missing."""
    DUPLICATE = "duplicate"
    REPLAY = "replay"

    @property
    def counts(self) -> bool:
        """Whether the message says something that was not said before."""
        return self not in (Verdict.DUPLICATE, Verdict.REPLAY)


class Counted(NamedTuple):
    """What an uplink is, and how many before it were lost."""

    verdict: Verdict
    lost: int = 0


class Heard(msgspec.Struct, array_like=True):
    """One message that counted."""

    f_cnt: int
    content: int
    """CRC of port and payload."""
    at_ms: int


class FrameCounter(msgspec.Struct, kw_only=True):
    """What is known of one device's counter. Plain data, to be kept over restarts."""

    session: str = ""
    last: int | None = None
    heard: list[Heard] = []
    """The last messages, the newest at the end."""
    held: Heard | None = None
    """A low number that may be the beginning of a new count."""

    def take(self, uplink: Uplink, at_ms: int) -> Counted:
        """Judge an uplink that came at this time (Unix, ms), and note it."""
        heard = Heard(uplink.f_cnt, _content(uplink), at_ms)
        counted = self._judge(uplink.session, heard)
        match counted.verdict:
            case Verdict.DUPLICATE | Verdict.REPLAY:
                return counted
            case Verdict.SESSION | Verdict.RESET:
                self.heard = []
        if counted.verdict is not Verdict.LATE:
            self.last = heard.f_cnt
        self.session = uplink.session or self.session
        self.held = None
        self.heard = [*self.heard[-(REMEMBERED - 1) :], heard]
        return counted

    def _judge(self, session: str, new: Heard) -> Counted:
        if self.last is None:
            return Counted(Verdict.FIRST)
        if session and self.session and session != self.session:
            return Counted(Verdict.SESSION)
        if new.f_cnt > self.last:
            return Counted(Verdict.NEXT, min(new.f_cnt - self.last - 1, MOST_LOST))
        wrapped = new.f_cnt + 0x1_0000 - self.last
        if self.last <= 0xFFFF and 0 < wrapped <= FOLLOWS:  # a source that passes on the 16 bits of the air
            return Counted(Verdict.NEXT, wrapped - 1)
        for old in self.heard:
            if (old.f_cnt, old.content) == (new.f_cnt, new.content):
                return Counted(Verdict.DUPLICATE if new.at_ms - old.at_ms <= DUPLICATE_MS else Verdict.REPLAY)
        return self._judge_unheard(new)

    def _judge_unheard(self, new: Heard) -> Counted:
        """Judge a number that is not above the last one, with content that is new."""
        assert self.last is not None  # noqa: S101 - `_judge` has looked
        numbers = {old.f_cnt for old in self.heard}
        is_missing = bool(numbers) and min(numbers) < new.f_cnt < self.last and new.f_cnt not in numbers
        if is_missing and self.last - new.f_cnt <= REMEMBERED:
            return Counted(Verdict.LATE)
        if new.f_cnt <= BEGINNING:
            return Counted(Verdict.RESET)
        held, self.held = self.held, new
        if held is not None and held.f_cnt < new.f_cnt <= held.f_cnt + FOLLOWS:
            return Counted(Verdict.RESET, new.f_cnt - held.f_cnt)
        return Counted(Verdict.REPLAY)


def _content(uplink: Uplink) -> int:
    return zlib.crc32(bytes([uplink.f_port & 0xFF]) + uplink.payload)
