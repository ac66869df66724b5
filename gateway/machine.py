"""What the machine says of itself: small files of the kernel, each read only where there is one.

`root` is where they are looked for, so that a test can bring a machine of its own as a directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path("/")
SECTOR_BYTES = 512
"""As /sys counts, whatever the device's own sectors (Documentation/block/stat)."""
SECTORS_WRITTEN = 6
CPU_ZONES = ("cpu-thermal", "x86_pkg_temp", "soc-thermal", "cpu_thermal")


class Machine:
    """The files of one machine. Every answer is None where the machine does not have it."""

    def __init__(
        self, disk: Path, root: Path = ROOT, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
    ) -> None:
        """`disk`: a directory on the file system that counts, that of the spool."""
        self._disk = disk
        self._root = root
        self._statvfs = statvfs

    def temp_cpu(self) -> float | None:
        """Temperature of the processor in °C."""
        zones = {_text(zone / "type"): zone for zone in sorted(self._root.glob("sys/class/thermal/thermal_zone*"))}
        for name in CPU_ZONES:
            if name in zones:
                degrees = _number(zones[name] / "temp")
                return None if degrees is None else degrees / 1000
        return None

    def load(self) -> float | None:
        """Mean number of processes that ran or wanted to, over the last minute."""
        return _first(_text(self._root / "proc/loadavg"))

    def memory_used(self) -> float | None:
        """Memory that is not available for more, in %."""
        lines = (_text(self._root / "proc/meminfo") or "").splitlines()
        table = {name: _first(rest) for name, _, rest in (line.partition(":") for line in lines)}
        total, available = table.get("MemTotal"), table.get("MemAvailable")
        return None if not total or available is None else 100.0 * (1 - available / total)

    def uptime(self) -> float | None:
        """Seconds since the machine started."""
        return _first(_text(self._root / "proc/uptime"))

    def undervoltage(self) -> float | None:
        """1 where the supply was too weak since the kernel last looked; a Raspberry Pi tells."""
        for device in self._root.glob("sys/class/hwmon/hwmon*"):
            if _text(device / "name") == "rpi_volt":
                return _number(device / "in0_lcrit_alarm")
        return None

    def disk_free(self) -> float | None:
        """Space that is free for us, in %."""
        found = self._file_system()
        return 100.0 * found.f_bavail / found.f_blocks if found and found.f_blocks else None

    def disk_readonly(self) -> float | None:
        """1 where the file system can only be read (again): what a dying SD card comes to."""
        found = self._file_system()
        return None if found is None else float(bool(found.f_flag & os.ST_RDONLY) or self._is_given_up())

    def _is_given_up(self) -> bool:
        """Whether the kernel refuses every write to an ext4 that it still calls writable, as newer ones do."""
        try:
            device = self._disk.stat().st_dev
        except OSError:
            return False
        number = f"{os.major(device)}:{os.minor(device)}"
        mounts = (line.split() for line in (_text(self._root / "proc/self/mountinfo") or "").splitlines())
        return any(mount[2:3] == [number] and "emergency_ro" in mount[-1].split(",") for mount in mounts)

    def disk_written(self) -> float | None:
        """Bytes written to the disk since the machine started, whoever wrote; by us alone where nobody counts that."""
        try:
            device = self._disk.stat().st_dev
        except OSError:
            return None
        stat = (_text(self._root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}/stat") or "").split()
        if len(stat) > SECTORS_WRITTEN:
            return float(int(stat[SECTORS_WRITTEN]) * SECTOR_BYTES)
        for line in (_text(self._root / "proc/self/io") or "").splitlines():
            if line.startswith("write_bytes:"):
                return _first(line.partition(":")[2])
        return None

    def _file_system(self) -> os.statvfs_result | None:
        try:
            return self._statvfs(self._disk)
        except OSError:
            return None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # not there, or the sensor does not answer
        return None


def _number(file: Path) -> float | None:
    return _first(_text(file))


def _first(text: str | None) -> float | None:
    """Return the first word as a number; None where it is none."""
    try:
        return float((text or "").split()[0])
    except (IndexError, ValueError):
        return None
