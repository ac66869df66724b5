"""The time, for those who have none."""

from __future__ import annotations

import logging

import pytest

from cloud import time_answers
from cloud.complaints import Complaints
from cloud.time_answers import INTERVAL_S, TimeAnswers
from wire import confirm as wire_confirm
from wire import status as wire_status
from wire.status import Status

STREAM = "0123456789abcdef"


class Desk:
    """Answers, with a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sent: list[tuple[str, bytes]] = []
        complaints = Complaints(logging.getLogger("cloud.test"))
        self.answers = TimeAnswers(
            lambda gateway, payload: self.sent.append((gateway, payload)),
            complaints,
            now_ms=lambda: 1_790_000_000_123,
            clock=lambda: self.now_s,
        )


@pytest.fixture
def desk() -> Desk:
    """Where the time is asked for."""
    return Desk()


def _status(state: str) -> bytes:
    payload = wire_status.encode(
        Status(state="online", since_ms=0, version="1", stream=STREAM, machine="m", config="c")
    )
    return payload.replace(b"online", state.encode())


def test_who_has_no_time_is_told_it(desk: Desk) -> None:
    """An empty confirm for the stream of its status."""
    desk.answers.take("gw", _status("no_time"))
    ((gateway, payload),) = desk.sent
    confirm = wire_confirm.decode(payload)
    assert (gateway, confirm.stream, confirm.now_ms) == ("gw", STREAM, 1_790_000_000_123)
    assert (confirm.batches, confirm.rejected) == ([], [])


@pytest.mark.parametrize("payload", [_status("online"), _status("offline"), b"", b"no_time", b'{"state":"no_time"}'])
def test_others_are_not(payload: bytes, desk: Desk) -> None:
    """Nor is what is no status."""
    desk.answers.take("gw", payload)
    assert desk.sent == []


def test_who_asks_again_and_again_is_answered_at_a_bounded_rate(desk: Desk) -> None:
    """Each gateway for itself."""
    for _ in range(20):
        desk.answers.take("gw", _status("no_time"))
    desk.answers.take("other", _status("no_time"))
    assert [gateway for gateway, _ in desk.sent] == ["gw", "other"]
    desk.now_s += INTERVAL_S
    desk.answers.take("gw", _status("no_time"))
    assert len(desk.sent) == 3


def test_invented_gateways_cost_no_memory(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound nobody new is answered, until the interval has passed."""
    monkeypatch.setattr(time_answers, "MOST_KEPT", 3)
    for number in range(10):
        desk.answers.take(f"gw-{number}", _status("no_time"))
    assert len(desk.sent) == 3
    desk.now_s += INTERVAL_S
    desk.answers.take("gw-9", _status("no_time"))
    assert len(desk.sent) == 4
    assert len(desk.answers._answered) == 1
