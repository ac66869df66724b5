"""Flags, and what they do to a reading."""

from __future__ import annotations

import pytest

from wire.readings import KNOWN_FLAGS, Flag, Reading, is_suspect


def test_the_bits_are_those_of_the_contract() -> None:
    """They are stored for ever: none may move."""
    assert {flag.name: int(flag) for flag in Flag} == {
        "RANGE": 1,
        "STEP": 2,
        "STUCK": 4,
        "TIME_ESTIMATED": 8,
        "CLOCK_UNSYNCED": 16,
        "SUBSTITUTED": 32,
        "ROLLOVER": 64,
        "RESET": 128,
        "MANUAL": 512,
        "MAINTENANCE": 1024,
    }
    assert sum(Flag) == KNOWN_FLAGS


@pytest.mark.parametrize("flag", [Flag.RANGE, Flag.STEP, Flag.STUCK, Flag.TIME_ESTIMATED, Flag.RESET])
def test_a_reading_that_cannot_be_believed_is_suspect(flag: Flag) -> None:
    """Alone or beside a harmless flag."""
    assert is_suspect(flag)
    assert is_suspect(flag | Flag.MANUAL)


@pytest.mark.parametrize(
    "flag", [0, Flag.CLOCK_UNSYNCED, Flag.SUBSTITUTED, Flag.ROLLOVER, Flag.MANUAL, Flag.MAINTENANCE]
)
def test_a_reading_with_a_remark_is_not_suspect(flag: int) -> None:
    """It counts."""
    assert not is_suspect(flag)


@pytest.mark.parametrize("flag", [256, 2048, 1 << 40])
def test_a_flag_that_we_do_not_know_makes_a_reading_suspect(flag: int) -> None:
    """A later release knows why it was set."""
    assert is_suspect(flag)


@pytest.mark.parametrize(("channel", "name"), [("", "voltage"), ("L1", "voltage/L1"), ("lane2.in", "voltage/lane2.in")])
def test_a_reading_is_named_by_quantity_and_channel(channel: str, name: str) -> None:
    """As it travels."""
    assert Reading("voltage", 230.0, "V", channel).name == name
