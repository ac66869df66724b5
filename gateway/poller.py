"""Reads the devices of one bus by its schedule. A device that fails costs the others nothing but its time-out."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from base.errors import MessnetzError, PermanentError
from base.retry import Backoff
from edge.interface import CommandableBus, EventfulBus, NoAnswerError, ParkedError
from gateway import clock
from gateway.device import DeviceState
from gateway.requests import Requests
from gateway.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from edge.interface import Bus, BusPlan, Heard
    from gateway.timekeeper import Timekeeper
    from wire.command import Configure, Downlink
    from wire.readings import Sample

logger = logging.getLogger(__name__)


class Poller:
    """The task of one bus."""

    def __init__(
        self,
        plan: BusPlan,
        keeper: Timekeeper,
        deliver: Callable[[Sample], None],
        devices: Mapping[str, DeviceState] | None = None,
        former: Poller | None = None,
        settle: Callable[[Heard], None] = lambda _: None,
    ) -> None:
        """`former`: one that has ended after `hand_over`; its open bus and its schedule go on.

        `settle` is told of every sample that came by itself, after it was delivered.
        """
        self.plan = plan
        self._keeper = keeper
        self._deliver = deliver
        self._settle = settle
        self._devices = devices or {device.id: DeviceState(device, keeper.stamp, plan.id) for device in plan.devices}
        self._requests: Requests[Bus] = Requests(f"bus {plan.id}")
        self._backoff = Backoff(f"bus {plan.id}", logger)
        self._keeps_open = False
        self.bus: Bus | None = None
        self.schedule: Schedule | None = None
        self.waits_until_s = time.monotonic()
        """When it will show the next sign of life (monotonic), unless it reads; what it reads takes its time."""
        if former is not None and former.bus is not None and former.schedule is not None:
            self.bus = former.bus
            self.bus.follow(plan)
            self.schedule = former.schedule.followed_by(plan.devices, time.monotonic(), time.time())

    def hand_over(self) -> None:
        """Leave the bus open when told to stop: another poller goes on with it."""
        self._keeps_open = True

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until told to stop; a reading under way is finished. A fault of the bus opens it anew."""
        with self._requests:
            await self._run(stop)

    async def read(self, device: str) -> Sample:
        """Read a device now, between two polls; its sample is delivered whole, as any other.

        Raises: as `Bus.read`; TransientError where the bus has too much to do, or is not polled.
        """

        async def read(bus: Bus) -> Sample:
            sample = self._devices[device].asked(await bus.read(device))
            if sample.readings:
                self._deliver(sample)
            return sample

        return await self._requests.ask(read)

    async def carry_out(self, command: Configure | Downlink) -> dict[str, Any]:
        """Tell a device something, between two polls.

        Raises: as `CommandableBus.carry_out`, and as `read`; PermanentError where the driver cannot.
        """

        async def tell(bus: Bus) -> dict[str, Any]:
            if not isinstance(bus, CommandableBus):
                name = type(command).__name__.lower()
                raise PermanentError(f"the driver of bus {self.plan.id} cannot {name} a device")
            return await bus.carry_out(command)

        return await self._requests.ask(tell)

    async def _run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._poll_bus(stop)
            except Exception as error:
                logger.exception("bus %s", self.plan.id)
                await self._stopped_within(stop, self._backoff.failed(error))

    async def _stopped_within(self, stop: asyncio.Event, seconds: float) -> bool:
        """Wait where nobody can be served."""
        self.waits_until_s = time.monotonic() + seconds
        return await clock.stopped_within(stop, seconds)

    async def _poll_bus(self, stop: asyncio.Event) -> None:
        bus = self.bus = self.bus or self.plan.open()
        if self.schedule is None:
            self.schedule = Schedule(
                self.plan.devices, monotonic_s=time.monotonic(), wall_s=time.time(), listens=self.plan.listens
            )
        hearing = asyncio.create_task(self._hear(bus)) if isinstance(bus, EventfulBus) else None
        try:
            while True:
                due_s, device = self.schedule.next_due()
                self.waits_until_s = max(due_s, time.monotonic())
                await self._requests.pause(stop, due_s - time.monotonic())
                if stop.is_set():
                    return
                await self._requests.serve_one(bus)
                if time.monotonic() < due_s:
                    continue
                await self._poll(bus, device)
                self.schedule.done(time.monotonic())
                if self._keeper.timing is not None:
                    now_s = time.monotonic()
                    self.schedule.realign(now_s, self._keeper.wall_ms(now_s) / 1000)
                self._backoff.succeeded()
        finally:
            if hearing is not None:
                hearing.cancel()
                await asyncio.wait({hearing})
            if not (self._keeps_open and stop.is_set()):
                self.bus = None
                await bus.close()

    async def _hear(self, bus: EventfulBus) -> None:
        """Take what comes by itself; a fault of the driver costs its message."""
        backoff = Backoff(f"bus {self.plan.id}: hearing", logger)
        while True:
            try:
                heard = await bus.heard()
                try:
                    self._take(heard)
                finally:  # it would be no better if it came again, and its source waits for the word
                    self._settle(heard)
                backoff.succeeded()
            except Exception as error:
                logger.exception("bus %s", self.plan.id)
                await asyncio.sleep(backoff.failed(error))

    def _take(self, heard: Heard) -> None:
        state = self._devices.get(heard.device)
        if state is None:  # a reload has let it go while its message was understood
            logger.info("bus %s: a message of %s, which is no device any more", self.plan.id, heard.device)
            return
        for sample in state.answered(heard.measured):
            self._deliver(sample)

    async def _poll(self, bus: Bus, device: str) -> None:
        state = self._devices[device]
        try:
            measured = await bus.read(device)
        except ParkedError:
            sample = state.parked(time.monotonic(), bus.traffic(device))
        except NoAnswerError as error:
            sample = state.unanswered(error, time.monotonic(), bus.traffic(device))
        except MessnetzError as error:
            sample = state.refused(error, time.monotonic(), bus.traffic(device))
        except Exception as error:
            # A fault of ours or of a library must not stop the bus: it costs this sample and is logged whole.
            logger.exception("bus %s, device %s", self.plan.id, device)
            state.error = f"internal error: {error}"
            return
        else:
            for each in state.answered(measured, bus.traffic(device)):
                self._deliver(each)
            return
        if sample is not None:
            self._deliver(sample)
