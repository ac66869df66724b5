"""A copied SD card is named."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from cloud import twins
from cloud.complaints import Complaints
from cloud.twins import BACK_WITHIN_S, Twins
from wire import status as wire_status
from wire.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable


def _status(machine: str) -> bytes:
    status = Status(state="online", since_ms=0, version="1", stream="0123456789abcdef", machine=machine, config="c")
    return wire_status.encode(status)


def _heard(machines: Iterable[str], every_s: float = 60.0) -> int:
    now_s = 1000.0
    desk = Twins(Complaints(logging.getLogger("cloud.test")), clock=lambda: now_s)
    for machine in machines:
        desk.take("gw", _status(machine))
        now_s += every_s
    return desk.count()


def test_two_machines_that_take_turns_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """Each pushes the other off the broker; what to do is said."""
    assert _heard(["pi-a", "pi-b", "pi-a"]) == 1
    assert "gateway gw, two machines under one id: pi-a and pi-b: give one of them an id" in caplog.text


@pytest.mark.parametrize("machines", [["pi-a"] * 3, ["pi-a", "pi-b", "pi-b"], ["pi-a", "pi-b", "pi-c"]])
def test_a_gateway_on_another_machine_is_no_twin(machines: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A board that broke was replaced."""
    assert _heard(machines) == 0
    assert caplog.text == ""


def test_a_machine_that_is_put_back_the_next_day_is_no_twin() -> None:
    """The new one did not do."""
    assert _heard(["pi-a", "pi-b", "pi-a"], every_s=BACK_WITHIN_S) == 0


def test_what_was_an_hour_ago_is_over() -> None:
    """The count is of gateways that need somebody now."""
    now_s = 0.0
    desk = Twins(Complaints(logging.getLogger("cloud.test")), clock=lambda: now_s)
    for machine in ("pi-a", "pi-b", "pi-a"):
        desk.take("gw", _status(machine))
    assert desk.count() == 1
    now_s = BACK_WITHIN_S
    assert desk.count() == 0


def test_what_is_no_status_and_who_invents_ids_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics are anybody's who may publish."""
    monkeypatch.setattr(twins, "MOST_KEPT", 2)
    desk = Twins(Complaints(logging.getLogger("cloud.test")))
    for payload in (b"", b"{", b"x" * (1 << 20), b'{"machine": 7}'):
        desk.take("gw", payload)
    for number in range(10):
        desk.take(f"gw-{number}", _status("pi-a"))
    assert len(desk._seen) == 2
