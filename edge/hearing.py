"""What is heard of devices of which several share one ear: a broker, a receiver; and of which of them nothing."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from base.retry import Backoff
from edge.interface import NoAnswerError, ParkedError, Traffic

if TYPE_CHECKING:
    from base.errors import TransientError
    from edge.interface import Measured
    from edge.speaking import SpeakingTarget

logger = logging.getLogger(__name__)

SAY_AGAIN_S = 3600.0
"""How often the log says of a device that something cannot be read: by radio it happens now and then."""


class Said(NamedTuple):
    """What a message says of one device."""

    device: str
    measured: Measured | None = None
    """None where there is nothing to record: it is there, and that is all; or what came cannot be read."""
    garbled: str = ""
    """Why it, or a part of it, cannot be read, as the end of a sentence; counted as an error of the device."""
    is_beside_the_point: bool = False
    """Whether it has nothing that the device's profile knows: such a message does not show that all is well."""


class Hearing:
    """What came of the devices of one bus since it was opened. Times are monotonic, in seconds."""

    def __init__(self, bus: str, word: str) -> None:
        """`word`: what its devices say, as the log calls it: a message, a telegram."""
        self._bus, self._word = bus, word
        self._began_s = time.monotonic()
        self._heard_s: dict[str, float] = {}
        self._came: Counter[str] = Counter()
        self._garbled: Counter[str] = Counter()
        self._why: dict[str, str] = {}
        self._trouble: dict[str, Backoff] = {}

    def took(self, said: Said, at_s: float | None) -> None:
        """Count what came at a time; None where it was said before we listened, and does not show that all is well."""
        device, measured, garbled, is_beside_the_point = said
        self._came[device] += 1
        if garbled:
            self._garbled[device] += 1
            self._why[device] = garbled
            self._log_of(device).failed(garbled)
        elif is_beside_the_point:
            self._why[device] = "it has nothing that the profile knows"
        else:
            self._why.pop(device, None)
        is_well = measured is not None or not (garbled or is_beside_the_point)
        if is_well and at_s is not None:
            self._heard_s[device] = at_s

    def _log_of(self, device: str) -> Backoff:
        """Return what logs a device's faults; a good word between does not silence it, nor make it speak anew."""
        if device not in self._trouble:
            what = f"bus {self._bus}, device {device}: a {self._word} that cannot be read"
            self._trouble[device] = Backoff(what, logger, log_interval_s=SAY_AGAIN_S)
        return self._trouble[device]

    def traffic(self, device: str) -> Traffic:
        """Return how much came of a device, and how much of it could not be read."""
        return Traffic(self._came[device], self._garbled[device])

    def silence(self, target: SpeakingTarget, where: object, why: str) -> TransientError:
        """Return what `Bus.read` raises: ParkedError where a device spoke lately, else NoAnswerError.

        `why`: the reason why nobody is heard on the bus, empty where there is none; `where`: the broker, the line.
        """
        silent_s = time.monotonic() - self._heard_s.get(target.id, self._began_s)
        if silent_s < target.patience_s:
            return ParkedError(f"device {target.id}: the last {self._word} came {silent_s:.0f} s ago")
        if why:
            return NoAnswerError(why)
        if garbled := self._why.get(target.id):
            return NoAnswerError(f"device {target.id}: what comes cannot be read: {garbled}")
        return NoAnswerError(f"{where}: no {self._word} of device {target.id} for {silent_s:.0f} s")
