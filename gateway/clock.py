"""The clocks of the machine, as they are; what can be believed of them is the timekeeper's business."""

from __future__ import annotations

import asyncio
import ctypes
import secrets
import time
from pathlib import Path

TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
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


def boot_ms() -> int:
    """Return the time since the machine started, in milliseconds, sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_id(root: Path = Path("/")) -> str:
    """Return what tells this start of the machine from all others; one for this process where the machine does not say.

    See random(4).
    """
    try:
        found = (root / "proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        found = ""
    return found[:64] or f"process-{secrets.token_hex(8)}"


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


class Sources:
    """The clocks of this machine, in milliseconds. What makes a time of them is the `Timekeeper`."""

    def __init__(self, root: Path = Path("/")) -> None:
        """`root`: where the machine's files are."""
        self.boot = boot_id(root)

    def wall_ms(self) -> int:
        """Return Unix time as the wall clock has it, right or wrong."""
        return now_ms()

    def boot_ms(self) -> int:
        """Return the time since the machine started; goes on while it sleeps, and never steps."""
        return boot_ms()

    def boot_ms_at(self, monotonic_s: float) -> int:
        """Return the time since the machine started of a moment on the monotonic clock."""
        return self.boot_ms() - round((time.monotonic() - monotonic_s) * 1000)

    def is_synchronised(self) -> bool:
        """Whether the kernel says that the wall clock is right."""
        return kernel_is_synchronised()


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait, but not longer than `seconds`; returns whether the stop came."""
    if seconds > 0 and not stop.is_set():
        try:
            async with asyncio.timeout(seconds):  # Python 3.11's `wait_for` may lose a cancellation
                await stop.wait()
        except TimeoutError:
            return False
    return stop.is_set()
