"""From samples to batches on disk, on a disk that does not always want."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, cast

import pytest

from base.errors import TransientError
from gateway import sealer as sealers
from gateway.config import SpoolConfig
from gateway.sealer import Loss, Sealer, SpoolThread
from gateway.spool import SealedBatch, Settled
from gateway.timekeeper import Timekeeper
from gateway.uplink import Uplink
from wire.confirm import Confirm
from wire.gaps import Gap
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from gateway.stamps import Timing

T = TypeVar("T")
STREAM = "a" * 16
NOW_MS = 1_795_000_000_000


class Disk:
    """A spool that is asked to seal, and may be full."""

    def __init__(self) -> None:
        self.is_full = False
        self.batches: list[list[Sample]] = []
        self.marked: set[int] = set()
        self.gaps: list[Gap] = []
        self.in_flight: set[int] = set()
        self.stopped: list[tuple[set[str], int]] = []
        self.kept: list[Timing] = []
        self.boot_ms: int | None = None
        self.may_place = False

    @property
    def spool(self) -> Disk:
        """It is both."""
        return self

    def keep_time(self, timing: Timing) -> Timing:
        """Take note."""
        self.kept.append(timing)
        return timing

    def seal(
        self,
        batches: Sequence[Sequence[Sample]],
        settled: Settled,
        _now_ms: int,
        *,
        gaps: Sequence[Gap],
        in_flight: Collection[int],
        boot_ms: int | None,
    ) -> None:
        """Seal, or say that the disk is full."""
        if self.is_full:
            raise TransientError("disk full")
        self.batches += [list(batch) for batch in batches]
        self.marked |= settled.confirmed
        self.gaps += gaps
        self.in_flight = set(in_flight)
        self.boot_ms = boot_ms

    def declare_stopped(self, devices: Iterable[str], now_ms: int) -> None:
        """Take note."""
        self.stopped.append((set(devices), now_ms))

    async def run(self, call: Callable[[Disk], T]) -> T:
        """Run a call at once."""
        return call(self)


def _sealer(disk: Disk, config: SpoolConfig | None = None) -> tuple[Sealer, Uplink, list[str]]:
    uplink = Uplink(window=4, timeout_s=10)
    sealed: list[str] = []
    thread = cast("SpoolThread", disk)
    return (
        Sealer(thread, uplink, config or SpoolConfig(), Timekeeper("trusted"), lambda: sealed.append("sealed")),
        uplink,
        sealed,
    )


def _sample(at_ms: int, readings: int = 2) -> Sample:
    return Sample(
        "main", NOW_MS + at_ms, tuple(Reading("voltage", 230.0, "V", f"L{index}") for index in range(readings))
    )


def test_what_is_pending_becomes_batches_of_the_set_size() -> None:
    """A sample is never split, and nothing is left over."""
    disk = Disk()
    sealer, _, sealed = _sealer(disk, SpoolConfig(seal_readings=4))
    for at_ms in range(5):
        sealer.add(_sample(at_ms))
    assert asyncio.run(sealer.seal())
    assert [[sample.measured_at_ms - NOW_MS for sample in batch] for batch in disk.batches] == [[0, 1], [2, 3], [4]]
    assert (sealer.pending_readings, sealed) == (0, ["sealed"])


def test_a_full_disk_costs_nothing_and_keeps_the_order() -> None:
    """What could not be sealed is sealed with the next try, before what came later."""
    disk = Disk()
    disk.is_full = True
    sealer, _, sealed = _sealer(disk)
    sealer.add(_sample(1))
    assert not asyncio.run(sealer.seal())
    sealer.add(_sample(2))
    assert (sealer.pending_readings, sealed) == (4, [])
    disk.is_full = False
    assert asyncio.run(sealer.seal())
    assert [sample.measured_at_ms - NOW_MS for sample in disk.batches[0]] == [1, 2]


ILL = {
    "a text that cannot be written": Sample("main", NOW_MS + 2, (Reading("voltage", 230.0, "\ud800"),)),
    "a time that no column holds": Sample("main", 2**64, (Reading("voltage", 230.0, "V"),)),
    "a device whose name is none": Sample("No Name", NOW_MS + 2, (Reading("voltage", 230.0, "\ud800"),)),
}


@pytest.mark.parametrize("ill", ILL.values(), ids=list(ILL))
def test_a_sample_that_cannot_be_packed_costs_the_others_nothing(
    ill: Sample, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out and named, its device gets a gap, and the same call seals the rest."""

    async def play() -> tuple[list[Sample], list[Gap]]:
        thread = await SpoolThread.open(tmp_path / "spool.sqlite", SpoolConfig(floor_mb=1))
        uplink = Uplink(window=4, timeout_s=10)
        sealer = Sealer(thread, uplink, SpoolConfig(), Timekeeper("trusted"), lambda: None)
        for sample in (_sample(1), ill, _sample(3)):
            sealer.add(sample)
        assert await sealer.seal()
        assert (sealer.pending_readings, sealer.dropped_readings) == (0, 1)
        batches = await thread.run(lambda spool: spool.next_to_send(10))
        gaps = await thread.run(lambda spool: spool.gaps())
        await thread.close()
        return batches[0].samples(), gaps

    samples, gaps = asyncio.run(play())
    assert samples == [_sample(1), _sample(3)]
    assert [(gap.device, gap.reason, gap.readings) for gap in gaps] == [("main", "disk", 1)] * (ill.device == "main")
    assert "is left out" in caplog.text


