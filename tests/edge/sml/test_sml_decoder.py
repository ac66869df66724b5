"""SML telegrams, made by an encoder of its own, whole and broken."""

from __future__ import annotations

import contextlib
import logging
import random
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.listening import Garbled, Said, Word
from edge.obis import Map, Register
from edge.sml import telegram
from edge.sml.decoder import SmlDecoder
from edge.sml.frames import MOST_BYTES, Frames
from edge.sml.items import BadFieldError, Reader
from edge.sml.profile import load
from simulator import sml as encoder
from simulator.sml import VOLT, WATT, WATT_HOUR, Value

METER = load("sml/meter").sml.registers
DZG_SERIAL = 42_082_910


def _decoder(registers: dict[str, Register] | None = None, ratio: float = 1.0) -> SmlDecoder:
    return SmlDecoder("meter", Map(registers or METER, {"transformer_ratio": ratio}))


def _said(words: list[Word]) -> dict[str, float]:
    (word,) = words
    assert isinstance(word, Said), word
    return {reading.name: reading.value for reading in word.readings}


def _telegram(*values: Value, maker: str = "ISK", serial: int = 1) -> bytes:
    return encoder.meter_telegram(maker, serial, values)


ENERGY = Value("1-0:1.8.0", 123_456_789, WATT_HOUR, -1)


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (ENERGY, "active_energy_import", 12345.6789),
        (Value("1-0:2.8.0", 7, WATT_HOUR, 3, 1, is_signed=False), "active_energy_export", 7.0),
        (Value("1-0:16.7.0", -1, WATT, 0, 1), "active_power", -1.0),
        (Value("1-0:16.7.0", -123456, WATT, -2, 3), "active_power", -1234.56),
        (Value("1-0:16.7.0", 2**31 + 1, WATT, -3, 4, is_signed=False), "active_power", 2147483.649),
        (Value("1-0:32.7.0", 2304, VOLT, -1, 2, is_signed=False), "voltage/L1", 230.4),
        (Value("1-0:36.7.0", -40, WATT, 0, 4), "active_power/L1", -40.0),
        (Value("1-0:14.7.0", 4999, 44, -2, 2), "frequency", 49.99),
    ],
)
def test_scaler_size_and_sign_are_as_the_field_has_them(value: Value, name: str, expected: float) -> None:
    """A number of three bytes is negative by its own top bit, and one without a sign never."""
    assert _said(_decoder().feed(_telegram(value))) == {name: expected}


def test_positive_power_of_a_dzg_that_looks_negative() -> None:
    """Golden case 8: 8B 28 as a signed number, scaler -2, is 356.24 W."""
    power = Value("1-0:16.7.0", -29912, WATT, -2, 2)
    said = _said(
        _decoder().feed(_telegram(Value("1-0:1.8.0", 5, 30, status=0x1C0104), power, maker="DZG", serial=DZG_SERIAL))
    )
    assert said["active_power"] == 356.24


@pytest.mark.parametrize(
    ("maker", "serial", "status"),
    [
        ("DZG", DZG_SERIAL, 0x1C0904),  # its status says that power flows out
        ("DZG", 60_694_611, 0x1C0104),  # newer firmware: corrected by DZG
        ("DZG", 40_051_478, 0x1C0104),  # another model
        ("ISK", DZG_SERIAL, 0x1C0104),  # another maker
        ("DZG", DZG_SERIAL, None),  # nobody says which way
    ],
)
def test_what_is_negative_stays_negative(maker: str, serial: int, status: int | None) -> None:
    """The correction is for the meters that DZG names, while their status says that power flows in."""
    power = Value("1-0:16.7.0", -29912, WATT, -2, 2)
    data = _telegram(Value("1-0:1.8.0", 5, 30, status=status), power, maker=maker, serial=serial)
    assert _said(_decoder().feed(data))["active_power"] == -299.12


@pytest.mark.parametrize(("status", "expected"), [(0x1A2, -500.0), (0x182, 500.0)])
@pytest.mark.parametrize("code", ["1-0:1.8.0", "1-0:2.8.0"])
def test_the_sign_of_an_emhs_power_stands_in_the_status(code: str, status: int, expected: float) -> None:
    """Golden case 9: 500 W with bit 5 of 1.8.0 or 2.8.0 set is -500 W."""
    data = _telegram(Value(code, 5, 30, status=status), Value("1-0:16.7.0", 500, WATT), maker="EMH")
    assert _said(_decoder(load("emh/ehz").sml.registers).feed(data))["active_power"] == expected


