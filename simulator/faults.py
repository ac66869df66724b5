"""Faults on demand: what is wrong with which device at the moment.

Kinds: `silent` (no answer), `garbage` (an answer that is none), `slow` (an answer late or too late), `wrong` (values
that are not what is measured, as the device would really send them), `refuse` (an exception). `off` concerns a whole
bus and is no state of a device. The same seed gives the same choices.
"""

from __future__ import annotations

import random
import struct
import time
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

Kind: TypeAlias = Literal["silent", "garbage", "slow", "wrong", "refuse"]
KINDS: tuple[str, ...] = (*get_args(Kind), "off")
HOW: dict[str, tuple[str, ...]] = {
    "silent": (),
    "garbage": ("random", "checksum", "truncated", "number"),
    "slow": (),
    "wrong": ("range", "stuck", "jump", "sentinel", "negative", "swapped"),
    "refuse": ("busy", "failure", "function", "value"),
    "off": (),
}
DELAY_S = 0.4
MOST_DELAY_S = 60.0
RTU_OVERHEAD_BYTES = 3
"""Unit and function code before, of the checksum one after, what a random frame keeps at least."""


class Wrong(NamedTuple):
    """How a device's values are wrong. `stuck` ones are those of `since_ms` (Unix time)."""

    how: str
    since_ms: int


class Fault(NamedTuple):
    """One fault of one device."""

    kind: Kind
    how: str = ""
    """One of `HOW`; chosen anew for each answer where empty, for `wrong` once."""
    delay_s: float = DELAY_S
    """Of `slow`."""
    since_ms: int = 0
    until_s: float | None = None
    """On the clock of `Faults`."""

    @property
    def wrong(self) -> Wrong | None:
        """How values are wrong under this fault."""
        return Wrong(self.how, self.since_ms) if self.kind == "wrong" else None


class Faults:
    """The faults of a town's devices. For use by one event loop."""

    def __init__(self, seed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._clock = clock
        self._faults: dict[str, Fault] = {}

    def set(
        self,
        device: str,
        kind: str,
        *,
        how: str = "",
        delay_s: float = DELAY_S,
        for_s: float | None = None,
        since_ms: int | None = None,
    ) -> Fault:
        """Give a device a fault, in place of any other; for ever where `for_s` is None.

        Raises: ValueError with a sentence for a kind or manner that there is not.
        """
        check(kind, how, delay_s)
        if kind == "wrong" and not how:
            how = self._chance.choice(HOW["wrong"])
        fault = Fault(
            cast("Kind", kind),
            how,
            delay_s,
            time.time_ns() // 1_000_000 if since_ms is None else since_ms,
            None if for_s is None else self._clock() + for_s,
        )
        self._faults[device] = fault
        return fault

    def clear(self, device: str) -> None:
        """End the fault of a device, where it has one."""
        self._faults.pop(device, None)

    def of(self, device: str) -> Fault | None:
        """The fault that a device has now."""
        fault = self._faults.get(device)
        if fault is not None and fault.until_s is not None and self._clock() >= fault.until_s:
            del self._faults[device]
            return None
        return fault

    def choose(self, fault: Fault) -> str:
        """Manner of the next answer under a fault."""
        return fault.how or self._chance.choice(HOW[fault.kind])

    def garble(self, frame: bytes, how: str, *, is_rtu: bool) -> bytes:
        """Spoil a frame so that no correct decoder can take it for an answer.

        `checksum` (of RTU; TCP has none, and gets a length that is not its own) is off by a bit, `number` is another
        transaction's (of RTU another unit's, with a checksum that is right).
        """
        if how == "truncated":
            return frame[: self._chance.randrange(1, len(frame) - 1)]
        if how == "checksum":
            at = len(frame) - 1 if is_rtu else 5
            return frame[:at] + bytes([frame[at] ^ 0x15]) + frame[at + 1 :]
        if how == "number":
            if is_rtu:
                body = bytes([frame[0] ^ 0x55]) + frame[1:-2]
                return body + struct.pack("<H", crc16(body))
            return struct.pack(">H", struct.unpack(">H", frame[:2])[0] ^ 0x2AAA) + frame[2:]
        return self._noise(len(frame), is_rtu=is_rtu)

    def _noise(self, length: int, *, is_rtu: bool) -> bytes:
        noise = bytearray(self._chance.randbytes(length))
        if is_rtu and length > RTU_OVERHEAD_BYTES and crc16(noise[:-2]) == struct.unpack("<H", noise[-2:])[0]:
            noise[-1] ^= 1
        elif not is_rtu:
            noise[2] |= 1  # the protocol's number is 0 in every real frame
        return bytes(noise)


def check(kind: str, how: str = "", delay_s: float = DELAY_S) -> None:
    """Check what a person asked for.

    Raises: ValueError with a sentence.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no fault; there are {', '.join(KINDS)}")
    if how and how not in HOW[kind]:
        raise ValueError(f"{kind} has no manner {how!r}; it has {', '.join(HOW[kind]) or 'none'}")
    if not 0 <= delay_s <= MOST_DELAY_S:
        raise ValueError(f"a delay of {delay_s:g} s; from 0 to {MOST_DELAY_S:g} s are possible")


def crc16(data: bytes | bytearray) -> int:
    """Checksum of Modbus RTU (Modbus over serial line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc
