"""The clocks of a machine that a test moves: true time goes on, the wall clock says what it is told to."""

from __future__ import annotations

from dataclasses import dataclass

START_MS = 1_795_000_000_000
"""Unix time at which the machine starts."""


@dataclass
class Clocks:
    """True time, and what this machine makes of it."""

    boot: str = "boot-1"
    began_ms: int = START_MS
    """When the machine started."""
    true_ms: int = START_MS
    wall_ahead_ms: int = 0
    synchronised: bool = False

    def wall_ms(self) -> int:
        """Unix time as the wall clock has it."""
        return self.true_ms + self.wall_ahead_ms

    def boot_ms(self) -> int:
        """Time since the machine started."""
        return self.true_ms - self.began_ms

    def boot_ms_at(self, monotonic_s: float) -> int:
        """The monotonic clock of this machine begins with it."""
        return round(monotonic_s * 1000)

    def is_synchronised(self) -> bool:
        """Whether the kernel says that the wall clock is right."""
        return self.synchronised

    @property
    def monotonic_s(self) -> float:
        """Now, on the monotonic clock."""
        return self.boot_ms() / 1000

    def reboot(self, boot: str, after_ms: int = 20_000) -> None:
        """Start the machine again."""
        self.true_ms += after_ms
        self.boot, self.began_ms = boot, self.true_ms
