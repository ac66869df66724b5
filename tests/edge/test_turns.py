"""Devices that take turns on a line: who is silent is parked, and a reload disturbs nobody who did not change."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from base.errors import PermanentError
from edge.interface import NoAnswerError, ParkedError
from edge.turns import AskedTarget, Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True)
class Device(AskedTarget):
    """A device that is asked."""

    interval_s: float = 60.0
    model: str = "a"


class Reader:
    """Counts how often it was asked."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.asked = 0


async def _answers(device: Device, reader: Reader) -> str:
    reader.asked += 1
    return f"{device.id} {device.model}"


async def _is_silent(device: Device, reader: Reader) -> str:
    reader.asked += 1
    raise NoAnswerError(device.id)


async def _refuses(device: Device, reader: Reader) -> str:
    reader.asked += 1
    raise PermanentError(device.id)


def _asked(turns: Turns[Device, Reader], device: str, ask: Callable[[Device, Reader], Awaitable[str]]) -> str:
    return asyncio.run(turns.ask(device, ask))


def _parked() -> Turns[Device, Reader]:
    turns = Turns([Device("one"), Device("two")], Reader)
    for _ in range(2):
        with pytest.raises(NoAnswerError):
            _asked(turns, "one", _is_silent)
    return turns


def test_a_silent_device_is_not_asked_again_and_again() -> None:
    """It costs its bus-mates two time-outs, and then a probe now and then."""
    turns = _parked()
    with pytest.raises(ParkedError):
        _asked(turns, "one", _answers)
    assert turns.reader("one").asked == 2
    assert (turns.parked_s("one") is None, turns.parked_s("two")) == (False, None)
    assert _asked(turns, "two", _answers) == "two a"


def test_a_device_that_refuses_is_there() -> None:
    """It is asked as before: a refusal is an answer, also after a time-out."""
    turns = Turns([Device("one")], Reader)
    for ask in (_is_silent, _refuses, _is_silent):
        with pytest.raises((NoAnswerError, PermanentError)):
            _asked(turns, "one", ask)
    assert turns.parked_s("one") is None


def test_who_did_not_change_stays_as_it_was() -> None:
    """Its reader, and whether it is parked; another interval is no other device."""
    turns = _parked()
    before = turns.reader("one")
    turns.follow([Device("one", 30.0), Device("two", model="b")], Reader)
    assert turns.reader("one") is before
    assert turns.parked_s("one") is not None
    assert _asked(turns, "two", _answers) == "two b"


@pytest.mark.parametrize("between", [[Device("one", model="b")], [Device("two")]])
def test_another_device_under_the_name_is_asked_at_once(between: list[Device]) -> None:
    """Be it exchanged, or gone and come again."""
    turns = _parked()
    turns.follow(between, Reader)
    turns.follow([Device("one", model="b")], Reader)
    assert turns.parked_s("one") is None
    assert _asked(turns, "one", _answers) == "one b"
