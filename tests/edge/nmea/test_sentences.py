"""Sentences of NMEA 0183: any bytes at all, and the command that shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import PermanentError
from edge.cli import device
from edge.nmea import sentences
from edge.nmea.decode import described
from edge.nmea.decoder import NmeaDecoder
from edge.nmea.profile import load

if TYPE_CHECKING:
    from pathlib import Path

WIND = "$WIMWV,214.8,R,2.5,M,A*28"
KINDS = ["MWV", "MWD", "MDA", "MTW", "XDR", "DBT", "DPT", "GGA", "RMC", "VTG", "GSV", "ZDA", "TXT", "ALM", "RTE"]
_FIELD = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="*,$"), max_size=8),
    st.decimals(-1000, 20000, places=3).map(str),
    st.sampled_from(["A", "V", "N", "S", "M", "C", "F", "R", "T", "P", ""]),
)


def _framed(body: str) -> bytes:
    total = 0
    for byte in body.encode("ascii"):
        total ^= byte
    return f"${body}*{total:02X}".encode()


@pytest.mark.slow
@given(st.sampled_from(KINDS), st.lists(_FIELD, max_size=22))
@settings(max_examples=400, derandomize=True)
def test_any_fields_under_a_right_checksum_are_read(kind: str, fields: list[str]) -> None:
    """A value is a number or none; the only exception is ours."""
    try:
        found = sentences.read(_framed(",".join(["WI" + kind, *fields])))
    except sentences.BadSentenceError:
        return
    assert found is not None
    for name, value in found.values.items():
        assert name in sentences.NAMES or name.startswith("XDR.")
        assert value is None or abs(value) < 1e13


@given(st.binary(max_size=300))
@settings(max_examples=400, derandomize=True)
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    """With the one exception."""
    for each in (line, b"$" + line, WIND.encode() + line):
        try:
            sentences.read(each)
        except sentences.BadSentenceError:
            continue


@given(st.integers(0, len(WIND) * 8 - 1))
@settings(max_examples=200, derandomize=True)
def test_one_wrong_bit_never_makes_another_value(bit: int) -> None:
    """It makes an error, or nothing."""
    spoiled = bytearray(WIND.encode())
    spoiled[bit // 8] ^= 1 << bit % 8
    try:
        found = sentences.read(bytes(spoiled))
    except sentences.BadSentenceError:
        return
    assert found is None or found.values == {"MWV.R.speed": 2.5, "MWV.R.angle": 214.8}


@given(st.binary(max_size=600), st.integers(1, 50))
@settings(max_examples=200, derandomize=True)
def test_a_stream_of_any_bytes_makes_words(data: bytes, size: int) -> None:
    """And a sentence after it is read."""
    decoder = NmeaDecoder(load("nmea/wind").nmea, {"north_deg": 0})
    for at in range(0, len(data), size):
        list(decoder.feed(data[at : at + size]))
    *_, word = decoder.feed(b"\r\n" + WIND.encode() + b"\r\n")
    assert [reading.value for reading in word.readings] == [2.5, 214.8]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "name", "value"),
    [
        ("WIXDR,C,70.7,F,TEMP", "XDR.TEMP", 21.5),
        ("WIXDR,C,294.65,K,TEMP", "XDR.TEMP", 21.5),
        ("WIXDR,P,101325,P,BARO", "XDR.BARO", 1013.25),
        ("WIXDR,P,1.01325,B,BARO,H,45.1,P,RH", "XDR.RH", 45.1),
        ("WIXDR,H,45.1,P,", "XDR.H", 45.1),
        ("IIMWD,131.5,T,128.6,M,0.8,N,0.4,M", "MWD.speed", 0.4),
        ("GPRMC,225446,A,4916.45,N,12311.12,W,010.0,054.7,191194,020.3,E", "RMC.speed", 5.1444444),
        ("GPRMC,225446,V,4916.45,N,12311.12,W,010.0,054.7,191194,020.3,E", "RMC.latitude", None),
    ],
)
def test_units_become_ours(body: str, name: str, value: float | None) -> None:
    """Fahrenheit, kelvin, pascal, bar and knots."""
    found = sentences.read(_framed(body))
    assert found is not None
    assert found.values[name] == (value if value is None else pytest.approx(value))


def test_an_unknown_unit_is_left_out() -> None:
    """A temperature in degrees Réaumur is nobody's."""
    found = sentences.read(_framed("WIXDR,C,17.2,R,TEMP"))
    assert found is not None
    assert found.values == {}


def test_sentences_are_decoded_on_the_command_line(tmp_path: Path) -> None:
    """As they stand, or from a file; with what is damaged."""
    result = CliRunner().invoke(device, ["decode", "nmea", WIND, "--json"])
    assert json.loads(result.output) == [
        {"talker": "WI", "sentence": "MWV", "values": {"MWV.R.speed": 2.5, "MWV.R.angle": 214.8}}
    ]
    file = tmp_path / "capture.txt"
    file.write_text(f"{WIND}\r\n{WIND.replace('2.5', '7.5')}\r\n$GPGSV,3,1,11*7B\r\n")
    lines = CliRunner().invoke(device, ["decode", "nmea", str(file)]).output.splitlines()
    assert lines[0] == "WIMWV"
    assert "damaged: a sentence with a wrong checksum" in lines
    assert "GPGSV: nothing that Messnetz knows" in lines


@pytest.mark.parametrize("data", [b"hello", b"", b"$GPGGA,1", b"\xff" * 500])
def test_what_has_no_sentence_is_said_to_have_none(data: bytes) -> None:
    """In a sentence of our own."""
    with pytest.raises(PermanentError, match="no sentence of NMEA 0183"):
        described(data)