@pytest.mark.parametrize("has_begun", [True, False], ids=["begun", "queued"])
def test_a_seal_whose_caller_gives_up_loses_nothing(*, has_begun: bool) -> None:
    """Cancelled while the disk is busy: the seal goes on, and the next one finds nothing left to do."""

    class BusyDisk(Disk):
        free = asyncio.Event()

        async def run(self, call: Callable[[Disk], T]) -> T:
            await self.free.wait()
            return call(self)

    async def play() -> tuple[list[list[Sample]], int]:
        disk = BusyDisk()
        sealer, _, _ = _sealer(disk)
        sealer.add(_sample(1))
        caller = asyncio.create_task(sealer.seal())
        for _ in range(3 if has_begun else 1):
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        disk.free.set()
        assert await sealer.seal()
        return disk.batches, sealer.pending_readings

    assert asyncio.run(play()) == ([[_sample(1)]], 0)


def test_a_disk_that_refuses_for_ever_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest go, and the log says how many."""
    monkeypatch.setattr(sealers, "MAX_PENDING_READINGS", 6)
    disk = Disk()
    disk.is_full = True
    sealer, _, _ = _sealer(disk)
    for at_ms in range(5):
        sealer.add(_sample(at_ms))
    assert not asyncio.run(sealer.seal())
    assert (sealer.pending_readings, sealer.dropped_readings) == (6, 4)
    assert sealer.losses == {"main": Loss(since_ms=NOW_MS, until_ms=NOW_MS + 1, readings=4)}
    assert "readings lost so far" in caplog.text
    disk.is_full = False
    asyncio.run(sealer.seal())
    assert [sample.measured_at_ms - NOW_MS for sample in disk.batches[0]] == [2, 3, 4]
    assert disk.gaps == [Gap("main", NOW_MS, NOW_MS + 1, "disk", 4)], (
        "and the first seal that works records what is missing"
    )
    assert (sealer.losses, sealer.dropped_readings) == ({}, 4)


def test_a_disk_that_hangs_does_not_fill_the_memory_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that never returns is no error; the bound holds all the same."""
    monkeypatch.setattr(sealers, "MAX_PENDING_READINGS", 6)
    disk = Disk()

    async def hang(_call: Callable[[Disk], None]) -> None:
        await asyncio.Event().wait()

    async def play() -> Sealer:
        monkeypatch.setattr(disk, "run", hang)
        sealer, _, _ = _sealer(disk)
        sealer.add(_sample(0))
        sealing = asyncio.create_task(sealer.seal())
        await asyncio.sleep(0)
        for at_ms in range(1, 6):
            sealer.add(_sample(at_ms))
        sealing.cancel()
        return sealer

    sealer = asyncio.run(play())
    assert sealer.pending_readings <= 6
    assert sealer.dropped_readings == 6


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_costs_only_its_sample(value: float) -> None:
    """It could not be packed, and would stand in the way of everything behind it."""
    disk = Disk()
    sealer, _, _ = _sealer(disk)
    sealer.add(_sample(1))
    sealer.add(Sample("bad", 2, (Reading("voltage", value, "V"),)))
    assert asyncio.run(sealer.seal())
    assert [sample.device for sample in disk.batches[0]] == ["main"]


def test_a_fault_of_ours_while_sealing_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is, the samples are there for the next seal."""
    disk = Disk()

    def broken(*_: object) -> None:
        raise ValueError("a fault of ours")

    sealer, _, _ = _sealer(disk)
    sealer.add(_sample(1))
    with monkeypatch.context() as patch:
        patch.setattr(disk, "seal", broken)
        assert not asyncio.run(sealer.seal())
    assert asyncio.run(sealer.seal())
    assert [sample.measured_at_ms - NOW_MS for sample in disk.batches[0]] == [1]


def test_confirms_are_marked_with_the_seal_and_only_once() -> None:
    """A seal that fails keeps them for the next one."""
    disk = Disk()
    sealer, uplink, _ = _sealer(disk)
    uplink.sent(SealedBatch(1, STREAM, 0, 1, 0, 0, 0, 0, b""), 0)
    uplink.confirm(Confirm(STREAM, 0, [(1, 1)]), 0)
    disk.is_full = True
    assert not asyncio.run(sealer.seal())
    assert uplink.settled().confirmed == {1}
    disk.is_full = False
    assert asyncio.run(sealer.seal())
    assert disk.marked == {1}
    assert not uplink.settled()


def test_losses_that_could_not_be_recorded_are_kept_and_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses again and again costs no gap: one record tells of all that was lost."""
    monkeypatch.setattr(sealers, "MAX_PENDING_READINGS", 2)
    disk = Disk()
    disk.is_full = True
    sealer, _, _ = _sealer(disk)
    for at_ms in range(3):
        sealer.add(_sample(at_ms))
        assert not asyncio.run(sealer.seal())
    disk.is_full = False
    assert asyncio.run(sealer.seal())
    assert disk.gaps == [Gap("main", NOW_MS, NOW_MS + 1, "disk", 4)]


