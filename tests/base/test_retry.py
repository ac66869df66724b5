"""Retry: one shape, with a clock and a chance that the test holds in its hand."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.retry import Backoff

logger = logging.getLogger("test.retry")


@dataclass
class Hand:
    """A clock and a chance."""

    now_s: float = 1000.0
    chance: float = 1.0
    backoff: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self.backoff = Backoff(
            "broker h:1883",
            logger,
            first_s=1.0,
            cap_s=30.0,
            log_interval_s=60.0,
            clock=lambda: self.now_s,
            chance=lambda: self.chance,
        )


@pytest.fixture
def hand(caplog: pytest.LogCaptureFixture) -> Hand:
    """A fresh backoff, with its log heard."""
    caplog.set_level(logging.INFO, logger.name)
    return Hand()


def test_delays_double_up_to_the_cap(hand: Hand) -> None:
    """With the highest chance they are their own ceilings."""
    assert [hand.backoff.failed("no") for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_delays_are_fully_jittered(hand: Hand) -> None:
    """From nothing to the ceiling: a thousand gateways come back spread out."""
    hand.chance = 0.0
    assert hand.backoff.failed("no") == 0
    hand.chance = 0.25
    assert hand.backoff.failed("no") == 0.5


def test_the_other_side_may_ask_for_more(hand: Hand) -> None:
    """Retry-After is a floor, jitter or not."""
    hand.chance = 0.0
    assert hand.backoff.failed("busy", at_least_s=120.0) == 120.0


@given(st.integers(0, 5000), st.floats(0, 1))
def test_no_number_of_failures_leads_beyond_the_cap(failures: int, chance: float) -> None:
    """A broker that is gone for a year breaks nothing."""
    hand = Hand(chance=chance)
    hand.backoff.failures = failures
    assert 0 <= hand.backoff.failed("no") <= 30.0


def test_success_starts_again_from_the_first_delay(hand: Hand) -> None:
    """And counts from zero."""
    for _ in range(5):
        hand.backoff.failed("no")
    hand.backoff.succeeded()
    assert hand.backoff.failures == 0
    assert hand.backoff.failed("no") == 1.0


def test_one_line_per_interval_tells_the_failures(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    """A night without a broker leaves a few lines, not ten thousand."""
    for _ in range(100):
        hand.backoff.failed(OSError("refused"))
        hand.now_s += 1.0
    assert caplog.messages == ["broker h:1883: refused (failure 1)", "broker h:1883: refused (failure 61)"]


def test_recovery_is_told_once(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    """And success without a failure before it is no news."""
    hand.backoff.succeeded()
    hand.backoff.failed("no")
    hand.backoff.failed("no")
    hand.backoff.succeeded()
    hand.backoff.succeeded()
    assert caplog.messages == ["broker h:1883: no (failure 1)", "broker h:1883: works again after 2 failures"]


def test_a_new_trouble_is_told_at_once(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    """Also within the interval of the one before."""
    hand.backoff.failed("no")
    hand.backoff.succeeded()
    hand.backoff.failed("again")
    assert caplog.messages[-1] == "broker h:1883: again (failure 1)"


def test_without_a_hand_it_uses_real_chance() -> None:
    """Two backoffs do not march in step."""
    delays = {Backoff("x", logger, first_s=1000.0, cap_s=1000.0).failed("no") for _ in range(5)}
    assert len(delays) == 5