def test_a_power_that_carries_its_sign_keeps_it() -> None:
    """An EMH that says -500 W and the status too means it once."""
    data = _telegram(Value("1-0:1.8.0", 5, 30, status=0x1A2), Value("1-0:16.7.0", -500, WATT), maker="EMH")
    assert _said(_decoder(load("emh/ehz").sml.registers).feed(data))["active_power"] == -500.0


def test_a_transformer_meter_says_what_flows_on_the_secondary_side() -> None:
    """The ratio is the place's, and multiplies energy and power, not voltage."""
    data = _telegram(ENERGY, Value("1-0:16.7.0", 12, WATT), Value("1-0:32.7.0", 231, VOLT))
    said = _said(_decoder(ratio=50).feed(data))
    assert said == {"active_power": 600.0, "voltage/L1": 231.0, "active_energy_import": 617283.945}


def test_tariffs_make_the_sum_only_together() -> None:
    """A sum that lacks one part would be a fall of the counter."""
    one, two = Value("1-0:1.8.1", 1000, WATT_HOUR), Value("1-0:1.8.2", 500, WATT_HOUR)
    assert _said(_decoder().feed(_telegram(one, two))) == {"active_energy_import": 1.5}
    assert isinstance(_decoder().feed(_telegram(one))[0], Garbled)


def test_values_of_the_past_are_not_taken() -> None:
    """1.8.0*96 is what was used in a day."""
    data = _telegram(Value("1-0:1.8.0*96", 99, WATT_HOUR), ENERGY)
    assert _said(_decoder().feed(data)) == {"active_energy_import": 12345.6789}


def test_a_unit_that_cannot_be_is_no_value() -> None:
    """Whoever took another medium's profile learns it, and stores nothing."""
    (word,) = _decoder().feed(_telegram(Value("1-0:1.8.0", 5, 13)))
    assert isinstance(word, Garbled)
    assert "m3" in word.why


def test_both_checksums_are_right() -> None:
    """Holley's first firmware computes CRC-16/Kermit in its messages (volkszaehler/libsml issue 75)."""
    server = encoder.server_id("HLY", 7)
    data = encoder.telegram(server, [ENERGY.field()], is_kermit=True)
    assert _said(_decoder().feed(data)) == {"active_energy_import": 12345.6789}


def test_an_escape_in_what_is_carried_is_written_twice() -> None:
    """Four bytes 1B in a meter's number are no end of the telegram."""
    for filling in range(4):
        rows = [encoder.text_row("1-0:96.90.2", b"x" * filling + b"\x1b" * 8), ENERGY.field()]
        data = encoder.telegram(b"\x0a\x01ISK\x00\x1b\x1b\x1b\x1b", rows)
        assert _said(_decoder().feed(data)) == {"active_energy_import": 12345.6789}


def test_a_list_longer_than_one_byte_says() -> None:
    """Lists of more than 15 values have a longer head."""
    values = [Value(f"1-0:{c}.7.0", c, VOLT) for c in range(32, 60)]
    said = _said(_decoder().feed(_telegram(*values)))
    assert said == {"voltage/L1": 32.0, "voltage/L2": 52.0}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_telegrams_may_be_cut_anywhere(size: int) -> None:
    """A serial port hands over what it has."""
    data = b"".join(_telegram(Value("1-0:1.8.0", n, WATT_HOUR, 3)) for n in range(5))
    decoder = _decoder()
    words = [word for at in range(0, len(data), size) for word in decoder.feed(data[at : at + size])]
    assert [_said([word])["active_energy_import"] for word in words] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_noise_between_telegrams_is_no_error() -> None:
    """The head may begin to listen amid a telegram, and light may flicker between two."""
    noise = random.Random(7).randbytes(300)  # noqa: S311 - no secret
    decoder = _decoder()
    words = decoder.feed(_telegram(ENERGY)[50:] + noise + _telegram(ENERGY) + noise + _telegram(ENERGY))
    assert [type(word) for word in words] == [Said, Said]


