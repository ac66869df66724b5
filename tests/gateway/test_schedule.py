"""When devices are due."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.schedule import LEAST_APART, Schedule


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
        schedule.done(due_s)
    return ticks


def _after_first(schedule: Schedule, devices: int, count: int) -> list[tuple[float, str]]:
    return _ticks(schedule, devices + count)[devices:]


def test_every_device_is_read_at_once_and_then_in_its_rhythm() -> None:
    """Nobody waits a minute for the first value of a device that is read every minute."""
    schedule = Schedule([Device("a", 60), Device("b", 3600)], monotonic_s=100.0, wall_s=1010.0)
    assert _ticks(schedule, 3) == [(100.0, "a"), (100.0, "b"), (110.0, "a")]


def test_polls_are_aligned_to_the_wall_clock() -> None:
    """With an interval of 10 s a device is read at :00, :10, :20, whenever the agent was started."""
    schedule = Schedule([Device("a", 10)], monotonic_s=100.0, wall_s=1003.0)
    assert _after_first(schedule, 1, 3) == [(107.0, "a"), (117.0, "a"), (127.0, "a")]


def test_devices_of_a_bus_share_the_interval() -> None:
    """Four devices with 10 s each are read 2.5 s apart."""
    schedule = Schedule([Device(name, 10) for name in "abcd"], monotonic_s=0.0, wall_s=998.0)
    assert _after_first(schedule, 4, 5) == [(2.0, "a"), (4.5, "b"), (7.0, "c"), (9.5, "d"), (12.0, "a")]


def test_devices_that_speak_by_themselves_share_nothing() -> None:
    """Counts of an interval end with the clock's minute, and so does every other of them, after a reload too."""
    devices = [Device("a", 60), Device("b", 60)]
    schedule = Schedule(devices, monotonic_s=0.0, wall_s=1000.0, listens=True)
    assert _after_first(schedule, 2, 3) == [(20.0, "a"), (20.0, "b"), (80.0, "a")]
    followed = schedule.followed_by([*devices, Device("c", 60)], monotonic_s=81.0, wall_s=1081.0)
    assert _ticks(followed, 4) == [(80.0, "b"), (81.0, "c"), (140.0, "a"), (140.0, "b")]


def test_an_interval_of_counts_follows_the_clock_when_that_is_set() -> None:
    """A Pi that started in the past counts quarters of an hour of the true clock as soon as it knows that."""
    schedule = Schedule([Device("a", 900)], monotonic_s=0.0, wall_s=1000.0, listens=True)
    assert _after_first(schedule, 1, 1) == [(800.0, "a")]
    schedule.realign(801.0, 1_800_000_123.0)  # 123 s into a quarter
    assert _ticks(schedule, 2) == [(801.0 + 777.0, "a"), (801.0 + 1677.0, "a")]


def test_an_interval_of_counts_is_not_moved_by_a_little() -> None:
    """Clocks are slewed all the time."""
    schedule = Schedule([Device("a", 60)], monotonic_s=0.0, wall_s=1000.0, listens=True)
    _after_first(schedule, 1, 1)
    schedule.realign(21.0, 1021.4)
    assert _ticks(schedule, 1) == [(80.0, "a")]


def test_the_rhythm_of_questions_does_not_follow_the_clock() -> None:
    """A step of the wall clock neither repeats nor stops a poll."""
    schedule = Schedule([Device("a", 60)], monotonic_s=0.0, wall_s=1000.0)
    _after_first(schedule, 1, 1)
    schedule.realign(21.0, 5000.0)
    assert _ticks(schedule, 1) == [(80.0, "a")]


def test_a_tick_right_after_the_first_reading_is_left_out() -> None:
    """From two readings of a counter within a moment no rate can be computed."""
    schedule = Schedule([Device("a", 10)], monotonic_s=0.0, wall_s=9.5)
    assert _ticks(schedule, 3) == [(0.0, "a"), (10.5, "a"), (20.5, "a")]


def test_a_slow_bus_reads_everyone_once_before_it_begins_again() -> None:
    """First readings that take longer than an interval move no device behind one that was read already."""
    schedule, now_s, turns = Schedule([Device(name, 1) for name in "abc"], monotonic_s=0.0, wall_s=0.3), 0.0, []
    for _ in range(3):
        turns.append(schedule.next_due()[1])
        now_s += 2.0
        schedule.done(now_s)
    assert turns == ["a", "b", "c"]


def test_missed_ticks_are_left_out() -> None:
    """A bus that hung for a minute goes on in step and does not catch up."""
    schedule = Schedule([Device("a", 10)], monotonic_s=0.0, wall_s=0.0)
    schedule.done(63.0)
    assert schedule.next_due() == (70.0, "a")


@given(
    st.lists(st.floats(0.1, 3600), min_size=1, max_size=8),
    st.floats(0, 1e6),
    st.floats(0, 2e9),
    st.lists(st.floats(0, 100), min_size=1, max_size=30),
)
def test_time_only_moves_on(intervals: list[float], monotonic_s: float, wall_s: float, delays: list[float]) -> None:
    """However long readings take, a device's next tick lies after now and at most one interval away.

    After its first reading, which leaves a tick out that comes too soon, a little more.
    """
    devices = [Device(f"d{index}", interval) for index, interval in enumerate(intervals)]
    schedule = Schedule(devices, monotonic_s=monotonic_s, wall_s=wall_s)
    by_id = {device.id: device for device in devices}
    now_s, read = monotonic_s, set[str]()
    for delay in delays:
        due_s, device = schedule.next_due()
        now_s = max(now_s, due_s) + delay
        schedule.done(now_s)
        entry = next(entry for entry in schedule._entries if entry.device == device)
        longest_s = by_id[device].interval_s * (1 if device in read else 1 + LEAST_APART)
        read.add(device)
        assert entry.due_s > now_s - 1e-3
        assert entry.due_s <= now_s + longest_s + 1e-3
        assert schedule.next_due()[0] == min(entry.due_s for entry in schedule._entries)


def test_a_reload_keeps_the_rhythm_of_what_did_not_change() -> None:
    """A device that comes, goes or gets another interval moves nobody else; what is new is read at once."""
    before = Schedule([Device("a", 60), Device("b", 60), Device("c", 60)], monotonic_s=1000.0, wall_s=7.0)
    due_s = {device: at_s for at_s, device in _after_first(before, 3, 3)}
    after = before.followed_by([Device("new", 60), Device("c", 30), Device("a", 60)], 1100.0, 107.0)
    assert _ticks(after, 2) == [(1100.0, "new"), (1100.0, "c")]
    assert (due_s["a"] + 60, "a") in _ticks(after, 2)
