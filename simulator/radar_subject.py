"""A radar counter over a bad line. Its lines have no checksum, so noise on it is bursts.

Noise takes reports away, and with three of a car's four the car: nobody can count it then. So what is judged is that no
car is counted that did not pass, and none is missed of which two reports came whole; and speeds where all cars did.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from simulator.devices import now_ms
from simulator.ports import Port
from simulator.radar import ANSWER, CHANNELS, FIRST_S, OPS243, PER_HOUR, QUESTION, REPORT_S, REPORTS, Car
from simulator.spoken import DEVICE, RECOVERY_S, OnPort

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simulator.ports import Noise
    from simulator.spoken import Values

ENOUGH_REPORTS = 2


class RadarSubject(OnPort):
    """A radar past which cars drive, more of them than must pass for speeds to be shown."""

    interval_s = OPS243.interval_s / 2
    """Of what is compared: an interval's truth is noted at its end."""
    recovery_s = RECOVERY_S + 3 * OPS243.interval_s
    """An interval counts whole or not at all, and noise may cost one more."""

    def __init__(self, link: Path, noise: Noise) -> None:
        bus = {"driver": "radar", "profile": OPS243.profile}
        device = {"interval_s": OPS243.interval_s}
        super().__init__(Port(link, self._hear), noise.of_bursts(), bus, device)
        self._is_clean = True
        """Whether the last line ended as it should."""

    async def play(self) -> None:
        """Let cars pass, interval by interval."""
        interval_ms = round(OPS243.interval_s * 1000)
        while True:
            began_ms = now_ms() // interval_ms * interval_ms
            if now_ms() - began_ms < FIRST_S * 1000:
                await self._interval(began_ms, began_ms + interval_ms)
            await asyncio.sleep(max(0.0, (began_ms + interval_ms - now_ms()) / 1000) + 0.01)

    async def _interval(self, began_ms: int, ends_ms: int) -> None:
        cars = OPS243.cars(DEVICE, ends_ms)
        whole: Counter[Car] = Counter()
        for after_s, car in sorted((car.after_s + report * REPORT_S, car) for car in cars for report in range(REPORTS)):
            await asyncio.sleep(max(0.0, (began_ms - now_ms()) / 1000 + after_s))
            whole[car] += self._say(car.line())
        await asyncio.sleep(max(0.0, (ends_ms - now_ms()) / 1000))
        for bound in bounds(cars, [car for car in cars if whole[car] >= ENOUGH_REPORTS], ends_ms):
            self.spoken.note(bound, words=0)

    def _hear(self, data: bytes) -> None:
        if QUESTION in data:
            self._say(ANSWER)

    def _say(self, line: bytes) -> bool:
        """Say a line; returns whether it comes whole, and nothing before it that has no end."""
        self.spoken.words += 1
        before, said = self.noise.between(), self.noise.spoil(line)
        self.port.send(before + said)
        is_whole = self._is_clean and not before and said == line
        self._is_clean = said == line
        return is_whole


def bounds(cars: Sequence[Car], certain: Sequence[Car], ends_ms: int) -> tuple[Values, Values]:
    """The least and the most that may be counted in an interval; of `certain` cars enough was heard."""
    least, most = ({name: OPS243.truth(DEVICE, name, ends_ms) for name in OPS243.names} for _ in range(2))
    for channel in CHANNELS:
        all_s, certain_s = ([car.speed_ms for car in some if car.direction == channel] for some in (cars, certain))
        least[f"count_vehicles/{channel}"] = float(len(certain_s))
        if len(certain_s) < len(all_s):
            for name in ("speed_mean", "speed_v85"):
                least[f"{name}/{channel}"] = round(min(all_s) * PER_HOUR, 1)
                most[f"{name}/{channel}"] = round(max(all_s) * PER_HOUR, 1)
    return least, most
