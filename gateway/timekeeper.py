"""The agent's own time: what it stamps readings with, and what that is worth.

Everything is measured on the time since the machine started (CLOCK_BOOTTIME: it never steps and does not stop in
sleep). An offset makes Unix time of it. Where there is none yet, a stamp is the time since the start itself; it lies
below `EARLIEST_MS`, which no Unix time does, so that both fit into one number. Such readings are placed later, once
for each boot, with the first offset that the boot has (`Timing.placing_ms`).

**Where the offset comes from.** The wall clock, as soon as it can be believed: `kernel`, when the kernel says that it
is synchronised; `trusted`, at once. What was believed holds for the boot, over restarts of the agent, too. After ten
minutes without, the collector is asked.

**When the wall clock leaves the own time** by over a second and the kernel is synchronised after that, the wall clock
is right and is followed at once. Otherwise the own time is kept, and readings are flagged 16 until both agree again.
After ten minutes the collector is asked which of the two is right. Slow drift is followed slowly.

**No two readings on one point.** All times are multiples of `GRID_MS` plus a lane. Within a lane time only rises;
a step back moves to the next lane, so that the readings that come to lie between older ones never meet them.

Nothing here reads a clock, a disk or a socket but through what is handed in.
"""

from __future__ import annotations

import logging
from statistics import median_low
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from base.build_date import BUILT_AT_MS
from gateway.clock import Sources
from gateway.stamps import GRID_MS, SAME_MS, Origin, Past, Stamp, Timing
from wire.readings import Flag

if TYPE_CHECKING:
    from typing import TypeAlias

logger = logging.getLogger(__name__)

PATIENCE_MS = 600_000
"""How long the agent waits for the wall clock before it asks the collector."""
ASK_AGAIN_MS = 30_000
GATHER_MS = 3_000
"""How long the answers of several collectors are waited for."""
LATE_MS = 10_000
"""After so long an answer is none: nobody knows to which question."""
NEAR_MS = 3_000
"""The collector's word is no more exact than that."""
SETTLED_MS = 3_600_000
"""When the collector has said that the wall clock is wrong, it is not asked again for so long."""
SLEW_EVERY_MS = 8_000
"""Between two moves of the offset by `GRID_MS`: 500 ppm, the most by which NTP lets a clock drift."""
DRIFT_MS = 20
"""A difference that grows by more from one look to the next is a step, and no drift."""
KEEP_MS = 200
"""An offset that has drifted so far is committed again."""


class Clocks(Protocol):
    """What is asked for the time; `clock.Sources` is the real one."""

    boot: str

    def wall_ms(self) -> int:
        """Unix time as the wall clock has it."""

    def boot_ms(self) -> int:
        """Time since the machine started."""

    def boot_ms_at(self, monotonic_s: float) -> int:
        """Time since the machine started of a moment on the monotonic clock."""

    def is_synchronised(self) -> bool:
        """Whether the kernel says that the wall clock is right."""


class Turn(NamedTuple):
    """What a look at the clocks has led to."""

    is_changed: bool
    """The offset is another one, and to be committed."""
    asks: bool
    """The collector is to be asked now."""


class State(NamedTuple):
    """What a technician is told of the time."""

    origin: Origin | None
    is_doubtful: bool
    since_s: float
    """For how long it has been so."""
    wall_ahead_ms: int
    """By how much the wall clock is ahead of the own time."""


Kind: TypeAlias = "Literal['kernel', 'trusted']"


