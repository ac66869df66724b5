"""The buses at work: one poller each, and what is known of their devices. A reload changes only what changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.interface import CountingBus
from gateway.device import DeviceState
from gateway.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.interface import Bus, BusPlan, Heard
    from gateway.bustime import BusTime
    from gateway.config import GatewayConfig
    from gateway.timekeeper import Timekeeper
    from wire.readings import Sample


@dataclass
class _Running:
    poller: Poller
    stop: asyncio.Event
    task: asyncio.Task[None]


class Buses:
    """All pollers of an agent."""

    def __init__(
        self,
        keeper: Timekeeper,
        deliver: Callable[[Sample], None],
        recall: Callable[[DeviceState], None] = lambda _: None,
        settle: Callable[[Heard], None] = lambda _: None,
    ) -> None:
        """`recall` is told of every device that is new to this run of the agent, `settle` as `Poller` has it."""
        self._settle = settle
        self._keeper = keeper
        self._deliver = deliver
        self._recall = recall
        self._running: dict[str, _Running] = {}
        self.devices: dict[str, DeviceState] = {}
        """By id. They outlive reloads."""
        self._times: dict[str, BusTime] = {}

    def __len__(self) -> int:
        return len(self._running)

    async def apply(self, config: GatewayConfig) -> None:
        """Run the buses of a configuration; those that run as it wants them are left alone.

        A poll under way on a bus that changes is finished first.
        """
        plans = {plan.id: plan for plan in config.buses}
        ending = [bus for bus, running in self._running.items() if plans.get(bus) != running.poller.plan]
        former = {bus: self._running.pop(bus) for bus in ending}
        for bus, running in former.items():
            plan = plans.get(bus)
            if plan is not None and plan.is_same_line(running.poller.plan):
                running.poller.hand_over()
            running.stop.set()
        await asyncio.gather(*(running.task for running in former.values()))  # all ports are free before one is taken
        self._configure(config)
        for bus, plan in plans.items():
            if bus not in self._running:
                self._start(plan, former[bus].poller if bus in former else None)

    async def stop(self) -> None:
        """Finish the polls under way, and close the buses."""
        for running in self._running.values():
            running.stop.set()
        await asyncio.gather(*(running.task for running in self._running.values()))

    def pollers(self) -> Iterator[tuple[Poller, bool]]:
        """Return every poller, and whether its task has ended."""
        for running in self._running.values():
            yield running.poller, running.task.done()

    def poller(self, device: str) -> Poller | None:
        """Return who polls a device now; None where there is no such device."""
        for running in self._running.values():
            if any(planned.id == device for planned in running.poller.plan.devices):
                return running.poller
        return None

    def is_urgent(self, device: str) -> bool:
        """Whether a device's samples are to be sealed at once."""
        return device in self.devices and self.devices[device].urgent

    def status(self, *, with_latest: bool) -> list[dict[str, object]]:
        """Say how every bus and device is."""
        return [
            {
                "id": running.poller.plan.id,
                "place": running.poller.plan.place.address,
                "share": self._times[running.poller.plan.id].share,
                "counts": _counts(running.poller.bus),
                "devices": [self._device(running.poller, d.id, with_latest) for d in running.poller.plan.devices],
            }
            for running in self._running.values()
        ]

    def _device(self, poller: Poller, device: str, with_latest: bool) -> dict[str, object]:  # noqa: FBT001 - ours alone
        state, bus = self.devices[device], poller.bus
        requests, errors = bus.traffic(device) if bus is not None else (0, 0)
        about: dict[str, object] = {
            "id": device,
            "interval_s": state.interval_s,
            "urgent": state.urgent,
            "reachable": state.reach.answers,
            "read_at_ms": None if state.read_at_s is None else self._keeper.wall_ms(state.read_at_s),
            "parked_s": bus.parked_s(device) if bus is not None else None,
            "requests": requests,
            "errors": errors,
            "values": len(state.latest),
            "error": state.error,
            "suspect": [said._asdict() for said in state.suspicions()],
        }
        if with_latest:
            about["latest"] = [
                {"name": name, "value": value, "unit": unit, "at_ms": self._keeper.wall_ms(at_s)}
                for name, (value, unit, at_s) in state.latest.items()
            ]
        return about

    def _configure(self, config: GatewayConfig) -> None:
        planned = {device.id: (device, plan.id) for plan in config.buses for device in plan.devices}
        for gone in self.devices.keys() - planned.keys():
            del self.devices[gone]
        for name, (device, bus) in planned.items():
            entry = config.devices.get(name)
            if name in self.devices:
                self.devices[name].configure(device, bus, entry)
            else:
                self.devices[name] = DeviceState(device, self._keeper.stamp, bus, entry)
                self._recall(self.devices[name])
        self._times = {time.bus: time for time in config.bus_times}

    def _start(self, plan: BusPlan, former: Poller | None) -> None:
        poller = Poller(plan, self._keeper, self._deliver, self.devices, former, self._settle)
        stop = asyncio.Event()
        task = asyncio.create_task(poller.run(stop), name=f"bus {plan.id}")
        self._running[plan.id] = _Running(poller, stop, task)


def _counts(bus: Bus | None) -> dict[str, int]:
    if not isinstance(bus, CountingBus):
        return {}
    return dict(bus.counts())
