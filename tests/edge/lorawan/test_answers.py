"""What a device is answered."""

from __future__ import annotations

import pytest

from base.build_date import BUILT_AT_MS
from edge.lorawan import answers, mac
from edge.lorawan.eu868 import DATA_RATES
from edge.lorawan.gwmp import Reception

HEARD = Reception("b827ebfffe000001", b"", 0, 868_100_000, DATA_RATES[5], snr_db=2.5)
UNIX_S = BUILT_AT_MS / 1000 + 0.5
LINK_CHECK, DEVICE_TIME = bytes([mac.LINK_CHECK]), bytes([mac.DEVICE_TIME])


@pytest.mark.parametrize(
    ("snr_db", "margin"), [(2.5, 10), (-7.5, 0), (-20.0, 0), (None, 0), (300.0, mac.MOST_MARGIN_DB)]
)
def test_the_margin_is_what_is_left_above_the_floor(snr_db: float | None, margin: int) -> None:
    """SF7 is understood down to -7.5 dB."""
    (answer,) = answers.to([mac.LINK_CHECK], [HEARD._replace(snr_db=snr_db)], UNIX_S)
    assert answer.octets() == LINK_CHECK + bytes([margin, 1])


def test_the_time_is_that_of_gps() -> None:
    """Seconds since 1980 without leap seconds, and 256ths of a second."""
    (answer,) = answers.to([mac.DEVICE_TIME], [HEARD], UNIX_S)
    seconds = int(UNIX_S) - mac.GPS_EPOCH_S + mac.LEAP_SECONDS
    assert answer.octets() == DEVICE_TIME + seconds.to_bytes(4, "little") + b"\x80"


def test_a_concentrator_that_knows_the_time_is_believed_first() -> None:
    """It measured the end of the frame; the machine's clock need not be right."""
    (answer,) = answers.to([mac.DEVICE_TIME], [HEARD, HEARD._replace(gps_s=1000.25)], 0.0)
    assert answer.octets() == DEVICE_TIME + (1000).to_bytes(4, "little") + b"\x40"


def test_a_clock_that_cannot_be_right_gives_no_time() -> None:
    """The device asks again; a wrong time would stay with it."""
    assert answers.to([mac.DEVICE_TIME], [HEARD], 60.0) == []


def test_what_is_no_question_has_no_answer() -> None:
    """LinkADRAns and its like."""
    assert answers.to([mac.LINK_ADR, 0x06], [HEARD], UNIX_S) == []


@pytest.mark.parametrize(
    ("octets", "names", "rest"),
    [
        ("", [], ""),
        ("020d", ["LinkCheckReq", "DeviceTimeReq"], ""),
        ("0307 06ff14", ["LinkADRAns", "DevStatusAns"], ""),
        ("02 80 0d", ["LinkCheckReq"], "800d"),
        ("06ff", [], "06ff"),
    ],
)
def test_commands_are_read_up_to_the_first_unknown_one(octets: str, names: list[str], rest: str) -> None:
    """Its length is not known, so nothing behind it is."""
    commands, left = mac.parse(bytes.fromhex(octets))
    assert ([command.name(is_down=False) for command in commands], left.hex()) == (names, rest)
