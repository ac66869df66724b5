"""What each command does on the gateway: one table from the command to the function that carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from base.errors import PermanentError
from wire.command import Configure, Downlink, Maintenance, Read, Reload, Resend
from wire.readings import Flag, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from gateway.command_memory import CommandMemory
    from gateway.poller import Poller
    from wire.command import Action

    OnDisk: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
    """Runs a call that waits for the disk, away from the loop."""


@dataclass(frozen=True)
class Handlers:
    """What the agent lends to commands. What it cannot do is None, and refused by name."""

    poller: Callable[[str], Poller | None]
    """The poller of a device as the configuration in force has it; None where there is no such device."""
    reload: Callable[[], Awaitable[str]] | None = None
    """Read the configuration anew; returns the hash of what is in force then. Raises: MessnetzError where it is bad."""
    resend: Callable[[int, int], Awaitable[int]] | None = None
    """As `Spool.resend` (Unix milliseconds); returns how many batches."""


class Outcome(NamedTuple):
    """What a command that was done leaves to say."""

    text: str
    result: dict[str, Any] | None = None


class Table:
    """The functions that carry out commands."""

    def __init__(self, gateway: str, handlers: Handlers, memory: CommandMemory, on_disk: OnDisk) -> None:
        self._gateway = gateway
        self._handlers = handlers
        self._memory = memory
        self._on_disk = on_disk
        self._functions: dict[type[Action], Callable[[Any], Awaitable[Outcome]]] = {
            Read: self._read,
            Maintenance: self._maintain,
            Configure: self._tell,
            Downlink: self._tell,
            Reload: self._reload,
            Resend: self._resend,
        }

    async def carry_out(self, action: Action) -> Outcome:
        """Carry out a command.

        Raises: MessnetzError where it could not be done.
        """
        return await self._functions[type(action)](action)

    def _poller(self, device: str) -> Poller:
        poller = self._handlers.poller(device)
        if poller is None:
            raise PermanentError(f"gateway {self._gateway} has no device {device!r}")
        return poller

    async def _read(self, action: Read) -> Outcome:
        sample = marked(await self._poller(action.device).read(action.device), self._memory)
        readings = [msgspec.structs.asdict(reading) for reading in sample.readings]
        result = {"device": sample.device, "measured_at_ms": sample.measured_at_ms, "readings": readings}
        return Outcome(f"device {action.device}: {len(readings)} readings", result)

    async def _maintain(self, action: Maintenance) -> Outcome:
        if action.device not in (None, self._gateway):
            self._poller(action.device)
        await self._on_disk(lambda: self._memory.maintain(action.device, action.from_ms, action.to_ms))
        who = f"gateway {self._gateway}" if action.device is None else f"device {action.device}"
        return Outcome(f"{who}: maintenance from {_utc(action.from_ms)} to {_utc(action.to_ms)}")

    async def _tell(self, action: Configure | Downlink) -> Outcome:
        result = await self._poller(action.device).carry_out(action)
        return Outcome(f"device {action.device}: done", result)

    async def _reload(self, _action: Reload) -> Outcome:
        if self._handlers.reload is None:
            raise PermanentError("this agent cannot reload its configuration; start it again instead")
        config = await self._handlers.reload()
        return Outcome(f"configuration {config} is in force", {"config": config})

    async def _resend(self, action: Resend) -> Outcome:
        if self._handlers.resend is None:
            raise PermanentError("this agent cannot resend what was confirmed")
        batches = await self._handlers.resend(action.from_ms, action.to_ms)
        return Outcome(f"{batches} batches will be sent again", {"batches": batches})


def marked(sample: Sample, memory: CommandMemory) -> Sample:
    """Return a sample with its readings flagged where it was taken during maintenance."""
    if not memory.in_maintenance(sample.device, sample.measured_at_ms):
        return sample
    return Sample(sample.device, sample.measured_at_ms, tuple(_flagged(reading) for reading in sample.readings))


def _flagged(reading: Reading) -> Reading:
    return msgspec.structs.replace(reading, flags=reading.flags | Flag.MAINTENANCE.value)


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
