"""What several devices say into one ear: it is counted, and who is silent is missed."""

from __future__ import annotations

import time

import pytest

from edge.hearing import Hearing, Said
from edge.interface import Measured, NoAnswerError, ParkedError
from edge.speaking import SpeakingTarget
from wire.readings import Reading

WATER = SpeakingTarget("water", 60.0, ())
MEASURED = Measured((Reading("water_volume", 1.0, "m3"),), 0.0)
LONG_S = 1000.0


@pytest.fixture
def hearing(monkeypatch: pytest.MonkeyPatch) -> Hearing:
    """Of a bus that was opened long ago."""
    found = Hearing("cellar", "telegram")
    monkeypatch.setattr(found, "_began_s", time.monotonic() - LONG_S)
    return found


@pytest.mark.parametrize("said", [Said("water", MEASURED), Said("water"), Said("water", MEASURED, "a part of it")])
def test_who_spoke_lately_is_there(hearing: Hearing, said: Said) -> None:
    """Be it that nothing of it is recorded, or that a part of it cannot be read."""
    hearing.took(said, time.monotonic())
    assert isinstance(hearing.silence(WATER, "/dev/stick", "the line is gone"), ParkedError)


@pytest.mark.parametrize(
    ("said", "ago_s", "why", "found"),
    [
        (Said("heat", MEASURED), 0.0, "", "/dev/stick: no telegram of device water for 10"),
        (Said("water", MEASURED), LONG_S, "", "/dev/stick: no telegram of device water for 10"),
        (Said("water", MEASURED), None, "", "/dev/stick: no telegram of device water for 10"),
        (Said("water", None, "no key"), 0.0, "", "what comes cannot be read: no key"),
        (Said("water", None, "", is_beside_the_point=True), 0.0, "", "nothing that the profile knows"),
        (Said("water", None, "no key"), 0.0, "/dev/stick is gone", "/dev/stick is gone"),
    ],
)
def test_who_is_silent_is_missed(hearing: Hearing, said: Said, ago_s: float | None, why: str, found: str) -> None:
    """With the reason that helps most: the bus's, the device's, or that nothing came."""
    hearing.took(said, None if ago_s is None else time.monotonic() - ago_s)
    silence = hearing.silence(WATER, "/dev/stick", why)
    assert isinstance(silence, NoAnswerError)
    assert found in str(silence)


def test_weak_reception_does_not_fill_the_log(hearing: Hearing, caplog: pytest.LogCaptureFixture) -> None:
    """Every second telegram comes damaged: each is counted, and one is said."""
    for _ in range(10):
        hearing.took(Said("water", None, "damaged"), time.monotonic())
        hearing.took(Said("water", MEASURED), time.monotonic())
    assert hearing.traffic("water") == (20, 10)
    assert caplog.text.count("a telegram that cannot be read") == 1
