"""Heat meters on a wired M-Bus: slaves as EN 13757-2 has them, on a serial line that may be noisy or pulled out.

They answer a reset (SND_NKE), a selection by their own number, and requests for data (REQ_UD2) with the frame count
bit: where it changed they measure anew, where not they say the same again.
"""

from __future__ import annotations

import asyncio
import os
import random
import tty
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.devices import BOUNDARY_MS, DOUBTED_POLLS, Journal, Poll, now_ms
from simulator.faults import Fault, Faults, Wrong
from simulator.heat import HEAT_METER, HeatModel
from simulator.servers import AnswersOnly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ACKNOWLEDGE = b"\xe5"
RESET, ASK, SELECT = 0x40, 0x5B, 0x53
TOGGLE = 0x20
SELECTED, ALL = 253, 254
SELECTION = 0x52
WILDCARD_DIGIT = 0xF
CHARACTER_BITS = 11


@dataclass(frozen=True)
class Plate:
    """What is printed on a meter."""

    number: str
    """Eight digits."""
    maker: str = "LUG"
    version: int = 7
    medium: int = 4

    def written(self) -> bytes:
        """As it stands in telegrams."""
        first, second, third = (ord(letter) - 64 for letter in self.maker)
        maker = first << 10 | second << 5 | third
        digits = bytes(int(self.number[at]) << 4 | int(self.number[at + 1]) for at in (6, 4, 2, 0))
        return digits + bytes((maker & 0xFF, maker >> 8, self.version, self.medium))

    def is_meant(self, mask: bytes) -> bool:
        """Whether a selection means this meter; a digit F, or FFh behind the number, means any."""
        own = self.written()
        for at in range(4):
            for shift in (0, 4):
                wanted = mask[at] >> shift & 0xF
                if wanted not in (WILDCARD_DIGIT, own[at] >> shift & 0xF):
                    return False
        maker = mask[4:6] in (b"\xff\xff", own[4:6])
        return maker and all(mask[at] in (0xFF, own[at]) for at in (6, 7))