class Timekeeper:
    """The time of one agent. All methods belong to one thread."""

    def __init__(
        self,
        kind: Kind,
        clocks: Clocks | None = None,
        past: Past = Past(),  # noqa: B008 - never changes
    ) -> None:
        self._kind: Kind = kind
        self._clocks = clocks or Sources()
        self._began_ms = self._since_ms = self._clocks.boot_ms()
        self._timing: Timing | None = None
        self._offset_ms: int | None = None
        self._origin: Origin | None = None
        self._lane = 0
        self._latest_ms: int | None = None
        self._doubtful_since_ms: int | None = None
        self._asked_ms: int | None = None
        self._settled_ms: int | None = None
        self._answers: list[int] = []
        self._slewed_ms = self._began_ms
        self._wall_offset_ms = 0  # at the last look
        self._drift_ms = 0  # what is still to be followed
        self._wall_ahead_ms = 0
        self.recall(past)

    def recall(self, past: Past) -> None:
        """Go on where the agent before has ended; the first look at the clocks included."""
        self._lane, self._latest_ms, self._timing = past.lane % GRID_MS, past.latest_ms, past.timing
        self._offset_ms, self._origin = (past.timing.offset_ms, past.timing.origin) if past.timing else (None, None)
        self.turn(is_connected=False)

    @property
    def boot(self) -> str:
        """Return what tells this start of the machine from others."""
        return self._clocks.boot

    @property
    def asks_kernel(self) -> bool:
        """Whether the kernel is asked if the wall clock is right."""
        return self._kind == "kernel"

    # What time it is.

    def is_synchronised(self) -> bool:
        """Whether there is a time at all."""
        return self._offset_ms is not None

    @property
    def is_doubtful(self) -> bool:
        """Whether there is a time that may be wrong: readings carry flag 16."""
        return self._offset_ms is not None and (self._doubtful_since_ms is not None or self._is_borrowed)

    @property
    def wants_time(self) -> bool:
        """Whether the collector is waited for, or would be: what status `no_time` says."""
        return self._offset_ms is None or self._asked_ms is not None

    @property
    def timing(self) -> Timing | None:
        """What is to be committed before anything is sealed with it."""
        return self._timing

    def stamp(self, monotonic_s: float) -> Stamp:
        """Return the time of a moment on the monotonic clock."""
        at_ms = self._clocks.boot_ms_at(monotonic_s) // GRID_MS * GRID_MS
        if self._offset_ms is None:
            return Stamp(max(0, at_ms))
        return Stamp(at_ms + self._offset_ms, Flag.CLOCK_UNSYNCED.value if self.is_doubtful else 0)

    def boot_ms(self) -> int:
        """Return the time since the machine started."""
        return self._clocks.boot_ms()

    def now_ms(self) -> int:
        """Return Unix time; where there is none, one that is certainly not later."""
        return self.unix_ms(self._clocks.boot_ms())

    def unix_ms(self, boot_ms: int) -> int:
        """Return Unix time of a time since the start of the machine, as `now_ms` does."""
        if self._offset_ms is not None:
            return boot_ms + self._offset_ms
        return max(BUILT_AT_MS, self._latest_ms or 0) + boot_ms - self._began_ms

    def wall_ms(self, monotonic_s: float) -> int:
        """Return Unix time of a moment on the monotonic clock, as `now_ms` does."""
        return self.unix_ms(self._clocks.boot_ms_at(monotonic_s))

    def state(self) -> State:
        """Say how it stands with the time."""
        since_ms = self._since_ms if self._doubtful_since_ms is None else self._doubtful_since_ms
        since_s = (self._clocks.boot_ms() - since_ms) / 1000
        return State(self._origin, self.is_doubtful, since_s, self._wall_ahead_ms)

    # What may change that.

    def turn(self, *, is_connected: bool) -> Turn:
        """Look at the clocks; to be called every second."""
        before = self._timing
        was_synchronised = self._kind == "kernel" and self._clocks.is_synchronised()
        boot_ms = self._clocks.boot_ms()
        wall_ms = self._clocks.wall_ms()
        # Asked before and after: what sets the clock by hand makes it unsynchronised, what synchronises it sets it.
        is_synchronised = was_synchronised and self._clocks.is_synchronised()
        self._wall_ahead_ms = wall_ms - boot_ms - (self._offset_ms or 0)
        if wall_ms >= BUILT_AT_MS:
            self._judge(boot_ms, wall_ms - boot_ms, is_synchronised=is_synchronised)
        elif self._offset_ms is not None and self._doubtful_since_ms is None and not self._is_borrowed:
            self._doubt(boot_ms)
        self._hear(boot_ms, wall_ms - boot_ms)
        self._wall_offset_ms = wall_ms - boot_ms
        return Turn(self._timing != before, self._asks(boot_ms, is_connected=is_connected))

    def told(self, now_ms: int) -> None:
        """Take a collector's word. It was said half way between the question and now."""
        boot_ms = self._clocks.boot_ms()
        if self._asked_ms is None or boot_ms - self._asked_ms > LATE_MS:
            return
        if now_ms < BUILT_AT_MS:
            logger.error("a collector says that it is %d ms since 1970, before this release was made: ignored", now_ms)
            return
        self._answers.append(now_ms - (self._asked_ms + boot_ms) // 2)

    @property
    def _is_borrowed(self) -> bool:
        """Whether the time is not what the configuration asks for."""
        return self._origin == "collector" or (self._kind == "kernel" and self._origin == "trusted")

    def _judge(self, boot_ms: int, wall_offset_ms: int, *, is_synchronised: bool) -> None:
        """Compare the wall clock, which is not before the floor, with the own time."""
        is_believed = is_synchronised or self._kind == "trusted"
        if self._offset_ms is None:
            if is_believed:
                self._adopt(boot_ms, wall_offset_ms, self._kind)
            return
        apart_ms = abs(wall_offset_ms - self._offset_ms)
        if self._is_borrowed:
            if is_synchronised or (self._kind == "trusted" and apart_ms <= NEAR_MS):
                self._adopt(boot_ms, wall_offset_ms, self._kind)
        elif apart_ms > SAME_MS:
            if is_synchronised:
                self._adopt(boot_ms, wall_offset_ms, "kernel")
            elif self._doubtful_since_ms is None:
                self._doubt(boot_ms)
        else:
            self._agree(boot_ms)
            grown_ms = wall_offset_ms - self._wall_offset_ms
            if is_synchronised:
                self._drift_ms = wall_offset_ms - self._offset_ms
            elif is_believed and abs(grown_ms) <= DRIFT_MS:
                self._drift_ms += grown_ms
            self._slew(boot_ms, self._offset_ms)

    def _agree(self, boot_ms: int) -> None:
        if self._doubtful_since_ms is not None:
            logger.info("the wall clock agrees with the agent's time again")
            self._doubtful_since_ms = self._asked_ms = self._settled_ms = None
            self._since_ms = boot_ms

    def _slew(self, boot_ms: int, own_offset_ms: int) -> None:
        if not 0 <= self._drift_ms < GRID_MS and boot_ms - self._slewed_ms >= SLEW_EVERY_MS:
            step_ms = GRID_MS if self._drift_ms > 0 else -GRID_MS
            self._offset_ms = own_offset_ms + step_ms
            self._drift_ms -= step_ms
            self._slewed_ms = boot_ms
            if self._timing is not None and abs(self._offset_ms - self._timing.offset_ms) >= KEEP_MS:
                self._timing = self._timing._replace(offset_ms=self._offset_ms)

    def _doubt(self, boot_ms: int) -> None:
        logger.warning(
            "the wall clock is %+d ms away from the agent's time and nobody says that it is right: readings keep the"
            " agent's time, with flag 16",
            self._wall_ahead_ms,
        )
        self._doubtful_since_ms = boot_ms

    def _adopt(self, boot_ms: int, offset_ms: int, origin: Origin) -> None:
        """Take another offset at once."""
        if self._offset_ms is None:
            is_back = self._latest_ms is not None and offset_ms < self._latest_ms
            logger.info("the time is known, from %s; the machine has run for %d s", origin, boot_ms // 1000)
        else:
            is_back = offset_ms < self._offset_ms
            logger.warning("the time moves by %+d ms, from %s", offset_ms - self._offset_ms, origin)
        self._lane = (self._lane + is_back) % GRID_MS
        self._offset_ms = offset_ms - (offset_ms - self._lane) % GRID_MS
        self._origin, self._drift_ms = origin, 0
        self._doubtful_since_ms = self._asked_ms = self._settled_ms = None
        self._since_ms = self._slewed_ms = boot_ms
        if self._timing is None:
            flags = Flag.CLOCK_UNSYNCED.value if origin == "collector" else 0
            self._timing = Timing(self._clocks.boot, self._offset_ms, origin, self._offset_ms, flags)
        else:
            self._timing = self._timing._replace(offset_ms=self._offset_ms, origin=origin)

    # The collector's word.

    def _asks(self, boot_ms: int, *, is_connected: bool) -> bool:
        """Whether to ask now."""
        since_ms = self._began_ms if self._offset_ms is None else self._doubtful_since_ms
        if since_ms is None or boot_ms - since_ms < PATIENCE_MS or not is_connected:
            return False
        if self._settled_ms is not None and boot_ms - self._settled_ms < SETTLED_MS:
            return False
        if self._asked_ms is not None and boot_ms - self._asked_ms < ASK_AGAIN_MS:
            return False
        self._asked_ms, self._answers = boot_ms, []
        return True

    def _hear(self, boot_ms: int, wall_offset_ms: int) -> None:
        """Take the collectors' word, when all of them have had the time to answer."""
        if self._asked_ms is None or not self._answers or boot_ms - self._asked_ms < GATHER_MS:
            return
        answers, self._answers = sorted(self._answers), []
        if answers[-1] - answers[0] > NEAR_MS:
            logger.error("collectors disagree about the time by %d ms", answers[-1] - answers[0])
        later = [offset_ms for offset_ms in answers if boot_ms + offset_ms >= (self._latest_ms or 0)]
        word_ms = median_low(later or answers)
        self._asked_ms = None
        if self._offset_ms is None:
            self._adopt(boot_ms, word_ms, "collector")
        elif self._doubtful_since_ms is not None:
            self._decide(boot_ms, word_ms, self._offset_ms, wall_offset_ms)

    def _decide(self, boot_ms: int, word_ms: int, own_offset_ms: int, wall_offset_ms: int) -> None:
        """Settle between the own time and the wall clock."""
        own_ms, others_ms = abs(own_offset_ms - word_ms), abs(wall_offset_ms - word_ms)
        if min(own_ms, others_ms) > NEAR_MS:
            self._adopt(boot_ms, word_ms, "collector")
        elif own_ms <= others_ms:
            logger.warning("the collector says that the wall clock is wrong: the agent keeps its time")
            self._settled_ms = boot_ms
        else:
            self._adopt(boot_ms, wall_offset_ms, "trusted" if self._kind == "trusted" else "collector")
