"""Telegrams that a meter pushes: found among noise, proved by parity and layout, never guessed."""

from __future__ import annotations

import contextlib
import random
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.d0 import decode
from edge.d0.decoder import PushDecoder
from edge.d0.framing import MOST_BYTES, Finder
from edge.d0.lines import BadLineError, read
from edge.d0.parity import stripped, with_parity
from edge.d0.profile import load
from edge.listening import Garbled, Said, Word
from edge.obis import Map

REGISTERS = load("easymeter/q3d").d0.registers


def _telegram(energy: str = "00032549.5061662", power: str = "001688.21") -> bytes:
    text = (
        "/ESY5Q3DA1004 V3.04\r\n\r\n"
        "1-0:0.0.0*255(1336001560)\r\n"
        f"1-0:1.8.0*255({energy}*kWh)\r\n"
        f"1-0:1.7.0*255({power}*W)\r\n"
        "1-0:96.5.5*255(80)\r\n"
        "!\r\n"
    )
    return with_parity(text.encode("ascii"))


def _decoder() -> PushDecoder:
    return PushDecoder("meter", Map(REGISTERS, {}))


def _settled() -> PushDecoder:
    """A decoder that has heard one telegram, and so knows the layout."""
    decoder = _decoder()
    assert decoder.feed(_telegram()) == []
    return decoder


def _energies(words: list[Word]) -> list[float | str]:
    return [
        next(r.value for r in word.readings if r.quantity == "active_energy_import")
        if isinstance(word, Said)
        else "garbled"
        for word in words
    ]


def _is_true(words: list[Word]) -> bool:
    """Whether each reading is one of `_telegram()`."""
    said = [word.readings for word in words if isinstance(word, Said)]
    return all(
        {r.quantity: r.value for r in each} == {"active_power": 1688.21, "active_energy_import": 32549.5061662}
        for each in said
    )


def test_the_first_telegram_shows_the_layout() -> None:
    """Nothing proves it: the second one that is laid out alike is believed."""
    decoder = _decoder()
    assert decoder.feed(_telegram()) == []
    assert _energies(decoder.feed(_telegram())) == [32549.5061662]


def test_seven_bits_with_parity_and_without() -> None:
    """A serial server that checks parity hands over seven bits."""
    plain = _telegram().translate(bytes(range(128)) * 2)
    decoder = _settled()
    assert _energies(decoder.feed(plain)) == [32549.5061662]
    assert stripped(_telegram()) == plain == stripped(plain)


def test_one_wrong_bit_is_found_wherever_it_is() -> None:
    """By its parity: whatever becomes of the telegram, no reading is another one."""
    good = _telegram()
    for at in range(len(good)):
        for bit in (0, 3, 7):
            words = _settled().feed(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :] + good)
            assert _is_true(words), (at, bit)


def test_a_lost_character_is_found_wherever_it_is() -> None:
    """By the layout: numbers are filled with zeros to a fixed width."""
    good = _telegram()
    for at in range(len(good)):
        words = _settled().feed(good[:at] + good[at + 1 :] + good + good)
        assert _is_true(words), at
        assert _energies(words)[-1] == 32549.5061662


def test_a_doubled_character_is_found_wherever_it_is() -> None:
    """Likewise."""
    good = _telegram()
    for at in range(len(good)):
        words = _settled().feed(good[:at] + good[at : at + 1] + good[at:] + good + good)
        assert _is_true(words), at


def test_a_value_may_grow() -> None:
    """A counter fills its width one day: one telegram is spent on the new layout."""
    decoder = _settled()
    words = [word for n in (99999998, 99999999, 10**8, 10**8 + 1) for word in decoder.feed(_telegram(f"{n:08}.0"))]
    assert _energies(words) == ["garbled", 99999999.0, 1e8, 1e8 + 1]


def test_telegrams_may_be_cut_anywhere_with_noise_between() -> None:
    """A port hands over what it has; light flickers between two telegrams."""
    noise = random.Random(5).randbytes(200).replace(b"\n", b"x")  # noqa: S311 - no secret
    data = _telegram("00000001.0") + b"\r\n" + noise + _telegram("00000002.0") + b"\n" + _telegram("00000003.0")
    for size in (1, 2, 7, 50, 400):
        decoder = _decoder()
        words = [word for at in range(0, len(data), size) for word in decoder.feed(data[at : at + size])]
        assert _energies(words) == [2.0, 3.0], size


def test_half_a_telegram_before_a_whole_one_is_an_error() -> None:
    """The adapter lost what was between."""
    assert _energies(_settled().feed(_telegram()[:60] + _telegram())) == ["garbled", 32549.5061662]


def test_reset_forgets_half_a_telegram() -> None:
    """Its other half came over a port that is gone."""
    decoder = _settled()
    decoder.feed(_telegram()[:60])
    decoder.reset()
    assert decoder.feed(_telegram()[60:]) == []
    assert len(decoder.feed(_telegram())) == 1


def test_power_that_flows_out_is_negative() -> None:
    """Meters for both directions write a minus."""
    decoder = _decoder()
    decoder.feed(_telegram(power="-01688.21"))
    (word,) = decoder.feed(_telegram(power="-01700.00"))
    assert isinstance(word, Said)
    assert {r.quantity: r.value for r in word.readings}["active_power"] == -1700.0


@given(st.binary(max_size=800))
@settings(max_examples=300, derandomize=True)
def test_no_bytes_raise(data: bytes) -> None:
    """Whatever comes: words or nothing."""
    began_s = time.thread_time()
    decoder = _decoder()
    words = decoder.feed(b"/ABC5\r\n" + data + b"\n!\r\n")
    assert all(isinstance(word, (Said, Garbled)) for word in words)
    decode.decode(data)
    assert time.thread_time() - began_s < 1.0


@given(st.lists(st.text(alphabet="0123456789.*()-:&ACF kWhSW", max_size=60), max_size=30))
@settings(max_examples=400, derandomize=True)
def test_lines_of_any_text_are_read_or_refused(texts: list[str]) -> None:
    """With our error, and no other; proved ones are passed over."""
    with contextlib.suppress(BadLineError):
        read(texts)
    read(texts[:500], is_proved=True)


def test_what_is_kept_is_bounded() -> None:
    """Lines without end, telegrams without end."""
    for data in (b"x" * 100_000, b"/ABC5\r\n" + b"1.8.0(1)\r\n" * 20_000, b"\n" * 100_000, b"/ABC5" * 50_000):
        finder = Finder()
        for at in range(0, len(data), 1000):
            finder.feed(data[at : at + 1000])
            assert len(finder._line) + len(finder._whole or b"") <= 2 * MOST_BYTES + 1000
