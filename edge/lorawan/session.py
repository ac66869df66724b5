"""A session of one device: its keys, what was heard in it, and the numbers of what it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.lorawan import crypto, eu868
from edge.lorawan.adr import Adr
from edge.lorawan.counter import Counter, Kind
from edge.lorawan.crypto import SessionKeys

if TYPE_CHECKING:
    from edge.lorawan.counter import Verdict
    from edge.lorawan.phy import Data
    from edge.lorawan.state import Row


class Session:
    """A session at work. Times are monotonic, in seconds."""

    def __init__(self, row: Row, now_s: float) -> None:
        self.id = row.id
        self.dev_eui = row.dev_eui
        self.dev_addr = row.dev_addr
        self.keys = SessionKeys(row.nwk_s_key, row.app_s_key)
        self.is_abp = bool(row.is_abp)
        self.is_offered = bool(row.is_offered)
        """Nothing was heard in it yet: the session before it still holds."""
        self.run = row.run
        """How often the device was let begin to count anew."""
        self.counter = Counter(row.f_cnt_up, now_s, can_reset=self.is_abp)
        first, more = len(eu868.JOIN_FREQUENCIES_HZ), len(eu868.MORE_FREQUENCIES_HZ)
        self.adr = Adr(first if self.is_abp else first + more)
        self.repeats = 0
        """How often the last frame came again."""
        self.reserved = range(0)
        """Downlink counters that are on disk as used, and are not."""

    @property
    def name(self) -> str:
        """What tells it from the device's other sessions."""
        return f"{self.dev_addr:08x}-{self.id}-{self.run}"

    def judge(self, frame: Data, now_s: float) -> Verdict:
        """Say what an uplink is to this session."""
        return self.counter.judge(
            frame.f_cnt,
            frame.mic,
            now_s,
            lambda f_cnt: crypto.is_mic(frame.mic, crypto.data_mic(self.keys.nwk_s_key, frame, f_cnt)),
        )

    def take(self, verdict: Verdict, frame: Data, now_s: float) -> int:
        """Take an uplink for heard; returns how many before it were not."""
        last = self.counter.last
        if verdict.kind is Kind.RESET:
            self.run += 1
            lost = verdict.f_cnt
        else:
            lost = 0 if last is None else verdict.f_cnt - last - 1
        self.counter.take(verdict.f_cnt, frame.mic, now_s)
        self.is_offered, self.repeats = False, 0
        return min(lost, 65_535)

    def next_down(self) -> int | None:
        """Take the next downlink counter; None where none is reserved."""
        if not self.reserved:
            return None
        f_cnt, self.reserved = self.reserved[0], self.reserved[1:]
        return f_cnt

    def open(self, frame: Data, f_cnt: int) -> bytes:
        """Decrypt an uplink's payload."""
        return crypto.crypt(crypto.key_of(self.keys, frame), frame, f_cnt)
