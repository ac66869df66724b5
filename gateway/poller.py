"""Reads the devices of one bus by its schedule. A device that fails costs the others nothing but its time-out."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from base.errors import MessnetzError, PermanentError
from base.retry import Backoff
from edge.interface import CommandableBus, ParkedError
from gateway import clock
from gateway.requests import Requests
from gateway.schedule import Schedule
from wire.readings import Sample

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from edge.interface import Bus, BusPlan
    from gateway.clock import Clock
    from wire.command import Configure, Downlink

logger = logging.getLogger(__name__)


TIE_MS = 1000
"""So little may a device's times overlap and be moved on; more is a step of the wall clock."""


@dataclass
class _Health:
    backoff: Backoff
    last_ms: int = 0


class Poller:
    """The task of one bus."""

    def __init__(self, plan: BusPlan, trust: Clock, deliver: Callable[[Sample], None]) -> None:
        self._plan = plan
        self._clock = trust
        self._deliver = deliver
        self._requests: Requests[Bus] = Requests(f"bus {plan.id}")
        self._backoff = Backoff(f"bus {plan.id}", logger)
        self._health = {
            device.id: _Health(Backoff(f"device {device.id} on bus {plan.id}", logger)) for device in plan.devices
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until told to stop; a reading under way is finished. A fault of the bus opens it anew."""
        with self._requests:
            await self._run(stop)

    async def read(self, device: str) -> Sample:
        """Read a device now, between two polls; its sample is delivered as any other.

        Raises: as `Bus.read`; TransientError where the bus has too much to do, or is not polled.
        """
        return await self._requests.ask(lambda bus: self._read(bus, device))

    async def carry_out(self, command: Configure | Downlink) -> dict[str, Any]:
        """Tell a device something, between two polls.

        Raises: as `CommandableBus.carry_out`, and as `read`; PermanentError where the driver cannot.
        """

        async def tell(bus: Bus) -> dict[str, Any]:
            if not isinstance(bus, CommandableBus):
                name = type(command).__name__.lower()
                raise PermanentError(f"the driver of bus {self._plan.id} cannot {name} a device")
            return await bus.carry_out(command)

        return await self._requests.ask(tell)

    async def _run(self, stop: asyncio.Event) -> None:
        while not self._clock.is_synchronised():
            if await clock.stopped_within(stop, clock.CHECK_S):
                return
        while not stop.is_set():
            try:
                await self._poll_bus(stop)
            except Exception as error:
                logger.exception("bus %s", self._plan.id)
                await clock.stopped_within(stop, self._backoff.failed(error))

    async def _poll_bus(self, stop: asyncio.Event) -> None:
        bus = self._plan.open()
        schedule = Schedule(self._plan.devices, monotonic_s=time.monotonic(), wall_s=time.time())
        try:
            while True:
                due_s, device = schedule.next_due()
                await self._requests.pause(stop, due_s - time.monotonic())
                if stop.is_set():
                    return
                await self._requests.serve_one(bus)
                if time.monotonic() < due_s:
                    continue
                await self._poll(bus, device)
                schedule.done(device, time.monotonic())
                self._backoff.succeeded()
        finally:
            await bus.close()

    async def _poll(self, bus: Bus, device: str) -> None:
        health = self._health[device]
        try:
            await self._read(bus, device)
        except ParkedError:
            return
        except MessnetzError as error:
            health.backoff.failed(error)
            return
        except Exception:
            # A fault of ours or of a library must not stop the bus: it costs this sample and is logged whole.
            logger.exception("bus %s, device %s", self._plan.id, device)
            return

    async def _read(self, bus: Bus, device: str) -> Sample:
        measured = await bus.read(device)
        health = self._health[device]
        health.backoff.succeeded()
        sample = Sample(device, self._stamp(device, clock.wall_ms(measured.at_s), health.last_ms), measured.readings)
        if measured.readings:
            health.last_ms = sample.measured_at_ms
            self._deliver(sample)
        return sample

    @staticmethod
    def _stamp(device: str, at_ms: int, last_ms: int) -> int:
        """Return the time of a sample: a tie with the last one moves on by 1 ms, so that no two fall on one point."""
        if at_ms > last_ms:
            return at_ms
        if last_ms - at_ms < TIE_MS:
            return last_ms + 1
        logger.warning("the wall clock went back by %d ms; device %s follows it", last_ms - at_ms, device)
        return at_ms
