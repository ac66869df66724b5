"""The wall clock, and whether it can be believed."""

from __future__ import annotations

import asyncio
import ctypes
import time
from typing import Literal

TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
CHECK_S = 1.0
"""How often to ask the kernel until it says yes."""
STA_NANO = 0x2000  # adjtimex(2): offsets are nanoseconds and not microseconds


class _Timex(ctypes.Structure):
    """struct timex as adjtimex(2) has it, up to what is read here; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 1024),
    )


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def wall_ms(monotonic_s: float) -> int:
    """Return the Unix time in milliseconds of a moment on the monotonic clock, as the wall clock stands now."""
    return now_ms() - round((time.monotonic() - monotonic_s) * 1000)


def kernel_state() -> int:
    """Ask the kernel for the state of its clock, 0 to 5 (adjtimex(2)); an unprivileged call that changes nothing."""
    return _ask_kernel()[0]


def _ask_kernel() -> tuple[int, _Timex]:
    timex = _Timex()
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    return state, timex


def kernel_offset_s() -> float | None:
    """Return by how much the kernel is still to correct its clock, in seconds; None where it is not synchronised."""
    state, timex = _ask_kernel()
    if state in (-1, TIME_ERROR):
        return None
    return float(timex.offset * (1e-9 if timex.status & STA_NANO else 1e-6))


def kernel_is_synchronised() -> bool:
    """Whether the kernel says that its clock is synchronised."""
    return kernel_state() not in (-1, TIME_ERROR)


class Clock:
    """Tells whether time may be stamped. Once synchronised, that holds for the boot."""

    def __init__(self, kind: Literal["kernel", "trusted"]) -> None:
        self._kind = kind
        self._synchronised = kind == "trusted"

    def is_synchronised(self) -> bool:
        """Whether the wall clock can be believed (latched)."""
        if not self._synchronised:
            self._synchronised = kernel_is_synchronised()
        return self._synchronised

    def condition(self) -> dict[str, float | None]:
        """Return what the kernel says of the clock now; nothing where it is not the one that is asked."""
        if self._kind == "trusted":
            return {}
        return {"clock_synced": float(kernel_is_synchronised()), "clock_offset": kernel_offset_s()}


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait, but not longer than `seconds`; returns whether the stop came."""
    if seconds > 0 and not stop.is_set():
        try:
            async with asyncio.timeout(seconds):  # Python 3.11's `wait_for` may lose a cancellation
                await stop.wait()
        except TimeoutError:
            return False
    return stop.is_set()
