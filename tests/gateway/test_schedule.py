"""When devices are due."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.schedule import Schedule


@dataclass(frozen=True)
class Device:
    """A device as the schedule sees it."""

    id: str
    interval_s: float


def _ticks(schedule: Schedule, count: int) -> list[tuple[float, str]]:
    ticks = []
    for _ in range(count):
        due_s, device = schedule.next_due()
        ticks.append((round(due_s, 6), device))
        schedule.done(device, due_s)
    return ticks


def test_polls_are_aligned_to_the_wall_clock() -> None:
    """With an interval of 10 s a device is read at :00, :10, :20, whenever the agent was started."""
    schedule = Schedule([Device("a", 10)], monotonic_s=100.0, wall_s=1003.0)
    assert _ticks(schedule, 3) == [(107.0, "a"), (117.0, "a"), (127.0, "a")]


def test_devices_of_a_bus_share_the_interval() -> None:
    """Four devices with 10 s each are read 2.5 s apart."""
    schedule = Schedule([Device(name, 10) for name in "abcd"], monotonic_s=0.0, wall_s=1000.0)
    assert _ticks(schedule, 5) == [(0.0, "a"), (2.5, "b"), (5.0, "c"), (7.5, "d"), (10.0, "a")]


def test_missed_ticks_are_left_out() -> None:
    """A bus that hung for a minute goes on in step and does not catch up."""
    schedule = Schedule([Device("a", 10)], monotonic_s=0.0, wall_s=0.0)
    schedule.done("a", 63.0)
    assert schedule.next_due() == (70.0, "a")


@given(
    st.lists(st.floats(0.1, 3600), min_size=1, max_size=8),
    st.floats(0, 1e6),
    st.floats(0, 2e9),
    st.lists(st.floats(0, 100), min_size=1, max_size=30),
)
def test_time_only_moves_on(intervals: list[float], monotonic_s: float, wall_s: float, delays: list[float]) -> None:
    """However long readings take, a device's next tick lies after now and at most one interval away."""
    devices = [Device(f"d{index}", interval) for index, interval in enumerate(intervals)]
    schedule = Schedule(devices, monotonic_s=monotonic_s, wall_s=wall_s)
    by_id = {device.id: device for device in devices}
    now_s = monotonic_s
    for delay in delays:
        due_s, device = schedule.next_due()
        now_s = max(now_s, due_s) + delay
        schedule.done(device, now_s)
        entry = next(entry for entry in schedule._entries if entry.device == device)
        assert entry.due_s > now_s - 1e-3
        assert entry.due_s <= now_s + by_id[device].interval_s + 1e-3


def test_a_reload_keeps_the_rhythm_of_what_did_not_change() -> None:
    """A device that comes, goes or gets another interval moves nobody else."""
    before = Schedule([Device("a", 60), Device("b", 60), Device("c", 60)], monotonic_s=1000.0, wall_s=7.0)
    due_s = {}
    for _ in range(3):
        at_s, device = before.next_due()
        due_s[device] = at_s
        before.done(device, at_s)
    after = before.followed_by([Device("new", 60), Device("c", 30), Device("a", 60)], 1060.0, 67.0)
    planned = {}
    for _ in range(3):
        at_s, device = after.next_due()
        planned[device] = at_s
        after.done(device, at_s + 1e6)
    assert planned["a"] == due_s["a"] + 60
    assert "b" not in planned
    assert planned["c"] <= 1060 + 30