class HeatMeter:
    """One slave."""

    def __init__(  # noqa: PLR0913 - what a meter is, and where the town keeps its books
        self,
        device: str,
        address: int,
        plate: Plate,
        journal: Journal,
        *,
        model: HeatModel = HEAT_METER,
        faults: Faults | None = None,
        sector: str = "heat",
        clock: Callable[[], int] = now_ms,
        telegrams: int = 1,
    ) -> None:
        """`telegrams`: over how many answers its records are spread."""
        self._telegrams = telegrams
        self._next: list[bytes] = []
        self.device, self.address, self.plate, self.model = device, address, plate, model
        self.faults = faults or Faults()
        self._journal, self._sector, self._clock = journal, sector, clock
        self._is_selected = False
        self._count_bit: int | None = None
        self._said = b""
        self._access = 0
        self._position = self._readings = self._doubted = 0
        self._latched_at_ms: int | None = None

    def answer(self, control: int, address: int, rest: bytes) -> bytes | None:
        """Answer a frame, or keep silent; `rest` is what follows the address in a long one."""
        if address == SELECTED and control & ~TOGGLE == SELECT and rest[:1] == bytes([SELECTION]):
            self._is_selected = self.plate.is_meant(rest[1:9])
            self._count_bit = None
            self._next = []
            return ACKNOWLEDGE if self._is_selected else None
        is_mine = address in (self.address, ALL) or (address == SELECTED and self._is_selected)
        if not is_mine:
            return None
        if control == RESET:
            self._is_selected = False
            self._count_bit = None
            self._next = []
            return ACKNOWLEDGE
        if control & ~TOGGLE == ASK:
            return self._telegram(control & TOGGLE)
        return None

    def _telegram(self, count_bit: int) -> bytes:
        if count_bit == self._count_bit and self._said:
            return self._said
        if self._next:
            self._said, self._count_bit = self._next.pop(0), count_bit
            return self._said
        fault = self.faults.of(self.device)
        wrong = fault.wrong if fault else None
        at_ms = self._clock()
        self._said, *following = self._answers(at_ms, wrong)
        if fault is None or fault.kind in ("slow", "wrong"):
            self._note(at_ms, fault)
            self._count_bit, self._next = count_bit, following
        return self._said

    def _answers(self, at_ms: int, wrong: Wrong | None) -> list[bytes]:
        """Measure, and spread the records over telegrams; all but the last end with "more records follow"."""
        records = self.model.records(self.device, at_ms, wrong, self._sector)
        share = -(-len(records) // self._telegrams)
        parts = [b"".join(records[at : at + share]) for at in range(0, len(records), share)]
        said = []
        for part in parts:
            self._access = (self._access + 1) % 256
            head = self.plate.written() + bytes((self._access, 0, 0, 0))
            more = b"\x1f" if part is not parts[-1] else b""
            said.append(framed(b"\x08" + bytes([self.address, 0x72]) + head + part + more))
        return said

    def _note(self, at_ms: int, fault: Fault | None) -> None:
        wrong = fault.wrong if fault else None
        is_slow = fault is not None and fault.kind == "slow"
        self._latched_at_ms = at_ms
        self._readings = self.model.count(self.device, at_ms, wrong, self._sector)
        poll = Poll(self.device, at_ms, wrong, is_certain=not (is_slow or self._doubted))
        self._position = self._journal.note(poll, self._readings)
        self._doubted = max(0, self._doubted - 1)

    def spoil(self) -> None:
        """Note an answer that makes no reading; what was polled around it is in doubt."""
        self._journal.spoiled += 1
        self._doubted = DOUBTED_POLLS
        if self._latched_at_ms is not None and self._clock() - self._latched_at_ms < BOUNDARY_MS:
            self._journal.doubt(self._position, self._readings)
        self._latched_at_ms = None


def framed(data: bytes) -> bytes:
    """Put length, checksum and stop around control field, address and the rest."""
    return bytes((0x68, len(data), len(data), 0x68)) + data + bytes((sum(data) & 0xFF, 0x16))


class MbusLine(AnswersOnly):
    """Meters on one line, found under a link that outlives its pseudo-terminals.

    `noise`: the share of answers that the line spoils. `baud_rate`: answers take as long as they would; 0 is at once.
    """

    def __init__(
        self,
        meters: Sequence[HeatMeter],
        link: Path,
        *,
        noise: float = 0.0,
        baud_rate: int = 0,
        seed: int = 0,
    ) -> None:
        self.address = str(link)
        self.meters = list(meters)
        self.noise = noise
        self.spoiled = 0
        self._link, self._baud_rate = link, baud_rate
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._heard = b""
        self._master = -1
        self._stack = AsyncExitStack()
        self._late: set[asyncio.TimerHandle] = set()

    async def plug(self) -> None:
        """Make the port and put the meters on the line."""
        if self._master >= 0:
            return
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(master, self._hear)
        self._stack.callback(os.close, slave)
        self._stack.callback(os.close, master)
        self._stack.callback(loop.remove_reader, master)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(slave))
        self._stack.callback(self._link.unlink, missing_ok=True)
        self._master, self._heard = master, b""

    async def unplug(self) -> None:
        """Take the port away, as if the converter were pulled out."""
        self._master = -1
        for handle in self._late:
            handle.cancel()
        self._late.clear()
        await self._stack.aclose()

    def say(self, data: bytes) -> None:
        """Put bytes on the line, asked or not."""
        if self._master < 0:
            return
        try:
            os.write(self._master, data)
        except OSError:
            return  # nobody hears it

    def _hear(self) -> None:
        try:
            self._heard += os.read(self._master, 4096)
        except OSError:
            return  # the master closed its end
        while self._heard:
            size = _size(self._heard)
            if size is None:
                return
            frame, self._heard = self._heard[:size], self._heard[size:]
            if size > 1:
                self._answer(frame)

    def _answer(self, frame: bytes) -> None:
        data = frame[1:3] if frame[0] == 0x10 else frame[4:-2]
        if sum(data) & 0xFF != frame[-2]:
            return
        answers = [(meter, said) for meter in self.meters if (said := meter.answer(data[0], data[1], data[2:]))]
        together = [self._as_faulty(meter, said) for meter, said in answers]
        spoken = [(said, after_s) for said, after_s in together if said]
        if not spoken:
            return
        said = _collided([said for said, _ in spoken])
        if said and self._chance.random() < self.noise:
            self.spoiled += 1
            for meter in (meter for meter, _ in answers if said != ACKNOWLEDGE):
                meter.spoil()
            said = self._spoilt(said)
        after_s = max(after for _, after in spoken) + self._duration_s(len(frame) + len(said))
        self._later(after_s, said)

    def _later(self, after_s: float, said: bytes) -> None:
        if not after_s:
            self.say(said)
            return
        loop = asyncio.get_running_loop()

        def now() -> None:
            self._late.discard(handle)
            self.say(said)

        handle = loop.call_later(after_s, now)
        self._late.add(handle)

    def _duration_s(self, characters: int) -> float:
        return characters * CHARACTER_BITS / self._baud_rate if self._baud_rate else 0.0

    def _as_faulty(self, meter: HeatMeter, said: bytes) -> tuple[bytes, float]:
        """What a meter says under its fault, and how much later."""
        fault = meter.faults.of(meter.device)
        if fault is None or fault.kind == "wrong":
            return said, 0.0
        if fault.kind == "slow":
            return said, fault.delay_s
        if said != ACKNOWLEDGE:
            meter.spoil()
        if fault.kind == "silent":
            return b"", 0.0
        if fault.kind == "refuse":
            return framed(bytes((0x08, meter.address, 0x70, 8))) if said != ACKNOWLEDGE else said, 0.0
        return self._spoilt(said, meter.faults.choose(fault)) if said != ACKNOWLEDGE else said, 0.0

    def _spoilt(self, said: bytes, how: str = "") -> bytes:
        """Spoil an answer so that no correct master can take it for one."""
        how = how or self._chance.choice(("random", "checksum", "truncated", "number"))
        if how == "truncated":
            return said[: self._chance.randrange(0, len(said))]
        if how == "number" and len(said) > 1:
            body = said[4:5] + bytes([(said[5] ^ 0x55) & 0x7F]) + said[6:-2]
            return framed(body)
        if how == "checksum" or len(said) == 1:
            at = self._chance.randrange(len(said))
            return said[:at] + bytes([said[at] ^ 1 << self._chance.randrange(8)]) + said[at + 1 :]
        return bytes(self._chance.choice(b"\x00\xff\x68\x10\x55") for _ in said)


def _collided(answers: list[bytes]) -> bytes:
    """What a master hears of several at once: current flows where any slave sends a 0, so the bits are and-ed."""
    longest = max(len(said) for said in answers)
    padded = [said.ljust(longest, b"\xff") for said in answers]
    both = bytes(padded[0])
    for said in padded[1:]:
        both = bytes(one & other for one, other in zip(both, said, strict=True))
    return both


def _size(heard: bytes) -> int | None:
    """How many bytes the next frame has; None where more of it must come; 1 for a byte that begins none."""
    if heard[0] == 0x10:
        return 5 if len(heard) >= 5 else None
    if heard[0] != 0x68:
        return 1
    if len(heard) < 4:
        return None
    size = heard[1] + 6
    return size if len(heard) >= size else None
