"""Adaptive data rate."""

from __future__ import annotations

import pytest

from edge.lorawan.adr import FRAMES, Adr
from edge.lorawan.eu868 import DATA_RATES


def _heard(snr_db: float | None, frames: int = FRAMES, *, is_wanted: bool = True) -> Adr:
    adr = Adr(8)
    for _ in range(frames):
        adr.heard(snr_db, is_wanted=is_wanted)
    return adr


def _told(adr: Adr, data_rate: int) -> int | None:
    """Return which data rate a device that has this one is told."""
    request = adr.request(DATA_RATES[data_rate])
    return None if request is None else request.body[0] >> 4


@pytest.mark.parametrize(
    ("snr_db", "data_rate", "told"),
    [
        (9.5, 0, 5),  # nothing is faster than SF7 at 125 kHz
        (-4.0, 0, 2),  # SF12 needs -20 dB: 6 dB are left beyond the margin
        (-7.1, 0, None),  # not quite one step
        (-7.0, 0, 1),
        (9.5, 5, None),
        (9.5, 6, None),  # SF7 at 250 kHz
        (9.5, 7, None),  # FSK
        (-25.0, 0, None),  # never slower
        (None, 0, None),
    ],
)
def test_a_device_is_told_what_its_signal_allows(snr_db: float | None, data_rate: int, told: int | None) -> None:
    """Ten decibels are kept for worse days."""
    assert _told(_heard(snr_db), data_rate) == told


def test_the_whole_command_is_as_the_specification_has_it() -> None:
    """Data rate and full power, eight channels, each frame once."""
    request = _heard(9.5).request(DATA_RATES[0])
    assert request is not None
    assert request.octets() == bytes.fromhex("0350ff0001")


def test_twenty_frames_are_waited_for_each_time() -> None:
    """The best of them counts: one may have come through a passing lorry."""
    adr = _heard(-18.0, FRAMES - 1)
    assert _told(adr, 0) is None
    adr.heard(9.5, is_wanted=True)
    assert _told(adr, 0) == 5
    assert _told(adr, 0) is None


def test_a_device_that_chooses_itself_is_left_alone() -> None:
    """And counted anew once it lets the network choose."""
    adr = _heard(9.5, is_wanted=False)
    assert _told(adr, 0) is None
    adr = _heard(9.5)
    adr.heard(9.5, is_wanted=False)
    assert _told(adr, 0) is None


def test_a_device_that_refuses_is_not_asked_again() -> None:
    """It would be a downlink every twenty frames, for ever."""
    adr = _heard(9.5)
    adr.answered(0x05)
    assert _told(adr, 0) is None
    adr = _heard(9.5)
    adr.answered(0x07)
    assert _told(adr, 0) == 5
