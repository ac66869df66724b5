"""What every bus double of the tests has in common: nobody is parked, nothing costs time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.interface import Place, Traffic

if TYPE_CHECKING:
    from edge.interface import Bus, BusPlan, Measured


@dataclass(frozen=True)
class Device:
    """A device as the schedule sees it."""

    id: str
    interval_s: float = 0.1


class BusDouble:
    """A plan and its open bus in one."""

    id = "cellar"
    place = Place("serial", "/dev/null")
    devices: tuple[Device, ...] = ()
    listens = False

    def open(self) -> Bus:
        """Open the bus."""
        return self

    async def read(self, device: str) -> Measured:
        """To be said by each double."""
        raise AssertionError(device)

    def traffic(self, _device: str) -> Traffic:
        """Nobody counts."""
        return Traffic(0, 0)

    def parked_s(self, _device: str) -> float | None:
        """Nobody is parked here."""
        return None

    def cost_s(self, _device: str) -> float:
        """A bus without a line costs nothing."""
        return 0.0

    def faster(self, _share: float) -> str:
        """Nothing is faster than nothing."""
        return ""

    def is_same_line(self, other: BusPlan) -> bool:
        """Go on with any plan of the same name."""
        return other.id == self.id

    def follow(self, plan: BusPlan) -> None:
        """Take another plan."""

    async def close(self) -> None:
        """Close the bus."""