def test_a_wrong_bit_costs_its_telegram_alone() -> None:
    """Whichever it is: an error, counted, and the next telegram is good."""
    good = _telegram(ENERGY)
    for at in range(8, len(good)):
        words = _decoder().feed(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :] + good + good)
        assert all(isinstance(word, Garbled) or _said([word]) for word in words)
        assert isinstance(words[0], Garbled)
        assert isinstance(words[-1], Said)


def test_lost_bytes_cost_their_telegram_alone() -> None:
    """The next beginning is found though the groups of four have moved."""
    good = _telegram(ENERGY)
    for at in range(len(good) - 1):
        words = _decoder().feed(good[:at] + good[at + 1 :] + good + good)
        assert [type(word) for word in words[-2:]] == [Said, Said], at
        assert all(isinstance(word, Garbled) for word in words[:-2])


def test_an_exchanged_meter_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Its number is another one: a person must write the exchange down."""
    decoder = _decoder()
    with caplog.at_level(logging.INFO):
        for serial in (1, 1, 2, 2):
            decoder.feed(_telegram(ENERGY, serial=serial))
    said = [record.getMessage() for record in caplog.records]
    first, second = "1 ISK00 0000 0001", "1 ISK00 0000 0002"
    assert said[0] == f"device meter: the meter's number is {first}"
    assert said[1].startswith(f"device meter: the meter's number is {second} now, and was {first}: exchanged?")
    assert len(said) == 2


def test_reset_forgets_half_a_telegram() -> None:
    """Its other half came over a port that is gone."""
    decoder = _decoder()
    data = _telegram(ENERGY)
    decoder.feed(data[:100])
    decoder.reset()
    assert decoder.feed(data[100:]) == []
    assert len(decoder.feed(data)) == 1


@pytest.mark.slow
@given(st.binary(max_size=600))
@settings(max_examples=300, derandomize=True)
def test_no_bytes_raise(data: bytes) -> None:
    """Whatever comes, before a telegram, is no reason to lose that one."""
    decoder = _decoder()
    decoder.feed(data)
    decoder.reset()
    assert len(decoder.feed(_telegram(ENERGY))) == 1


@given(st.binary(max_size=400))
@settings(max_examples=400, derandomize=True)
def test_a_telegram_with_any_body_is_read_or_refused(body: bytes) -> None:
    """Its checksum is right, so everything behind it is tried: our error, and no other."""
    words = _decoder().feed(encoder.framed(body))
    assert all(isinstance(word, (Said, Garbled)) for word in words)
    with contextlib.suppress(BadFieldError):
        telegram.parse(body)


@given(st.data())
@settings(max_examples=300, derandomize=True)
def test_a_changed_telegram_with_right_checksums_never_hangs(data: st.DataObject) -> None:
    """Fields are changed and the checksums made right again: lists without end, lists in lists."""
    good = _telegram(ENERGY)[8:-8]
    at = data.draw(st.integers(0, len(good) - 1))
    changed = good[:at] + data.draw(st.binary(min_size=1, max_size=4)) + good[at + 1 :]
    began_s = time.thread_time()
    _decoder().feed(encoder.framed(changed))
    assert time.thread_time() - began_s < 1.0


@pytest.mark.parametrize("data", [b"\x71" * 5000, b"\xf1" * 5000, b"\xff\x8f\x8f\x8f\x0f", b"\x76" + b"\x75" * 900])
def test_lists_in_lists_end(data: bytes) -> None:
    """No stack is exhausted."""
    with pytest.raises(BadFieldError):
        Reader(data).item()
    with pytest.raises(BadFieldError):
        telegram.parse(data)


def test_what_is_kept_is_bounded() -> None:
    """A beginning without an end, and noise without a beginning."""
    frames = Frames()
    start = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
    for piece in (start + b"\x00" * 100_000, b"\x1b" * 100_000, start * 10_000, b"\x00" * 100_000):
        frames.feed(piece)
        assert len(frames._buffer) <= 2 * MOST_BYTES + 16


@pytest.mark.slow
def test_a_telegram_loads_no_library() -> None:
    """The gateway pays for its own small decoder only."""
    code = (
        "import sys; from edge.sml.decoder import SmlDecoder; from edge.obis import Map;"
        "from edge.sml.profile import load;"
        "SmlDecoder('m', Map(load('emh/ehz').sml.registers, {})).feed(b'x');"
        "print([n for n in ('sml', 'bitstring', 'serial', 'serialx', 'aiohttp', 'dsmr_parser') if n in sys.modules])"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
