"""One shape for every retry: exponential, capped, fully jittered, quiet in the log.

`Backoff` says how long to wait and when to speak; the caller waits. Clock and chance are handed in, so that
tests need neither sleep nor luck.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable


class Backoff:
    """Delays between tries of one thing.

    The n-th delay is drawn evenly from 0 to min(cap_s, first_s * 2^n) (full jitter: a thousand gateways that
    lost the same broker come back spread out). A failure is logged at most once per `log_interval_s`, with
    the number of failures since; recovery is logged once.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, each with a default
        self,
        what: str,
        logger: logging.Logger,
        *,
        first_s: float = 1.0,
        cap_s: float = 60.0,
        log_interval_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.what = what
        self.failures = 0
        self._logger = logger
        self._first_s = first_s
        self._cap_s = cap_s
        self._log_interval_s = log_interval_s
        self._clock = clock
        self._chance = chance
        self._last_logged: float | None = None

    def failed(self, error: BaseException | str, *, at_least_s: float = 0.0) -> float:
        """Count a failure; returns the seconds to wait before the next try."""
        exponent = min(self.failures, 32)
        self.failures += 1
        now = self._clock()
        if self._last_logged is None or now - self._last_logged >= self._log_interval_s:
            self._logger.warning("%s: %s (failure %d)", self.what, error, self.failures)
            self._last_logged = now
        ceiling = min(self._cap_s, self._first_s * 2.0**exponent)
        return max(at_least_s, ceiling * self._chance())

    def succeeded(self) -> None:
        """Forget the failures; says so once if there were any."""
        if self.failures:
            self._logger.info("%s: works again after %d failures", self.what, self.failures)
        self.failures = 0
        self._last_logged = None