def test_the_stretch_since_the_last_agent_ends_with_the_first_sample() -> None:
    """It is declared once, with the first seal that has something to seal, and works."""
    disk = Disk()
    sealer, _, _ = _sealer(disk)
    sealer.started(["main", "gw"])

    async def play() -> None:
        assert await sealer.seal()
        assert disk.stopped == []
        sealer.add(_sample(7))
        assert await sealer.seal()
        sealer.add(_sample(8))
        assert await sealer.seal()

    asyncio.run(play())
    assert disk.stopped == [({"main", "gw"}, NOW_MS + 7)]


def _first_seals(devices: list[str], samples: list[Sample]) -> list[list[str]]:
    """Start with so many devices and an interval of an hour; returns the devices in each batch that is sealed soon."""
    disk = Disk()

    async def play() -> list[list[str]]:
        sealed, stop = asyncio.Event(), asyncio.Event()
        uplink = Uplink(window=4, timeout_s=10)
        config, keeper = SpoolConfig(seal_interval_s=3600), Timekeeper("trusted")
        sealer = Sealer(cast("SpoolThread", disk), uplink, config, keeper, sealed.set)
        sealer.started(devices)
        task = asyncio.create_task(sealer.run(stop))
        for sample in samples:
            sealer.add(sample)
        await sealed.wait()
        sealer.add(Sample("after", NOW_MS + 9, samples[0].readings))
        await asyncio.sleep(2 * sealers.GATHER_S)
        soon = [[sample.device for sample in batch] for batch in disk.batches]
        stop.set()
        await task
        return soon

    return asyncio.run(asyncio.wait_for(play(), 20))


def test_the_first_seal_comes_when_every_device_was_read() -> None:
    """Whatever the interval, which holds from then on: a start costs one commit more."""
    samples = [Sample(device, NOW_MS + 1, _sample(1).readings) for device in ("gw", "main", "main", "roof")]
    assert _first_seals(["main", "gw", "roof"], samples) == [["gw", "main", "main", "roof"]]


def test_the_first_seal_does_not_wait_long_for_a_device_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the others said is confirmed soon."""
    monkeypatch.setattr(sealers, "FIRST_S", 0.05)
    samples = [Sample(device, NOW_MS + 1, _sample(1).readings) for device in ("main", "gw")]
    assert _first_seals(["main", "gw", "silent"], samples) == [["main", "gw"]]


def test_many_readings_are_sealed_before_the_interval_ends() -> None:
    """The interval is an hour here; the number decides."""
    disk = Disk()

    async def play() -> None:
        sealed = asyncio.Event()
        uplink = Uplink(window=4, timeout_s=10)
        config = SpoolConfig(seal_interval_s=3600, seal_readings=4)
        sealer = Sealer(cast("SpoolThread", disk), uplink, config, Timekeeper("trusted"), sealed.set)
        stop = asyncio.Event()
        running = asyncio.create_task(sealer.run(stop))
        sealer.add(_sample(1))
        sealer.add(_sample(2))
        await asyncio.wait_for(sealed.wait(), 10)
        stop.set()
        await asyncio.wait_for(running, 10)

    asyncio.run(play())
    assert len(disk.batches) == 1


def test_an_urgent_sample_is_sealed_at_once_and_shares_its_commit() -> None:
    """Whatever the interval; what else is pending goes with it."""
    disk = Disk()

    async def play() -> None:
        sealed, stop = asyncio.Event(), asyncio.Event()
        uplink = Uplink(window=4, timeout_s=10)
        sealer = Sealer(
            cast("SpoolThread", disk), uplink, SpoolConfig(seal_interval_s=3600), Timekeeper("trusted"), sealed.set
        )
        task = asyncio.create_task(sealer.run(stop))
        sealer.add(_sample(1))
        await asyncio.sleep(2 * sealers.GATHER_S)
        assert disk.batches == []
        for at_ms in (2, 3, 4):
            sealer.add(_sample(at_ms), urgent=True)
        await sealed.wait()
        assert [[sample.measured_at_ms - NOW_MS for sample in batch] for batch in disk.batches] == [[1, 2, 3, 4]]
        sealed.clear()
        sealer.add(_sample(5), urgent=True)
        await sealed.wait()
        stop.set()
        await task

    asyncio.run(asyncio.wait_for(play(), 20))
    assert len(disk.batches) == 2
