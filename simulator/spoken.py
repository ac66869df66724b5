"""What a simulated meter is to `simulator.hour`: something on a line of its own that knows what it said, and when."""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from simulator.ports import Port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from simulator.ports import Noise

Values: TypeAlias = "dict[str, float]"
DEVICE = "meter"
INTERVAL_S = 2.0
ASKED_S = 4.0
TELEGRAM_S = 0.5
RECOVERY_S = 50.0
"""After the port is back, readings must come again within that time: the agent tries every 15 s at the latest, and a
particle sensor warms up for 30 s."""
KEPT_DIGITS = 1e-9


class Spoken:
    """What a device said, and when: by the names of the readings, in the quantities' units."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._values: list[Values] = []
        self.words = 0
        """How often it spoke."""

    def note(self, values: Values, *, words: int = 1) -> None:
        """Keep what was said now."""
        self.words += words
        self._times.append(time.time())
        self._values.append(values)

    def allows(self, name: str, value: float, since_s: float, until_s: float) -> bool:
        """Whether a reading lies within what was said between two Unix times: a mean does, and a last value."""
        first, last = bisect_left(self._times, since_s), bisect_left(self._times, until_s)
        said = [values[name] for values in self._values[first:last] if name in values]
        if not said:
            return False
        slack = KEPT_DIGITS * max(1.0, abs(value))
        return min(said) - slack <= value <= max(said) + slack


class Subject(Protocol):
    """A simulated device on a bus of its own."""

    spoken: Spoken
    interval_s: float
    """Between two samples of the agent."""
    recovery_s: float
    """After the port is back, a sample must come within that time."""

    @property
    def spoiled(self) -> int:
        """How many telegrams the line spoiled."""

    def bus(self) -> dict[str, Any]:
        """What the gateway's file says of its bus."""

    async def plug(self) -> None:
        """Put its port in."""

    async def unplug(self) -> None:
        """Pull its port out."""

    async def play(self) -> None:
        """Be at work until cancelled."""


def measured() -> Values:
    """What all subjects measure now: values that change slowly enough for a wrong one to stand out."""
    now_s = time.time()
    watts = 1200 + 300 * math.sin(now_s / 60)
    return {
        "active_power": round(watts, 2),
        "active_power/L1": round(watts / 3, 2),
        "voltage/L1": round(230 + 2 * math.sin(now_s / 45), 1),
        "active_energy_import": round(1000 + (now_s % 1e6) / 3600, 4),
        "active_energy_export": 12.5,
    }


class OnPort:
    """A device on a port of its own."""

    interval_s = INTERVAL_S
    recovery_s = RECOVERY_S

    def __init__(
        self, port: Port, noise: Noise, bus: Mapping[str, Any], device: Mapping[str, Any] | None = None
    ) -> None:
        """`bus`: driver, profile and what else the gateway's file says of it; `device`: likewise of the device."""
        self.spoken = Spoken()
        self.port, self.noise = port, noise
        self._bus, self._device = dict(bus), dict(device or {})

    @property
    def spoiled(self) -> int:
        """How many telegrams the line spoiled."""
        return self.noise.spoiled

    def bus(self) -> dict[str, Any]:
        """Write the section of its bus."""
        device = {**device_entry(self._bus, self.interval_s), **self._device}
        return {**section(self._bus, self.port.address), "devices": [device]}

    async def plug(self) -> None:
        """Put its port in."""
        self.port.plug()

    async def unplug(self) -> None:
        """Pull its port out."""
        self.port.unplug()

    async def play(self) -> None:
        """Nothing: it answers."""
        await asyncio.Event().wait()


class Speaker(OnPort):
    """A meter that speaks by itself."""

    def __init__(  # noqa: PLR0913 - what it says, and how the gateway knows it
        self,
        link: Path,
        noise: Noise,
        say: Callable[[Values], bytes],
        bus: Mapping[str, Any],
        measure: Callable[[], Values] | None = None,
        *,
        device: Mapping[str, Any] | None = None,
        is_told: bool = False,
    ) -> None:
        """`say`: the telegram of some values; `is_told`: it hears what is written to it, and needs none of it."""
        super().__init__(Port(link, (lambda _: None) if is_told else None), noise, bus, device)
        self._say, self._measure = say, measure or measured

    async def play(self) -> None:
        """Say a telegram every half second."""
        while True:
            values = self._measure()
            telegram = self._say(values)
            self.spoken.note(values)
            self.port.send(self.noise.between())
            self.port.send(self.noise.spoil(telegram))
            await asyncio.sleep(TELEGRAM_S)


def section(bus: Mapping[str, Any], address: str) -> dict[str, Any]:
    """Write the section of a bus, without its devices."""
    return {"id": "line", "serial": address, **{key: value for key, value in bus.items() if key != "profile"}}


def device_entry(bus: Mapping[str, Any], interval_s: float) -> dict[str, Any]:
    """Write the entry of the device."""
    return {"id": DEVICE, "profile": bus["profile"], "site": "site", "interval_s": interval_s}
