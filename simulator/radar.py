"""A radar counter at a road: cars that follow from the clock, reported as an OPS243 does, and the truth of an interval.

Every interval of the clock has its own cars, five at least in each direction, so that speeds are shown; all of them
pass within its middle. The sample of an interval belongs to its end: that is the poll which the journal notes.
"""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from simulator.devices import Poll, now_ms
from simulator.ports import Port, ended

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simulator.faults import Wrong
    from simulator.kinds import Rig
    from simulator.servers import Bus
    from simulator.spec import Device

INTERVAL_S = 60.0
LEAST, MORE = 5, 6
HEADWAY_S = 3.0
REPORTS, REPORT_S = 4, 0.2
FIRST_S = 8.0
"""After the interval began; the last car has passed before its end by as much."""
QUESTION, ANSWER = b"?V", b'{"Version":"1.3.1"}\r\n'
ASKED_S = 15.0
"""Who asks again sooner has begun anew: what the interval had before was not counted."""
SILENT_S = 50.0
CHANNELS = ("in", "out")
PER_HOUR = 3.6


class Car(NamedTuple):
    """One passage of an interval."""

    after_s: float
    """Since the interval began."""
    direction: str
    speed_ms: float

    def line(self) -> bytes:
        """Write one report of it; outbound speeds are negative."""
        sign = 1 if self.direction == "in" else -1
        return json.dumps({"unit": "mps", "speed": f"{sign * self.speed_ms:.2f}"}).encode() + b"\r\n"


@dataclass(frozen=True)
class RadarModel:
    """What passes a radar, by the clock."""

    profile: str = "omnipresense/ops243"
    interval_s: float = INTERVAL_S

    @property
    def names(self) -> tuple[str, ...]:
        """What it measures, as on the wire."""
        return tuple(f"{name}/{to}" for name in ("count_vehicles", "speed_mean", "speed_v85") for to in CHANNELS)

    def cars(self, device: str, ends_ms: int) -> list[Car]:
        """All cars of the interval that ends at a Unix time in ms, in their order."""
        number = round(ends_ms / 1000 / self.interval_s)
        cars = []
        for lane, direction in enumerate(CHANNELS):
            chance = zlib.crc32(f"{device}/{direction}/{number}".encode())
            for each in range(LEAST + chance % MORE):
                speed_ms = 9.0 + zlib.crc32(f"{chance}/{each}".encode()) % 700 / 100
                cars.append(Car(FIRST_S + lane + each * HEADWAY_S, direction, speed_ms))
        return sorted(cars)

    def reports(self, device: str, ends_ms: int) -> list[tuple[float, bytes]]:
        """What the radar says of them: seconds after the interval began, and the line; outbound speeds are negative."""
        cars = self.cars(device, ends_ms)
        return sorted((car.after_s + report * REPORT_S, car.line()) for car in cars for report in range(REPORTS))

    def exact(self, device: str, quantity: str, at_ms: int, sector: str = "") -> float:
        """As `truth`: what is counted is exact."""
        return self.truth(device, quantity, at_ms, sector)

    def truth(self, device: str, quantity: str, at_ms: int, sector: str = "") -> float:
        """What was counted in the interval that ends then."""
        del sector
        name, _, direction = quantity.partition("/")
        speeds = sorted(car.speed_ms * PER_HOUR for car in self.cars(device, at_ms) if car.direction == direction)
        if name == "count_vehicles":
            return float(len(speeds))
        if name == "speed_mean":
            return round(math.fsum(speeds) / len(speeds), 1)
        return round(speeds[math.ceil(0.85 * len(speeds)) - 1], 1)

    def distorted(self, device: str, quantity: str, at_ms: int, wrong: Wrong, sector: str = "") -> float | None:
        """As `truth`: a radar is right or silent."""
        del wrong
        return self.truth(device, quantity, at_ms, sector)

    def count(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "") -> int:
        """All of them, since there are always cars."""
        del device, at_ms, wrong, sector
        return len(self.names)


OPS243 = RadarModel()


