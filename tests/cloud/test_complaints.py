"""What misbehaves fills no disk, and is not forgotten either."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cloud import complaints
from cloud.complaints import Complaints

if TYPE_CHECKING:
    import pytest


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Seconds, monotonic."""
        return self.now_s


def _made() -> tuple[Complaints, Clock]:
    clock = Clock()
    return Complaints(logging.getLogger("cloud.test"), clock=clock), clock


def test_a_line_a_minute_with_a_count(caplog: pytest.LogCaptureFixture) -> None:
    """The first at once, and later how many there were."""
    said, clock = _made()
    for second in range(130):
        said.add("gw", "damaged", second)
        clock.now_s += 1
    assert caplog.messages == [
        "gateway gw, damaged: 0",
        "gateway gw, damaged: 60 (60 times since this was last said)",
        "gateway gw, damaged: 120 (60 times since this was last said)",
    ]


def test_each_gateway_and_kind_is_said_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    """One loud gateway hides no other, and no other kind."""
    said, _ = _made()
    for _ in range(2):
        said.add("a", "damaged", "x")
        said.add("b", "damaged", "x")
        said.add("a", "rejected", "x")
    assert len(caplog.messages) == 3


def test_invented_gateways_cost_no_memory(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound they share their lines; what is a minute old makes room."""
    monkeypatch.setattr(complaints, "MOST_KEPT", 3)
    said, clock = _made()
    for number in range(100):
        said.add(f"gw-{number}", "damaged", "x")
    assert len(caplog.messages) == 4
    assert len(said._said) == 4
    clock.now_s += complaints.INTERVAL_S
    said.add("gw-100", "damaged", "x")
    assert caplog.messages[-1] == "gateway gw-100, damaged: x"
    assert len(said._said) == 1


def test_a_trace_is_kept_where_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """For what nobody expected."""
    said, _ = _made()
    try:
        int("x")
    except ValueError as error:
        said.add("gw", "unexpected", repr(error), trace=True)
    assert "Traceback" in caplog.text


def test_gateways_that_nobody_registered_share_their_lines(caplog: pytest.LogCaptureFixture) -> None:
    """One a minute and kind, which names the last that was heard of."""
    said = Complaints(logging.getLogger("cloud.test"), is_known=lambda gateway: gateway == "gw")
    for number in range(50):
        said.add(f"invented-{number}", "damaged", "x")
    said.add("gw", "damaged", "x")
    assert caplog.messages == ["gateway invented-0, damaged: x", "gateway gw, damaged: x"]


def test_what_befalls_all_at_once_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """With how often; no gateway is named."""
    said, clock = _made()
    for _ in range(1000):
        said.add_shared("queue full", "they come again")
    clock.now_s += complaints.INTERVAL_S
    said.add_shared("queue full", "they come again")
    assert caplog.messages == [
        "queue full: they come again",
        "queue full: they come again (1000 times since this was last said)",
    ]
