"""Parking: a device that does not answer is asked ever more rarely."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.parking import FAILURES_TO_PARK, FIRST_DELAY_S, LONGEST_DELAY_S, SHARE, Parking


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:  # noqa: D102 - a clock
        return self.now_s


def _parking(chance: float = 0.0) -> tuple[Parking, Clock]:
    clock = Clock()
    return Parking(clock, lambda: chance), clock


def test_one_failure_is_forgiven() -> None:
    """A lost frame parks nobody."""
    parking, _ = _parking()
    parking.failed("a", 1.0)
    assert parking.is_due("a")
    assert not parking.is_parked("a")


def test_a_parked_device_is_probed_after_growing_delays() -> None:
    """10 s, 20 s, 40 s, ... where probes are cheap; never less often than every five minutes."""
    parking, clock = _parking()
    delays = []
    parking.failed("a", 0.01)
    for _ in range(8):
        parking.failed("a", 0.01)
        assert parking.is_parked("a")
        before_s = clock.now_s
        while not parking.is_due("a"):
            clock.now_s += 0.5
        delays.append(clock.now_s - before_s)
    assert delays == [10, 20, 40, 80, 160, 300, 300, 300]


def test_one_answer_brings_it_back() -> None:
    """And the next failure is a first one again."""
    parking, clock = _parking()
    for _ in range(5):
        parking.failed("a", 1.0)
    clock.now_s = 1000.0
    parking.answered("a")
    assert parking.is_due("a")
    parking.failed("a", 1.0)
    assert not parking.is_parked("a")


def test_bus_mates_are_not_parked_with_it() -> None:
    """One dead device says nothing of the others."""
    parking, _ = _parking()
    for _ in range(5):
        parking.failed("a", 1.0)
    assert parking.is_due("b")


@settings(max_examples=6)
@given(st.integers(1, 30), st.floats(0.05, 30))
def test_all_probes_together_take_a_small_share_of_the_bus(devices: int, cost_s: float) -> None:
    """However many devices are dead and however long the bus waits for each, once they are all parked."""
    parking, clock = _parking()
    names = [f"d{index}" for index in range(devices)]
    for name in names:
        for _ in range(FAILURES_TO_PARK):
            parking.failed(name, cost_s)
    horizon_s, spent_s = 40 * max(LONGEST_DELAY_S, devices * cost_s / SHARE), 0.0
    for name in names:  # the delays of the first round began while not all were parked
        parking.failed(name, cost_s)
    while clock.now_s < horizon_s:
        due = [name for name in names if parking.is_due(name)]
        for name in due:
            spent_s += cost_s
            parking.failed(name, cost_s)
        clock.now_s += max(cost_s, min(parking.probe_in_s(name) or 0.0 for name in names))
    assert spent_s <= SHARE * horizon_s * 1.1 + devices * cost_s


@given(st.floats(0, 1))
def test_probes_are_jittered(chance: float) -> None:
    """A hundred gateways on one converter do not probe in one moment, and nobody probes early."""
    parking, clock = _parking(chance)
    for _ in range(FAILURES_TO_PARK):
        parking.failed("a", 0.01)
    clock.now_s = FIRST_DELAY_S - 0.001
    assert not parking.is_due("a")
    clock.now_s = FIRST_DELAY_S * 1.25
    assert parking.is_due("a")
