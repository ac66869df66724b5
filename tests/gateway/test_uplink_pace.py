"""How fast a backlog goes."""

from __future__ import annotations

import math

from gateway.pace import SPREAD_S, Pace


def test_a_backlog_goes_at_its_rate() -> None:
    """A batch may overdraw; over time the rate is kept."""
    pace = Pace(100.0, lambda: 0.0)
    pace.begin(0.0)
    now_s, sent = 0.0, 0
    while now_s < 100:
        while pace.allowance(now_s) >= 1:
            pace.take(450)
            sent += 450
        assert pace.ready_s() > now_s
        now_s = pace.ready_s()
    assert 0.99 * 100 * 100 <= sent <= 100 * 100 + 450


def test_no_more_than_a_second_is_saved_up() -> None:
    """A link that idled for an hour is not flooded."""
    pace = Pace(100.0, lambda: 0.0)
    pace.begin(0.0)
    assert pace.allowance(3600.0) == 100.0


def test_it_starts_at_a_moment_of_its_own_after_each_connection() -> None:
    """Somewhere in the first minute, with nothing saved up."""
    chances = iter([0.5, 1.0])
    pace = Pace(100.0, lambda: next(chances))
    for _ in range(2):
        pace.begin(1000.0)
        start_s = pace.ready_s()
        assert pace.allowance(start_s - 1) < 1
        assert pace.allowance(start_s) >= 1
    assert start_s > 1000.0 + SPREAD_S


def test_a_rate_of_zero_is_no_bound() -> None:
    """And nothing to wait for."""
    pace = Pace(0.0, lambda: 1.0)
    pace.begin(0.0)
    pace.take(10**9)
    assert (pace.allowance(0.0), pace.ready_s()) == (math.inf, -math.inf)


def test_a_rate_below_one_reading_a_second_gets_there() -> None:
    """However slow."""
    pace = Pace(0.1, lambda: 0.0)
    pace.begin(0.0)
    assert pace.allowance(pace.ready_s() + 0.001) >= 1
