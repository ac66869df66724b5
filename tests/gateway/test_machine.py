"""The gateway's own condition: from the files of a machine that a test brings along."""

from __future__ import annotations

import asyncio
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from base.errors import TransientError
from gateway import certificate, clock
from gateway.condition import Condition, SpoolCondition
from gateway.machine import Machine
from gateway.timekeeper import Timekeeper

if TYPE_CHECKING:
    from wire.readings import Sample

FILES = {
    "proc/loadavg": "0.42 0.31 0.25 1/123 4567\n",
    "proc/meminfo": "MemTotal:        1000 kB\nMemFree: 10 kB\nMemAvailable:     250 kB\n",
    "proc/uptime": "3600.5 7000.0\n",
    "proc/self/io": "rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n",
    "sys/class/thermal/thermal_zone0/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "99000\n",
    "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "47774\n",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
}


def _machine(root: Path, files: dict[str, str], disk: Path | None = None) -> Machine:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Machine(disk or root, root, lambda _: _statvfs(flag=0))


def _statvfs(flag: int) -> os.statvfs_result:
    # bsize, frsize, blocks, bfree, bavail, files, ffree, favail, flag, namemax
    return os.statvfs_result((4096, 4096, 1000, 200, 150, 0, 0, 0, flag, 255))


def test_a_raspberry_pi_tells_all(tmp_path: Path) -> None:
    """In the units of the vocabulary."""
    machine = _machine(tmp_path, FILES)
    assert machine.temp_cpu() == 47.774
    assert machine.load() == 0.42
    assert machine.memory_used() == 75
    assert machine.uptime() == 3600.5
    assert machine.undervoltage() == 1
    assert machine.disk_free() == 15
    assert machine.disk_readonly() == 0
    assert machine.disk_written() == 4096


def test_the_disk_counts_what_everybody_wrote(tmp_path: Path) -> None:
    """Sectors of 512 bytes, where the kernel counts them for the disk; what we wrote ourselves is then no matter."""
    device = tmp_path.stat().st_dev
    stat = f"sys/dev/block/{os.major(device)}:{os.minor(device)}/stat"
    machine = _machine(tmp_path, {**FILES, stat: " 1 2 3 4 5 6 1000 8 9 10 11\n"})
    assert machine.disk_written() == 512_000


def test_a_card_that_gave_up_shows(tmp_path: Path) -> None:
    """The kernel mounts it read-only."""
    machine = Machine(tmp_path, tmp_path, lambda _: _statvfs(flag=os.ST_RDONLY))
    assert machine.disk_readonly() == 1


@pytest.mark.parametrize(("options", "told"), [("rw,abort,emergency_ro", 1), ("rw,errors=remount-ro", 0)])
def test_a_card_whose_journal_was_given_up_shows(options: str, told: float, tmp_path: Path) -> None:
    """A newer kernel calls it writable still."""
    device = tmp_path.stat().st_dev
    own = f"36 35 {os.major(device)}:{os.minor(device)} / / rw,relatime shared:1 - ext4 /dev/root {options}\n"
    other = "37 35 99:1 / /boot rw - ext4 /dev/other rw,emergency_ro\n"
    machine = _machine(tmp_path, {**FILES, "proc/self/mountinfo": other + own})
    assert machine.disk_readonly() == told


def test_a_machine_without_all_that_tells_nothing(tmp_path: Path) -> None:
    """No file, no reading; never a 0 that nobody measured."""

    def gone(_disk: Path) -> os.statvfs_result:
        raise FileNotFoundError

    machine = Machine(tmp_path / "gone", tmp_path, gone)
    told = (machine.temp_cpu(), machine.load(), machine.memory_used(), machine.uptime(), machine.undervoltage())
    assert told == (None,) * 5
    assert (machine.disk_free(), machine.disk_readonly(), machine.disk_written()) == (None,) * 3


@pytest.mark.parametrize("text", ["", "rubbish\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n", "MemTotal:\n"])
def test_rubbish_is_no_reading(text: str, tmp_path: Path) -> None:
    """A kernel of another time may write otherwise."""
    machine = _machine(tmp_path, {"proc/meminfo": text, "proc/loadavg": text.replace("0", "x")})
    assert (machine.memory_used(), machine.load()) == (None, None)


def test_this_machine_tells_something() -> None:
    """The real files are where they are looked for."""
    machine = Machine(Path.cwd())
    assert (machine.uptime() or 0) > 0
    assert 0 <= (machine.memory_used() or -1) <= 100
    assert 0 <= (machine.disk_free() or -1) <= 100


def _condition(tmp_path: Path, kind: str = "trusted") -> tuple[Condition, list[Sample]]:
    delivered: list[Sample] = []
    spool = tmp_path / "spool.sqlite"
    spool.write_bytes(b"x" * 2048)
    Path(f"{spool}-wal").write_bytes(b"x" * 100)

    async def spool_condition() -> SpoolCondition:
        return SpoolCondition(7, clock.now_ms() - 90_000, 2, spool)

    keeper = Timekeeper("trusted" if kind == "trusted" else "kernel")
    return Condition("town-hall-gw", _machine(tmp_path, FILES), keeper, spool_condition, delivered.append), delivered


