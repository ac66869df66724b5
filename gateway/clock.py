"""The wall clock, and whether it can be believed."""

from __future__ import annotations

import asyncio
import ctypes
import time
from typing import Literal

TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
CHECK_S = 1.0
"""How often to ask the kernel until it says yes."""
_TIMEX_BYTES = 1024  # more than struct timex has on any architecture


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def wall_ms(monotonic_s: float) -> int:
    """Return the Unix time in milliseconds of a moment on the monotonic clock, as the wall clock stands now."""
    return now_ms() - round((time.monotonic() - monotonic_s) * 1000)


def kernel_state() -> int:
    """Ask the kernel for the state of its clock, 0 to 5 (adjtimex(2)); an unprivileged call that changes nothing."""
    libc = ctypes.CDLL(None, use_errno=True)
    state: int = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return state


def kernel_is_synchronised() -> bool:
    """Whether the kernel says that its clock is synchronised."""
    return kernel_state() not in (-1, TIME_ERROR)


class Clock:
    """Tells whether time may be stamped. Once synchronised, that holds for the boot."""

    def __init__(self, kind: Literal["kernel", "trusted"]) -> None:
        self._synchronised = kind == "trusted"

    def is_synchronised(self) -> bool:
        """Whether the wall clock can be believed (latched)."""
        if not self._synchronised:
            self._synchronised = kernel_is_synchronised()
        return self._synchronised


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait, but not longer than `seconds`; returns whether the stop came."""
    if seconds > 0 and not stop.is_set():
        try:
            async with asyncio.timeout(seconds):  # Python 3.11's `wait_for` may lose a cancellation
                await stop.wait()
        except TimeoutError:
            return False
    return stop.is_set()