class RadarLine:
    """One radar on a serial port of its own. Where it is `silent` it says nothing; `garbage` adds noise."""

    def __init__(self, device: Device, model: RadarModel, rig: Rig) -> None:
        self._device, self._model, self._rig = device, model, rig
        self._port = Port(rig.lines / device.bus, self._hear)
        self.address = self._port.address
        self._task: asyncio.Task[None] | None = None
        self._is_hushed = False
        self._is_disturbed = False
        """Whether noise in this interval may keep its sample away."""
        self._asked_ms: int | None = None
        self._counted_from_ms: int | None = None
        """Since when somebody counts without a break."""

    async def plug(self) -> None:
        """Put it in."""
        if self._task is None:
            self._counted_from_ms = self._asked_ms = None
            self._port.plug()
            self._task = asyncio.create_task(self._work())

    async def unplug(self) -> None:
        """Pull it out."""
        task, self._task = self._task, None
        await ended(task)
        self._port.unplug()

    async def hush(self) -> None:
        """Say nothing more of cars."""
        self._is_hushed = True

    def _hear(self, data: bytes) -> None:
        if QUESTION not in data or self._is_silent:
            return
        at_ms = now_ms()
        if self._asked_ms is None or not ASKED_S <= (at_ms - self._asked_ms) / 1000 <= SILENT_S:
            self._counted_from_ms = at_ms
        self._asked_ms = at_ms
        self._port.send(ANSWER)

    @property
    def _is_silent(self) -> bool:
        fault = self._rig.faults.of(self._device.id)
        return fault is not None and fault.kind == "silent"

    async def _work(self) -> None:
        interval_ms = round(self._model.interval_s * 1000)
        while not self._is_hushed:
            began_ms = now_ms() // interval_ms * interval_ms
            ends_ms = began_ms + interval_ms
            self._is_disturbed = False
            if await self._passes(self._model.reports(self._device.id, ends_ms), began_ms):
                await asyncio.sleep(max(0.0, (ends_ms - now_ms()) / 1000))
                self._note(began_ms, ends_ms)
            await asyncio.sleep(max(0.0, (ends_ms - now_ms()) / 1000) + 0.01)

    async def _passes(self, reports: Sequence[tuple[float, bytes]], began_ms: int) -> bool:
        """Let all cars of an interval pass; False where it had begun too long ago, or the radar fell silent."""
        if now_ms() - began_ms > FIRST_S * 1000:
            return False
        for after_s, line in reports:
            await asyncio.sleep(max(0.0, (began_ms - now_ms()) / 1000 + after_s))
            fault = self._rig.faults.of(self._device.id)
            if self._is_silent or self._is_hushed:
                self._counted_from_ms = None
                self._rig.journal.spoiled += 1
                return False
            noise = b'{"speed":"1\xff\r\n' if fault is not None and fault.kind == "garbage" else b""
            self._is_disturbed = self._is_disturbed or bool(noise)
            self._port.send(noise + line)
        return True

    def _note(self, began_ms: int, ends_ms: int) -> None:
        since_ms = self._counted_from_ms
        if since_ms is not None and since_ms < ends_ms:
            is_certain = since_ms < began_ms - 1000 and not self._is_disturbed
            self._rig.journal.spoiled += self._is_disturbed
            poll = Poll(self._device.id, ends_ms, is_certain=is_certain)
            self._rig.journal.note(poll, self._model.count(self._device.id, ends_ms))


class _Radar:
    """A kind of bus: one radar on a serial port. What it said counts when its interval ends, or not at all."""

    speaks = False

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:
        """Put the radar on a pseudo-terminal."""
        del name
        (device,) = devices
        if not isinstance(device.model, RadarModel):
            raise TypeError(f"{device.id} is no radar")
        return RadarLine(device, device.model, rig)

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name the port."""
        del lines
        return {"driver": "radar", "serial": address or f"/dev/null/{name}"}

    def entry(self, device: Device) -> dict[str, Any]:
        """Nothing: it is alone."""
        del device
        return {}


RADAR = _Radar()
