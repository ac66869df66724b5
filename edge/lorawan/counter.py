"""Frame counters: 16 bits on the air, 32 in the MIC. Which frame is new, and what one is that is not.

A frame's MIC holds the counter whole, so that the upper half is found by trying: forwards from the last one for what
is new, backwards for what was heard before. What comes from behind is one of three things:

- duplicate: the last frame again, soon after: a late copy of it, or the device repeats what was not acknowledged;
- replay: a frame of the past, whoever sends it;
- counter reset: a device without join (ABP) that was switched off and counts from 0 again. Nothing in the frames tells
  it from somebody who sends the recorded ones of its first day; so it is refused unless the settings say otherwise.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = 1 << 16
MOST_EPOCHS_AHEAD = 4
"""A device may go unheard for a quarter of a million frames."""
MOST_EPOCHS_AT_FIRST = 16
"""Of a device that was never heard: for a million."""
MOST_EPOCHS_BACK = 4
LAST = (1 << 32) - 1
REPEATED_WITHIN_S = 120.0
"""Devices repeat an unacknowledged frame within seconds, up to eight times (1.0.4, 19.2)."""
FIRST_FRAMES = 16
"""A device that counts anew is noticed by one of its first frames."""
NEXT_WITHIN = 64
"""And goes on counting: so many of its frames may be lost until the next is heard."""
REMEMBERED = 64


class Kind(Enum):
    """What a frame is to its session."""

    NEW = "new"
    DUPLICATE = "duplicate"
    REPLAY = "replay"
    RESET = "counter_reset"
    BAD_MIC = "bad_mic"


class Verdict(NamedTuple):
    """What a frame is, and its counter whole; -1 where the MIC is wrong."""

    kind: Kind
    f_cnt: int = -1


class Counter:
    """The uplink counter of one session. Times are monotonic, in seconds."""

    def __init__(self, last: int | None, now_s: float, *, can_reset: bool) -> None:
        """`last`: what the session before a restart had sealed; `can_reset`: whether the device never joins."""
        self.last = last
        self._heard_at_s = now_s
        self._can_reset = can_reset
        self._mics: OrderedDict[int, bytes] = OrderedDict()
        self._first_mics: set[bytes] = set()
        self._anew: int | None = None
        """The last frame of those that look like a count from 0."""

    def judge(self, low: int, mic: bytes, now_s: float, is_right: Callable[[int], bool]) -> Verdict:
        """Say what a frame is; it is not yet taken for heard.

        `low`: its counter on the air; `is_right`: whether its MIC is right under a counter.
        """
        for f_cnt in self._ahead(low):
            if is_right(f_cnt):
                return Verdict(Kind.NEW, f_cnt)
        for f_cnt in self._behind(low):
            if is_right(f_cnt):
                return Verdict(self._kind_of_old(f_cnt, mic, now_s), f_cnt)
        return Verdict(Kind.BAD_MIC)

    def take(self, f_cnt: int, mic: bytes, now_s: float) -> None:
        """Take a frame for heard."""
        self.last, self._heard_at_s = f_cnt, now_s
        self._anew = None
        self._mics[f_cnt] = mic
        self._mics.move_to_end(f_cnt)
        if len(self._mics) > REMEMBERED:
            self._mics.popitem(last=False)
        if f_cnt < FIRST_FRAMES and len(self._first_mics) < REMEMBERED:
            self._first_mics.add(mic)

    def refuse(self, verdict: Verdict) -> None:
        """Note what was refused: the next frame of a device that counts anew is known by it."""
        if verdict.kind is Kind.RESET:
            self._anew = verdict.f_cnt

    def _ahead(self, low: int) -> range:
        if self.last is None:
            return range(low, MOST_EPOCHS_AT_FIRST * EPOCH, EPOCH)
        expected = self.last + 1
        first = expected + (low - expected) % EPOCH
        return range(first, min(first + MOST_EPOCHS_AHEAD * EPOCH, LAST + 1), EPOCH)

    def _behind(self, low: int) -> list[int]:
        """Return which counters of the past a frame may have, the latest first; and, always, that of a first day."""
        if self.last is None:
            return []
        latest = self.last - (self.last - low) % EPOCH
        oldest = max(latest - (MOST_EPOCHS_BACK - 1) * EPOCH, low)
        back = list(range(latest, oldest - 1, -EPOCH))
        return [*back, low] if low <= self.last and low not in back else back

    def _kind_of_old(self, f_cnt: int, mic: bytes, now_s: float) -> Kind:
        is_soon = now_s - self._heard_at_s <= REPEATED_WITHIN_S
        if f_cnt == self.last and is_soon and self._mics.get(f_cnt, mic) == mic:
            return Kind.DUPLICATE
        if self._mics.get(f_cnt) == mic or mic in self._first_mics or not self._can_reset:
            return Kind.REPLAY
        goes_on = self._anew is not None and 0 <= f_cnt - self._anew <= NEXT_WITHIN
        return Kind.RESET if f_cnt < FIRST_FRAMES or goes_on else Kind.REPLAY
