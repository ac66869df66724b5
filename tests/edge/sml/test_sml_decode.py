"""`messnetz device decode sml` and `d0`, on bytes that no profile knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from base.errors import PermanentError
from edge import cli
from edge.sml import driver
from simulator import sml as encoder
from simulator.d0 import p1, push

CASE = json.loads((Path(driver.__file__).parent / "cases" / "emh-feeds-in" / "input.json").read_text())


def _json(*args: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli.decode, [*args, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_sml_in_hexadecimal_digits() -> None:
    """Every value with its code, unit and status; what is no number as it reads."""
    ((telegram,), errors) = _json("sml", CASE["telegram"]).values()
    assert errors == []
    assert (telegram["number"], telegram["maker"]) == ("06 45 4D 48 01 02 71 56 CD 45", "EMH")
    values = telegram["values"]
    assert {"obis": "1-0:15.7.0*255", "value": 126.6, "unit": "W"} in values
    assert {"obis": "1-0:1.8.0*255", "value": 17243675.6, "unit": "Wh", "status": 432} in values
    assert {"obis": "129-129:199.130.3*255", "text": "EMH"} in values


def test_sml_in_a_file_of_bytes_with_noise(tmp_path: Path) -> None:
    """As it was caught from the port: what is broken is said beside what is not."""
    data = bytes.fromhex(CASE["telegram"])
    file = tmp_path / "caught.bin"
    file.write_bytes(data[40:] + data + data[:100] + data)
    found = _json("sml", str(file))
    assert len(found["telegrams"]) == 2
    assert found["errors"] == ["it is cut off"]


def test_sml_messages_without_their_frame() -> None:
    """What another tool has unwrapped already."""
    body = encoder.meter_telegram("ISK", 5, [encoder.Value("1-0:1.8.0", 42, 30)])[8:-8]
    assert len(_json("sml", body.rstrip(b"\x00").hex() + "00")["telegrams"]) == 1


def test_sml_for_people() -> None:
    """One line a value."""
    result = CliRunner().invoke(cli.decode, ["sml", CASE["telegram"]], catch_exceptions=False)
    assert "  1-0:15.7.0*255           126.6 W" in result.stdout.splitlines()
    assert "  1-0:1.8.0*255            17243675.6 Wh  (status 0x1B0)" in result.stdout.splitlines()


LINES = [
    "1-0:1.8.0*255(000012.5*kWh)",
    "1-0:1.8.0*96(00001.0*kWh)",
    "0-1:24.2.1(161129200000W)(00981.443*m3)",
    "F.F(00)",
]


@pytest.mark.parametrize("kind", ["push", "p1", "text", "hex", "bare"])
def test_d0_in_whatever_form_it_was_caught(kind: str, tmp_path: Path) -> None:
    """With parity or without, whole or a few lines that somebody copied."""
    plain = "\r\n".join(LINES)
    data = {
        "push": push("ABC5METER", LINES),
        "p1": p1("ABC5METER", LINES),
        "text": f"/ABC5METER\n\n{plain}\n!\n".encode(),
        "hex": push("ABC5METER", LINES).hex().encode(),
        "bare": plain.encode(),
    }[kind]
    file = tmp_path / "caught.txt"
    file.write_bytes(data)
    ((telegram,), errors) = _json("d0", str(file)).values()
    assert errors == []
    assert telegram["ident"] == ("" if kind == "bare" else "ABC5METER")
    assert telegram["values"] == [
        {"obis": "1-0:1.8.0*255", "text": ["000012.5*kWh"], "value": 12.5, "unit": "kWh"},
        {"obis": "1-0:1.8.0*96", "text": ["00001.0*kWh"]},
        {
            "obis": "0-1:24.2.1",
            "text": ["161129200000W", "00981.443*m3"],
            "value": 981.443,
            "unit": "m3",
            "time": "161129200000W",
        },
        {"obis": "F.F", "text": ["00"], "value": 0.0, "unit": ""},
    ]


def test_d0_for_people(tmp_path: Path) -> None:
    """One line a value, with what the telegram says."""
    file = tmp_path / "caught.txt"
    file.write_bytes(push("ABC5METER", LINES))
    result = CliRunner().invoke(cli.decode, ["d0", str(file)], catch_exceptions=False)
    assert result.stdout.splitlines()[:2] == [
        "/ABC5METER",
        "  1-0:1.8.0*255            12.5 kWh             (000012.5*kWh)",
    ]


@pytest.mark.parametrize(("name", "given"), [("sml", "00112233"), ("d0", "00112233"), ("sml", "1b1b1b1b01010101")])
def test_what_is_no_telegram_is_refused(name: str, given: str) -> None:
    """With one sentence."""
    result = CliRunner().invoke(cli.decode, [name, given])
    assert isinstance(result.exception, PermanentError)
    assert str(result.exception).startswith("no ")
