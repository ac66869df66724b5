"""A town's meters at work, with the switches that break them."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from simulator import faults as fault_rules
from simulator.faults import DELAY_S, Faults
from simulator.kinds import Rig

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from simulator.devices import Journal
    from simulator.servers import Bus
    from simulator.spec import TownSpec


MOST_NAMED = 12


class Meters:
    """All meters of a town; `fault` breaks one, or a bus."""

    def __init__(self, town: TownSpec, journal: Journal, *, lines: Path | None = None) -> None:
        """`lines`: the directory for the links to serial ports; a temporary one unless given."""
        self.journal = journal
        self.faults = Faults()
        self._town = town
        self._lines = lines
        self._buses: dict[str, Bus] = {}
        self._bus_of = {device.id: device.bus for gateway in town.gateways for device in gateway.devices}
        self._returning: dict[str, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()

    @property
    def where(self) -> dict[str, str]:
        """Where each bus is found: `HOST:PORT` or the path of a serial port."""
        return {name: bus.address for name, bus in self._buses.items()}

    async def hush(self) -> None:
        """Let those that speak by themselves say nothing more."""
        for bus in self._buses.values():
            await bus.hush()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._lines is None:
                self._lines = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="messnetz-lines-")))
            self._lines.mkdir(parents=True, exist_ok=True)
            rig = Rig(self.journal, self.faults, self._town.sectors, self._lines, self._town.interval_s)
            for gateway in self._town.gateways:
                for name, devices in gateway.buses.items():
                    self._buses[name] = bus = gateway.kind(name).bus(name, devices, rig)
                    stack.push_async_callback(bus.unplug)
                    await bus.plug()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._returning.values():
            task.cancel()
        await self._stack.aclose()

    async def fault(
        self, target: str, kind: str, *, how: str = "", delay_s: float = DELAY_S, for_s: float | None = None
    ) -> None:
        """Break a device; or with `off` a bus, which a device of it may stand for. For ever where `for_s` is None.

        Raises: ValueError with a sentence for what there is not.
        """
        fault_rules.check(kind, how, delay_s)
        if kind == "off":
            await self._switch_off(self._bus_of.get(target, target), for_s)
        elif target not in self._bus_of:
            raise ValueError(f"no device {target!r}; there are {_some(self._bus_of)}")
        else:
            self.faults.set(target, kind, how=how, delay_s=delay_s, for_s=for_s)

    async def mend(self, target: str) -> None:
        """End what is wrong with a device and with its bus, or with a bus."""
        self.faults.clear(target)
        await self._switch_on(self._bus_of.get(target, target))

    async def _switch_off(self, name: str, for_s: float | None) -> None:
        if name not in self._buses:
            raise ValueError(f"no bus {name!r}; there are {_some(self._buses)}")
        self._forget_return(name)
        await self._buses[name].unplug()
        if for_s is not None:
            self._returning[name] = asyncio.create_task(self._return(name, for_s))

    async def _switch_on(self, name: str) -> None:
        if name not in self._buses:
            raise ValueError(f"no device or bus {name!r}; there are the buses {_some(self._buses)}")
        self._forget_return(name)
        await self._buses[name].plug()

    async def _return(self, name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        del self._returning[name]
        await self._buses[name].plug()

    def _forget_return(self, name: str) -> None:
        task = self._returning.pop(name, None)
        if task is not None:
            task.cancel()


def _some(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:MOST_NAMED]) + (f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else "")
