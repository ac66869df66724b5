"""What is said of a device beside its values: once when it changes, and again now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass

from base.errors import TransientError
from edge.interface import Measured, NoAnswerError, Traffic
from gateway.device import DeviceState
from gateway.reach import REPEAT_S, REPORT_S, BusReport, Reach
from gateway.timekeeper import Timekeeper
from wire.readings import Reading, Sample
from wire.town import DeviceEntry

YES, NO = (Reading("reachable", 1.0, "/"),), (Reading("reachable", 0.0, "/"),)
VOLTAGE = Reading("voltage", 230.0, "V")
KEEPER = Timekeeper("trusted")


@dataclass(frozen=True)
class Planned:
    """A device as the schedule sees it."""

    id: str = "main"
    interval_s: float = 10.0


def test_the_first_answer_is_said_and_then_nothing_until_it_is_due_again() -> None:
    """At most one reading in a quarter of an hour."""
    reach = Reach()
    said = {at_s: reach.answered(at_s) for at_s in (0.0, 10.0, REPEAT_S - 1, REPEAT_S, REPEAT_S + 10)}
    assert [at_s for at_s, readings in said.items() if readings] == [0.0, REPEAT_S]
    assert said[0.0] == YES


def test_one_lost_answer_is_no_change() -> None:
    """Two in a row are."""
    reach = Reach()
    assert reach.answered(0) == YES
    assert reach.failed(10) == ()
    assert reach.answered(20) == ()
    assert reach.failed(30) == ()
    assert reach.failed(40) == NO
    assert reach.answered(50) == YES


def test_a_parked_device_costs_a_reading_in_a_quarter_of_an_hour() -> None:
    """Not one with each probe, and not one with each time it is passed over."""
    reach = Reach()
    reach.failed(0)
    said = [reach.failed(10), *(reach.still(10.0 * n) for n in range(2, 300))]
    assert [n for n, readings in enumerate(said) if readings] == [0, 90, 180, 270]


def test_of_a_device_that_nobody_asked_yet_nothing_is_said() -> None:
    """Not knowing is no state."""
    assert Reach().still(0) == ()


def test_errors_are_reported_as_what_came_since_the_last_report() -> None:
    """With their share of the requests, in %."""
    report = BusReport()
    assert report.due(Traffic(1, 0), 0) == ()
    assert report.due(Traffic(49, 1), REPORT_S - 1) == ()
    first = report.due(Traffic(50, 1), REPORT_S)
    assert [(r.quantity, r.value, r.unit) for r in first] == [
        ("bus_requests", 50, "count"),
        ("bus_errors", 1, "count"),
        ("bus_error_rate", 2, "/100"),
    ]
    assert [r.value for r in report.due(Traffic(60, 6), 2 * REPORT_S)] == [10, 5, 50]


def test_a_bus_that_was_opened_anew_counts_from_nothing() -> None:
    """No negative number of requests."""
    report = BusReport()
    report.due(Traffic(1, 0), 0)
    report.due(Traffic(500, 0), REPORT_S)
    assert [r.value for r in report.due(Traffic(20, 2), 2 * REPORT_S)] == [20, 2, 10]


def test_without_requests_there_is_nothing_to_report() -> None:
    """A rate of nothing is no number."""
    report = BusReport()
    report.due(Traffic(), 0)
    assert report.due(Traffic(), REPORT_S) == ()


def _quantities(said: list[Sample] | Sample | None) -> list[str]:
    samples = said if isinstance(said, list) else [said]
    return [reading.quantity for sample in samples if sample is not None for reading in sample.readings]


def test_what_is_said_of_a_device_rides_on_its_sample() -> None:
    """One point, not two."""
    state, now_s = DeviceState(Planned(), KEEPER.stamp), time.monotonic()
    assert _quantities(state.answered(Measured((VOLTAGE,), now_s), Traffic(1, 0))) == ["voltage", "reachable"]
    assert _quantities(state.answered(Measured((VOLTAGE,), now_s + 10), Traffic(2, 0))) == ["voltage"]
    assert state.unanswered(NoAnswerError("silent"), now_s + 20, Traffic(3, 1)) is None
    assert _quantities(state.unanswered(NoAnswerError("silent"), now_s + 30, Traffic(4, 2))) == ["reachable"]
    assert state.error == "silent"
    assert state.parked(now_s + 40, Traffic(4, 2)) is None


def test_a_device_that_refuses_is_there() -> None:
    """It answered: nobody needs to look for a broken wire."""
    state = DeviceState(Planned(), KEEPER.stamp)
    sample = state.refused(TransientError("busy"), time.monotonic(), Traffic(1, 0))
    assert sample is not None
    assert sample.readings == YES


def test_a_sample_within_its_dead_band_is_not_recorded_but_shown() -> None:
    """The last value is what the device said last."""
    entry = DeviceEntry(id="main", profile="eastron/sdm630", site="s", dead_band={"voltage": 5})
    state, now_s = DeviceState(Planned(), KEEPER.stamp, "hall", entry), time.monotonic()
    assert state.answered(Measured((VOLTAGE,), now_s), Traffic())
    assert state.answered(Measured((Reading("voltage", 231.0, "V"),), now_s + 10), Traffic()) == []
    assert state.latest["voltage"].value == 231.0
    state.unanswered(NoAnswerError("silent"), now_s + 20, Traffic())
    again = state.answered(Measured((Reading("voltage", 231.0, "V"),), now_s + 30), Traffic())
    assert _quantities(again) == ["voltage"]


def test_settings_that_did_not_change_leave_the_dead_band_alone() -> None:
    """A reload records nothing twice; a changed band begins anew, another model's values are forgotten."""
    entry = DeviceEntry(id="main", profile="eastron/sdm630", site="s", dead_band={"voltage": 5})
    state, now_s = DeviceState(Planned(), KEEPER.stamp, "hall", entry), time.monotonic()
    measured = Measured((VOLTAGE,), now_s)
    state.answered(measured, Traffic())
    state.configure(Planned(), "cellar", entry)
    assert state.answered(measured, Traffic()) == []
    state.configure(
        Planned(), "cellar", DeviceEntry(id="main", profile="eastron/sdm630", site="s", dead_band={"voltage": 6})
    )
    assert state.answered(measured, Traffic())
    state.configure(Planned(), "cellar", DeviceEntry(id="main", profile="janitza/b23", site="s"))
    assert state.latest == {}
