"""Devices that share a line or a server take turns: each has a reader of its own, and one that is silent is parked."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from edge.interface import NoAnswerError, ParkedError
from edge.parking import Parking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


@dataclass(frozen=True)
class AskedTarget:
    """A device that is asked."""

    id: str
    interval_s: float

    def is_like(self, other: Self | None) -> bool:
        """Whether another one is the same device, read in the same way, if perhaps at other times."""
        return other is not None and replace(other, interval_s=self.interval_s) == self


T = TypeVar("T", bound=AskedTarget)
R = TypeVar("R")
A = TypeVar("A")


class Turns(Generic[T, R]):
    """The devices of one line. A reader is whatever keeps what is learned of a device."""

    def __init__(self, devices: Iterable[T], make: Callable[[T], R]) -> None:
        """`make` makes the reader of a device."""
        self._devices = {device.id: device for device in devices}
        self._readers = {name: make(device) for name, device in self._devices.items()}
        self._parking = Parking()

    def reader(self, device: str) -> R:
        """Return the reader of a device."""
        return self._readers[device]

    async def ask(self, device: str, ask: Callable[[T, R], Awaitable[A]]) -> A:
        """Ask a device on the line.

        Raises: ParkedError, without a word on the line, where it has not answered for a while and its next probe is
        not due; what `ask` raises, of which NoAnswerError alone means that it is silent.
        """
        if not self._parking.is_due(device):
            raise ParkedError(f"device {device} does not answer; asked more rarely")
        began_s = time.monotonic()
        try:
            answer = await ask(self._devices[device], self._readers[device])
        except NoAnswerError:
            self._parking.failed(device, time.monotonic() - began_s)
            raise
        except Exception:
            self._parking.answered(device)
            raise
        self._parking.answered(device)
        return answer

    def parked_s(self, device: str) -> float | None:
        """Return the seconds until a parked device is asked again; None where it is not parked."""
        return self._parking.probe_in_s(device)

    def follow(self, devices: Iterable[T], make: Callable[[T], R]) -> None:
        """Go on with other devices; those that did not change keep their readers, and stay parked where they are."""
        now = {device.id: device for device in devices}
        before, readers = self._devices, self._readers
        is_kept = {name: device.is_like(before.get(name)) for name, device in now.items()}
        self._devices = now
        self._readers = {name: readers[name] if is_kept[name] else make(device) for name, device in now.items()}
        for name in before:
            if not is_kept.get(name):
                self._parking.answered(name)  # gone, or another device under this name: it is asked at once