def _run(condition: Condition, delivered: list[Sample], samples: int) -> None:
    """Run the task until so many samples came."""

    async def play() -> None:
        stop = asyncio.Event()

        def deliver(sample: Sample) -> None:
            delivered.append(sample)
            if len(delivered) == samples:
                stop.set()

        condition._deliver = deliver
        await asyncio.wait_for(condition.run(stop), 20)

    asyncio.run(play())


def test_its_condition_is_a_sample_of_the_gateway(tmp_path: Path) -> None:
    """Every quantity once, in its unit; what the machine does not have is left out."""
    condition, _ = _condition(tmp_path)
    sample = asyncio.run(condition.read())
    values = {reading.name: (reading.value, reading.unit) for reading in sample.readings}
    assert sample.device == "town-hall-gw"
    assert values["temp_cpu"] == (47.774, "Cel")
    assert values["spool_depth"] == (7, "count")
    assert values["spool_age"][0] == pytest.approx(90, abs=5)
    assert values["spool_size"] == (2148, "B")
    assert values["spool_rejected"] == (2, "count")
    assert values["undervoltage"] == (1, "/")
    assert not {"certificate_left", "clock_synced", "clock_offset"} & values.keys()


def test_a_kernel_that_is_asked_tells_of_its_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is synchronised, and by how much it is off where it is."""
    condition, _ = _condition(tmp_path, "kernel")
    monkeypatch.setattr(clock, "kernel_is_synchronised", lambda: True)
    monkeypatch.setattr(clock, "kernel_offset_s", lambda: -0.0125)
    values = {reading.name: reading.value for reading in asyncio.run(condition.read()).readings}
    assert (values["clock_synced"], values["clock_offset"]) == (1, -0.0125)
    monkeypatch.setattr(clock, "kernel_is_synchronised", lambda: False)
    monkeypatch.setattr(clock, "kernel_offset_s", lambda: None)
    values = {reading.name: reading.value for reading in asyncio.run(condition.read()).readings}
    assert values["clock_synced"] == 0
    assert "clock_offset" not in values


def test_the_kernels_offset_is_one_of_a_clock() -> None:
    """The call itself works; a synchronised clock is off by less than a minute."""
    offset_s = clock.kernel_offset_s()
    assert (offset_s is not None) == clock.kernel_is_synchronised()
    assert abs(offset_s or 0.0) < 60


def test_it_is_read_at_once_and_then_at_its_interval(tmp_path: Path) -> None:
    """Times rise strictly, whatever the interval."""
    condition, delivered = _condition(tmp_path)
    condition.interval_s = 0.01

    _run(condition, delivered, 3)
    times = [sample.measured_at_ms for sample in delivered]
    assert times == sorted(set(times))


@pytest.mark.parametrize("error", [TransientError("disk full"), RuntimeError("a fault of ours")], ids=str)
def test_a_spool_that_is_ill_costs_its_own_values_only(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What else the machine tells is delivered, and the spool's values are back when it is."""
    condition, delivered = _condition(tmp_path)
    condition.interval_s = 0.01

    async def ill() -> SpoolCondition:
        if not delivered:
            raise error
        return SpoolCondition(0, None, 0, tmp_path / "none")

    monkeypatch.setattr(condition, "_spool", ill)
    _run(condition, delivered, 2)
    first, second = ({reading.name for reading in sample.readings} for sample in delivered)
    assert second - first == {"spool_depth", "spool_age", "spool_size", "spool_rejected"}
    assert first <= second
    assert "temp_cpu" in first


def test_a_fault_of_ours_costs_one_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task goes on."""
    condition, delivered = _condition(tmp_path)
    condition.interval_s = 0.01
    reads, values = [], condition._values

    def faulty(spool: SpoolCondition | None, now_ms: int) -> dict[str, float | None]:
        reads.append(now_ms)
        if len(reads) == 1:
            raise RuntimeError("a fault of ours")
        return values(spool, now_ms)

    monkeypatch.setattr(condition, "_values", faulty)
    _run(condition, delivered, 1)
    assert len(reads) == 2


@pytest.mark.parametrize("days", [30, 20_000], ids=["UTCTime", "GeneralizedTime, after 2049"])
@pytest.mark.parametrize("key", ["rsa:2048", "ec"])
def test_a_certificate_says_how_long_it_holds(days: int, key: str, tmp_path: Path) -> None:
    """As OpenSSL wrote it, both forms of time."""
    file = tmp_path / "gw.pem"
    algorithm = ["-newkey", key] if key != "ec" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = ["openssl", "req", "-x509", *algorithm, "-nodes", "-keyout", str(tmp_path / "key.pem"), "-out", str(file)]
    subprocess.run([*command, "-subj", "/CN=gw", "-days", str(days)], check=True, capture_output=True)
    ends = certificate.not_after(file)
    assert ends is not None
    assert abs(ends - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=5)
    condition, _ = _condition(tmp_path)
    condition.certificate = file
    values = {reading.name: reading.value for reading in asyncio.run(condition.read()).readings}
    assert values["certificate_left"] == pytest.approx(days * 24, abs=0.1)


BROKEN = [
    b"",
    b"rubbish",
    b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    b"-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n",
    b"-----BEGIN CERTIFICATE-----\n",
]


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_certificate_says_nothing(content: bytes, tmp_path: Path) -> None:
    """No trace, no reading."""
    file = tmp_path / "gw.pem"
    file.write_bytes(content)
    assert certificate.not_after(file) is None
    assert certificate.not_after(tmp_path / "none.pem") is None
