"""A simulated meter refreshes as a meter does, and its journal holds every poll."""

from __future__ import annotations

import asyncio

import pytest
from pymodbus.constants import ExcCodes

from simulator.devices import Journal, Meter, Poll
from simulator.models import B23, SDM630

BEGIN_MS = 1_795_345_200_000


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now_ms = BEGIN_MS

    def __call__(self) -> int:
        """Unix time in ms."""
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


@pytest.fixture
def journal() -> Journal:
    """An empty journal."""
    return Journal()


@pytest.fixture
def meter(journal: Journal, clock: Clock) -> Meter:
    """A meter on that clock."""
    return Meter("m", SDM630, journal, clock)


def test_a_meter_refreshes_where_a_register_is_asked_for_again() -> None:
    """However long the requests of one poll take, and however soon the next poll comes."""
    journal = Journal()
    times = iter((BEGIN_MS, BEGIN_MS + 5_000, BEGIN_MS + 5_010, BEGIN_MS + 5_020))
    meter = Meter("a", SDM630, journal, lambda: next(times))
    assert [meter.latch(None, address) for address in (0, 52, 0, 52)] == [
        BEGIN_MS,
        BEGIN_MS,
        BEGIN_MS + 5_010,
        BEGIN_MS + 5_010,
    ]
    assert len(journal.polls) == 2


@pytest.mark.parametrize("after_ms", [1, 2000, -1])
def test_a_later_request_is_a_new_poll(meter: Meter, clock: Clock, journal: Journal, after_ms: int) -> None:
    """Also where the clock was set back: the registers never stand still for long."""
    meter.latch()
    clock.now_ms += after_ms
    assert meter.latch() == BEGIN_MS + after_ms
    assert journal.polls == [Poll("m", BEGIN_MS), Poll("m", BEGIN_MS + after_ms)]


def test_the_journal_counts_readings(journal: Journal, clock: Clock) -> None:
    """Each poll makes all quantities of the model."""
    Meter("a", SDM630, journal, clock).latch()
    Meter("b", B23, journal, clock).latch()
    assert journal.readings == 16 + 13


def test_devices_refresh_apart(journal: Journal, clock: Clock) -> None:
    """Two meters on one line have nothing in common."""
    first, second = Meter("a", SDM630, journal, clock), Meter("b", SDM630, journal, clock)
    first.latch()
    clock.now_ms += 100
    assert second.latch() == BEGIN_MS + 100


@pytest.mark.parametrize("function_code", [3, 6, 16])
def test_what_a_meter_does_not_do_is_refused_and_is_no_poll(meter: Meter, journal: Journal, function_code: int) -> None:
    """The SDM630 of the demo answers function code 4 alone."""
    action = meter.sim_device(1).action
    assert action is not None
    refused = asyncio.run(action(function_code, 0, 0, 2, [0] * 77, None))
    assert refused == ExcCodes.ILLEGAL_FUNCTION
    assert not journal.polls
