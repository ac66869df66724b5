"""Devices that speak by themselves, at work: each says its word in the middle of every interval of the clock.

So that exactly one word falls into each interval of the agent, whose intervals end with the clock's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from simulator.devices import Poll, now_ms
from simulator.ports import Port, ended

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.faults import Fault, Wrong
    from simulator.kinds import Rig
    from simulator.spec import Device


class Speaks(Protocol):
    """A model that makes words."""

    def count(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "") -> int:
        """How many readings a word makes."""

    def word(self, device: str, at_ms: int, wrong: Wrong | None = None, sector: str = "") -> bytes:
        """What the device says at a Unix time in ms."""


class Speaker:
    """One device: what it says, and the note of it in the journal."""

    def __init__(self, device: Device, model: Speaks, rig: Rig) -> None:
        self.device, self.model = device, model
        self.interval_s = device.interval_s or rig.interval_s
        self._rig = rig
        self._sector = rig.sectors[device.id]

    def word(self) -> bytes | None:
        """Say the next word, or nothing; a fault may spoil it."""
        fault = self._rig.faults.of(self.device.id)
        at_ms = now_ms()
        said = self.model.word(self.device.id, at_ms, fault.wrong if fault else None, self._sector)
        if fault is None or fault.kind in ("wrong", "slow"):
            readings = self.model.count(self.device.id, at_ms, fault.wrong if fault else None, self._sector)
            self._rig.journal.note(Poll(self.device.id, at_ms, fault.wrong if fault else None), readings)
            return said
        self._rig.journal.spoiled += 1
        return self._spoiled(said, fault)

    def _spoiled(self, said: bytes, fault: Fault) -> bytes | None:
        if fault.kind == "garbage":
            middle = len(said) // 2
            return said[:middle] + bytes([said[middle] ^ 0x15]) + said[middle + 1 :]
        return None

    async def speak(self, say: Callable[[bytes], None], may: Callable[[], bool]) -> None:
        """Say a word in every interval, for ever; while it may not, nothing."""
        while True:
            interval_ms = round(self.interval_s * 1000)
            await asyncio.sleep((interval_ms // 2 - now_ms() % interval_ms) % interval_ms / 1000 or self.interval_s)
            if may() and (said := self.word()) is not None:
                say(said)


class SpeakingLine:
    """One such device on a serial port; it says nothing that nobody would hear."""

    def __init__(self, speaker: Speaker, link: Path) -> None:
        self.address = str(link)
        self._port = Port(link)
        self._speaker = speaker
        self._task: asyncio.Task[None] | None = None
        self._is_hushed = False

    async def plug(self) -> None:
        """Put it in."""
        if self._task is None:
            self._port.plug()
            self._task = asyncio.create_task(self._speaker.speak(self._port.send, self._may))

    async def unplug(self) -> None:
        """Pull it out."""
        task, self._task = self._task, None
        await ended(task)
        self._port.unplug()

    async def hush(self) -> None:
        """Say nothing more."""
        self._is_hushed = True

    def _may(self) -> bool:
        return self._port.is_heard and not self._is_hushed
