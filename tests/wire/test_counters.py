"""The counter rules: the golden cases as data, and what must hold for whatever a counter says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import counters
from wire.counters import MARGIN, Rules, State, Verdict
from wire.readings import Flag

if TYPE_CHECKING:
    from collections.abc import Iterable

CASES = Path(__file__).parent / "cases"


def _rules(given_: dict[str, float]) -> Rules:
    per_h = given_.get("per_h", given_.get("kw"))
    assert per_h is not None
    return Rules(per_h / 3600, given_.get("resolution", 0.0), given_.get("modulus"))


def _play(rules: Rules, readings: Iterable[list[Any]]) -> list[Verdict]:
    """Judge readings (minute, value), and exchanges among them."""
    state: State | None = None
    verdicts = []
    for minute, value in readings:
        if isinstance(value, dict):
            end_old, start_new = value["exchange"]
            state, verdict = counters.exchange(state, rules, end_old, start_new, minute * 60)
        else:
            state, verdict = counters.judge(state, rules, value, minute * 60)
        verdicts.append(verdict)
    return verdicts


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_counter_is_judged_as_the_case_says(case: str) -> None:
    """What each reading books, its flags, what happened; and what all of them book together."""
    told = json.loads((CASES / case / "input.json").read_text(encoding="utf-8"))
    expected = json.loads((CASES / case / "expected.json").read_text(encoding="utf-8"))
    verdicts = _play(_rules(told["rules"]), told["readings"])
    found = [(v.delta if v.delta is None else round(v.delta, 6), int(v.flags), v.event) for v in verdicts]
    assert found == [tuple(verdict) for verdict in expected["verdicts"]]
    assert sum(verdict.delta or 0 for verdict in verdicts) == pytest.approx(expected["booked"])


def test_a_jump_is_never_booked_however_long_it_lasts() -> None:
    """Golden case 13, continued for 400 h: 0.1 for each quarter of an hour, never the 10,000."""
    readings = [[0, 100.0]] + [[15 * n, 10100.0 + 0.1 * (n - 1)] for n in range(1, 1601)]
    verdicts = _play(Rules(30 / 3600, 0.1), readings)
    assert sum(verdict.delta or 0 for verdict in verdicts) == pytest.approx(159.9)
    assert [verdict.event for verdict in verdicts[:4]] == ["start", "jump", "held", "segment"]
    assert not any(verdict.flags for verdict in verdicts[3:])


def test_three_readings_in_a_minute_are_no_segment() -> None:
    """However well they fit each other: a converter that starts says the same wrong thing for a while."""
    readings = [[0, 5000.0], [1, 12.1], [1.3, 12.1], [1.6, 12.1], [2, 12.1], [30.9, 12.2], [31, 12.2]]
    verdicts = _play(Rules(30 / 3600, 0.1), readings)
    assert [verdict.event for verdict in verdicts[1:]] == ["fall", "held", "held", "held", "held", "segment"]


@pytest.mark.parametrize(("hours", "event"), [(24, ""), (40, "jump")])
def test_a_counter_that_rested_for_a_month_catches_up_a_day_at_most(hours: float, event: str) -> None:
    """It was read all the while: what it did not count then it cannot have counted before."""
    readings = [[15 * n, 100.0] for n in range(30 * 96)]
    verdicts = _play(Rules(30 / 3600, 0.1), [*readings, [15 * 30 * 96, 100.0 + 30 * hours]])
    assert verdicts[-1].event == event


def test_a_new_segment_says_what_stays_unknown() -> None:
    """From the last reading believed to the first of the run; what it books began with that one."""
    verdict = _play(Rules(30 / 3600, 0.1), [[0, 5000.0], [15, 12.1], [30, 12.3], [45, 12.6]])[-1]
    assert verdict.unknown_s == (0, 900)
    assert verdict.since_s == 900


def test_a_value_that_is_no_number_changes_nothing() -> None:
    """It is out of every range; the counter goes on from where it was."""
    verdicts = _play(Rules(1.0), [[0, float("nan")], [1, 5.0], [2, float("inf")], [3, 6.0]])
    assert [(verdict.flags, verdict.delta) for verdict in verdicts] == [(1, None), (0, None), (1, None), (0, 1.0)]


def test_a_clock_that_goes_back_books_nothing_impossible() -> None:
    """No time has passed then: what rose meanwhile is held."""
    verdicts = _play(Rules(1 / 3600, 0.1), [[60, 100.0], [120, 100.9], [0, 150.0]])
    assert [verdict.event for verdict in verdicts] == ["start", "", "jump"]


def test_a_state_survives_as_bytes_in_any_moment() -> None:
    """What is kept on disk or in the cloud goes on as if nothing had happened."""
    rules = Rules(30 / 3600, 0.1, 100000)
    readings = [(0.0, 5000.0), (900.0, 12.1), (1800.0, 12.3), (2700.0, 12.6), (3600.0, 12.7)]
    kept: State | None = None
    state: State | None = None
    for at_s, value in readings:
        state, verdict = counters.judge(state, rules, value, at_s)
        kept, again = counters.judge(kept, rules, value, at_s)
        kept = msgspec.json.decode(msgspec.json.encode(kept), type=State | None)
        assert (kept, again) == (state, verdict)


def test_times_move_with_the_clock() -> None:
    """The same readings on another clock get the same verdicts."""
    rules = Rules(30 / 3600, 0.1)
    state, _ = counters.judge(None, rules, 5000.0, 0.0)
    state, _ = counters.judge(state, rules, 12.1, 900.0)
    assert state is not None
    _, verdict = counters.judge(counters.shifted(state, 1e6), rules, 12.3, 1e6 + 1800.0)
    assert verdict == counters.judge(state, rules, 12.3, 1800.0)[1]


values = st.one_of(
    st.floats(0, 1e9, allow_nan=False),
    st.sampled_from([0.0, 65535.0, 65536.0, 99999.9, 2147483648.0, 4294967295.0]),
    st.floats(),
)
steps = st.lists(st.tuples(st.floats(0, 1e6), values), max_size=40)
any_rules = st.builds(
    Rules,
    st.sampled_from([0.001, 0.01, 1.0, float("inf")]),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from([None, 65536.0, 100000.0]),
)


@given(rules=any_rules, given_steps=steps)
def test_nothing_a_counter_says_raises(rules: Rules, given_steps: list[tuple[float, float]]) -> None:
    """Every reading gets a verdict with known flags; what is booked is never negative, and a suspect one books none."""
    state, at_s = None, 0.0
    for passed_s, value in given_steps:
        at_s += passed_s
        state, verdict = counters.judge(state, rules, value, at_s)
        assert verdict.flags in (0, Flag.RANGE, Flag.STEP, Flag.RESET, Flag.ROLLOVER)
        assert verdict.delta is None or verdict.delta >= 0
        assert verdict.delta is None or verdict.flags in (0, Flag.ROLLOVER)


@given(st.floats(1, 1e8), st.lists(st.tuples(st.floats(1, 90000), st.floats(0, 1)), max_size=40))
def test_a_counter_that_only_counts_is_never_flagged(start: float, flows: list[tuple[float, float]]) -> None:
    """Anything between standstill and the largest rate is believed, and booked in full."""
    rules, value, at_s = Rules(10.0, 0.1), start, 0.0
    state, _ = counters.judge(None, rules, value, at_s)
    for passed_s, share in flows:
        before, at_s, value = value, at_s + passed_s, value + share * 10.0 * passed_s
        state, verdict = counters.judge(state, rules, value, at_s)
        assert verdict.flags == 0
        assert verdict.delta == pytest.approx(value - before, abs=1e-6)


@given(st.sampled_from([0.001, 0.1, 10.0]), st.lists(st.tuples(st.floats(0, 5000), values), max_size=40))
def test_never_more_is_booked_than_can_have_flowed(per_s: float, given_steps: list[tuple[float, float]]) -> None:
    """Whatever a counter says: jumps, resets and rollovers included."""
    rules = Rules(per_s, 0.1, 65536.0)
    state, at_s, booked, rounded = None, 0.0, 0.0, 0.0
    for passed_s, value in given_steps:
        at_s += passed_s
        state, verdict = counters.judge(state, rules, value, at_s)
        booked += verdict.delta or 0.0
        rounded += counters.rounding(rules, value if abs(value) < 1e9 else 1e9)
    assert booked <= (at_s + counters.UNKNOWN_S) * per_s * MARGIN + rounded + 1e-6


@given(st.floats(100, 60000), st.lists(st.floats(0, 0.5), min_size=3, max_size=10))
def test_a_reset_is_never_booked(before: float, rises: list[float]) -> None:
    """A counter without a known top that starts over books what it counted before and after, and no more."""
    rules = Rules(30 / 3600, 0.1)
    state, _ = counters.judge(None, rules, before, 0.0)
    booked, value = 0.0, 0.0
    for number, rise in enumerate(rises, 1):
        value += rise
        state, verdict = counters.judge(state, rules, value, number * 900.0)
        booked += verdict.delta or 0.0
    assert booked <= sum(rises) + 1e-9
