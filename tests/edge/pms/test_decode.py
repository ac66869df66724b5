"""`messnetz device decode pms`, and bytes as a person gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import PermanentError
from edge.cli import device
from edge.pms.decode import cuts_of, described

if TYPE_CHECKING:
    from pathlib import Path

FRAME = "aac00600060058d93dab"


def test_hexadecimal_digits_are_decoded() -> None:
    """With whatever stands between them."""
    result = CliRunner().invoke(device, ["decode", "pms", "AA C0:06 00 06 00 58 d9 3d ab", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output) == [
        {
            "sensor": "sds011",
            "built_alike": ["sds018", "sds021"],
            "frame": "aac00600060058d9",
            "values": {"pm25": 0.6, "pm10": 0.6},
        }
    ]


def test_people_read_names_and_values() -> None:
    """And which other sensors send such a frame."""
    result = CliRunner().invoke(device, ["decode", "pms", "ff86027c42000000ba"])
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "mhz19b: ff86027c42000000",
        "  built alike: zh03b (--sensor)",
        "  co2             636",
    ]


def test_a_file_of_bytes_is_decoded(tmp_path: Path) -> None:
    """As a terminal program has saved it."""
    file = tmp_path / "capture"
    file.write_bytes(b"\x00\xff" + bytes.fromhex(FRAME) * 2)
    result = CliRunner().invoke(device, ["decode", "pms", str(file), "--json"])
    assert [each["values"] for each in json.loads(result.output)] == [{"pm25": 0.6, "pm10": 0.6}] * 2


def test_damage_is_shown_beside_what_is_right() -> None:
    """With its reason."""
    result = CliRunner().invoke(device, ["decode", "pms", FRAME + FRAME[:-4] + "3eab"])
    assert "damaged: a wrong checksum" in result.output.splitlines()


def test_the_sensor_may_be_named() -> None:
    """Where several are built alike."""
    result = CliRunner().invoke(device, ["decode", "pms", "ff86000c000f0009" + "56", "--sensor", "zh03b", "--json"])
    assert json.loads(result.output)[0]["values"] == {"pm25": 12, "pm10": 15, "pm01": 9}


@pytest.mark.parametrize("given", ["", "zz", "no/such/file", "a" * 5001])
def test_what_is_neither_is_a_sentence(given: str) -> None:
    """Not a stack trace."""
    result = CliRunner().invoke(device, ["decode", "pms", given])
    assert result.exit_code == 2
    assert "neither hexadecimal digits nor a readable file" in result.output


def test_bytes_without_a_frame_are_said_to_have_none() -> None:
    """And how many there were."""
    with pytest.raises(PermanentError, match="no frame of a sensor that is known in 3 bytes"):
        cuts_of(b"\x01\x02\x03")


@given(st.binary(max_size=1000))
@settings(max_examples=200, derandomize=True)
def test_any_bytes_are_described_or_refused(data: bytes) -> None:
    """Unknown devices are the normal case on site."""
    try:
        cuts = cuts_of(data)
    except PermanentError:
        return
    json.dumps([described(cut) for cut in cuts])
