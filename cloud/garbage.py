"""What Python's garbage collector need not look at."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 20_000
"""What a write makes and drops; to look for cycles among it every 700 objects finds none."""


def spare_what_is_loaded() -> None:
    """Let the garbage collector pass over all that there is now, and look at new objects less often.

    A city's registry is half a million objects that live until the next one is loaded. What is no longer referred to
    goes at once all the same; only a cycle among what there is now would stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
