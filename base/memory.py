"""Memory that is free goes back to the system: for a process that has few threads and lives for months.

glibc's allocator gives every thread a pool of its own and, once something large was freed, holds megabytes back for the
next time. See mallopt(3).
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
HELD_BYTES = 64 << 10
"""At the end of the pool, for the next time; and what is larger is got from the system, and given back, by itself."""


def hold_little() -> None:
    """Hold little free memory, in one pool; to be called before there are threads. Elsewhere than in glibc, nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for setting, value in ((M_ARENA_MAX, 1), (M_TRIM_THRESHOLD, HELD_BYTES), (M_MMAP_THRESHOLD, HELD_BYTES)):
            mallopt(setting, value)
