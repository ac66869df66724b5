"""`messnetz device` on devices that speak real protocols."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tty
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from simulator import town
from simulator.devices import Journal

from chain import Field

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def _device(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "messnetz", "device", *command], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def meters() -> Iterator[Field]:
    """The demo town's meters at work."""
    with Field(Journal()) as field:
        yield field


READS = [
    device.id
    for device in town.DEVICES
    if device.id in ("town-hall-main", "sewage-blower", "school-gym", "school-main")
]


@pytest.mark.parametrize("device_id", READS)
def test_reading_a_device_is_right_to_the_digit(device_id: str, meters: Field) -> None:
    """Two models on Modbus TCP and on an RTU line give exactly what their registers meant at that moment."""
    device = next(device for device in town.DEVICES if device.id == device_id)
    where = "--serial" if device.bus in town.LINES else "--tcp"
    done = _device("read", device.model.profile, where, meters.where[device.bus], "--unit", str(device.unit), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (poll,) = meters.journal.polls
    assert poll.device == device_id
    assert abs(answer["measured_at_ms"] - poll.polled_at_ms) < 5000
    names = {f"{r['quantity']}/{r['channel']}".rstrip("/"): r["value"] for r in answer["readings"]}
    assert names == {name: town.truth(device_id, name, poll.polled_at_ms) for name in device.model.names}
    assert all(reading["unit"] for reading in answer["readings"])


def test_reading_shows_quantities_with_units(meters: Field) -> None:
    """A person reads names, values and units."""
    done = _device("read", "eastron/sdm630", "--tcp", meters.where["town-hall"], "--unit", "1")
    rows = {line.split()[0]: line.split()[2:] for line in done.stdout.splitlines()}
    assert len(rows) == 16
    assert rows["voltage/L1"] == ["V", "Voltage"]
    assert (rows["active_power"][0], rows["active_energy_import"][0]) == ("W", "kWh")


def test_people_read_their_own_language(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Labels and what stands around them; names, units and errors are the same everywhere."""
    monkeypatch.setenv("MESSNETZ_LANGUAGE", "de")
    assert "CO2-Konzentration im Raum" in _device("show", "senseair/s8").stdout
    assert "(Treiber modbus, Messung " in _device("show", "senseair/s8").stdout
    assert "zähler" in _device("profiles").stdout.lower()
    done = _decode({str(address): 0 for address in range(400)} | NAN, tmp_path)
    assert done.stdout.splitlines()[0].split() == ["voltage/L1", "kein", "Wert", "Spannung"]
    assert "no profile 'x'" in _device("show", "x").stderr


def test_a_unit_that_nobody_has_is_said(meters: Field) -> None:
    """A sentence that names line and unit, exit 1."""
    done = _device(
        "read", "eastron/sdm630", "--serial", meters.where["school-cellar"], "--unit", "99", "--timeout", "0.3"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == f"{meters.where['school-cellar']}, unit 99: no answer in 0.3 s"


def test_a_device_that_refuses_is_said(meters: Field) -> None:
    """A B23 has no registers where an SDM630 has: its exception has a name."""
    done = _device("read", "eastron/sdm630", "--tcp", meters.where["sewage-works"], "--unit", "1")
    assert done.returncode == 1
    assert "illegal data address (2) on registers 0 to 75" in done.stderr


def test_a_senseair_sensor_answers_the_address_that_any_answers() -> None:
    """The published question and answer, byte for byte: FE 04 00 03 00 01 is answered with 0x0388 (904) ppm."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    asked = bytearray()

    def answer() -> None:
        while len(asked) < 8:
            asked.extend(os.read(ours, 8 - len(asked)))
        os.write(ours, bytes.fromhex("FE 04 02 03 88 AD B2"))

    Thread(target=answer, daemon=True).start()
    done = _device("read", "senseair/s8", "--serial", os.ttyname(theirs), "--unit", "254", "--json")
    assert done.returncode == 0, done.stderr
    assert asked == bytes.fromhex("FE 04 00 03 00 01 D5 C5")
    (reading,) = json.loads(done.stdout)["readings"]
    assert (reading["quantity"], reading["value"], reading["unit"]) == ("co2_indoor", 904.0, "ppm")
    os.close(ours)
    os.close(theirs)


WRONG = [
    (["read", "eastron/sdm631", "--tcp", "127.0.0.1"], "no profile 'eastron/sdm631'; perhaps eastron/sdm630"),
    (["show", "sdm630"], "no profile 'sdm630'; perhaps eastron/sdm630"),
    (["decode", "xyz", "--registers", "dump.json"], "no profile 'xyz'; `messnetz device profiles` lists all"),
    (["read", "eastron/sdm630"], "one of --tcp HOST:PORT"),
    (["read", "eastron/sdm630", "--tcp", "a b"], "not HOST or HOST:PORT"),
    (["read", "eastron/sdm630", "--tcp", "h", "--unit", "300"], "300"),
    (["decode", "eastron/sdm630", "--registers", "missing.json"], "missing.json:1:1"),
]


@pytest.mark.parametrize(("command", "error"), WRONG)
def test_wrong_input_is_exit_2_without_a_trace(command: list[str], error: str) -> None:
    """What a person typed wrongly is named, with what would be right."""
    done = _device(*command)
    assert done.returncode == 2
    assert error in done.stderr
    assert "Traceback" not in done.stderr


DUMPS = [
    ("", "1:1"),
    ("[1]", "no object"),
    ('{"0": 1,\n "1": }', "2:7"),
    ('{"0": 65536}', "65536 in register 0"),
    ('{"0": true}', "True in register 0"),
    ('{"x": 1}', "the address 'x'"),
    ('{"70000": 1}', "the address '70000'"),
    ("[" * 100_000, "no JSON"),
]


@pytest.mark.parametrize(("dump", "error"), DUMPS)
def test_a_broken_dump_is_exit_2(dump: str, error: str, tmp_path: Path) -> None:
    """The file, and where it can be told the line, is named."""
    file = tmp_path / "dump.json"
    file.write_text(dump)
    done = _device("decode", "eastron/sdm630", "--registers", str(file))
    assert done.returncode == 2, done.stderr
    assert error in done.stderr
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dump_is_decoded(tmp_path: Path) -> None:
    """Addresses may be decimal or hexadecimal."""
    file = tmp_path / "dump.json"
    words = {str(address): 0 for address in range(2, 76)} | {"0x0000": 0x4366, "1": 0x3333}
    file.write_text(json.dumps(words))
    done = _device("decode", "eastron/sdm630", "--registers", str(file), "--json")
    first = json.loads(done.stdout)["readings"][0]
    assert first == {"quantity": "voltage", "channel": "L1", "value": 230.2, "unit": "V"}


def _decode(dump: dict[str, int], tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "dump.json"
    file.write_text(json.dumps(dump))
    return _device("decode", "eastron/sdm630", "--registers", str(file), *options)


def test_a_part_of_a_dump_is_decoded_in_part(tmp_path: Path) -> None:
    """What it lacks registers for is named on stderr, and as `missing`; half a float is none."""
    done = _decode({"52": 0x4366, "53": 0, "0": 0x4366}, tmp_path, "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert [(r["quantity"], r["value"]) for r in answer["readings"]] == [("active_power", 230.0)]
    assert len(answer["missing"]) == 15
    assert "voltage/L1" in answer["missing"]
    assert "active_power" not in answer["missing"]
    assert f"{tmp_path}/dump.json: no voltage/L1, for it lacks registers 0 to 1\n" in done.stderr


def test_a_dump_of_nothing_that_the_profile_knows_is_exit_2(tmp_path: Path) -> None:
    """Said in one sentence, with a register that would help."""
    done = _decode({"1000": 1}, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "dump.json:1:1: found no registers 0 to 1" in done.stderr
    assert done.stderr.count("\n") == 1


NAN = {"0": 0x7FC0, "1": 0}


def test_a_quantity_without_a_value_is_said(tmp_path: Path) -> None:
    """To a person in its place, to a program by name: who wires a phase must see that nobody measures it."""
    dump = {str(address): 0 for address in range(400)} | NAN
    done = _decode(dump, tmp_path)
    assert done.stdout.splitlines()[0].split() == ["voltage/L1", "no", "value", "Voltage"]
    answer = json.loads(_decode(dump, tmp_path, "--json").stdout)
    assert (answer["without_value"], answer["missing"]) == (["voltage/L1"], [])


def test_a_dump_of_nothing_but_no_values_says_so(tmp_path: Path) -> None:
    """As reading the device does: the registers are there, and hold nothing."""
    done = _decode({str(address): 0x7FC0 for address in range(400)}, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.rstrip().endswith("no value") or "no value" in line for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == 16


def test_a_register_that_a_dump_names_twice_is_exit_2(tmp_path: Path) -> None:
    """Which of the two is meant nobody can know."""
    done = _decode({"52": 17254, "0x34": 1}, tmp_path)
    assert done.returncode == 2
    assert "register 52 a second time" in done.stderr


def test_a_number_of_thousands_of_digits_is_exit_2(tmp_path: Path) -> None:
    """Not an internal error."""
    file = tmp_path / "dump.json"
    file.write_text('{"52": ' + "1" * 5000 + "}")
    done = _device("decode", "eastron/sdm630", "--registers", str(file))
    assert done.returncode == 2
    assert f"{file}:1:1: found no JSON" in done.stderr


def test_the_example_in_the_help_works_as_it_is_shown(tmp_path: Path) -> None:
    """Whoever copies it sees a reading."""
    lines = _device("decode", "eastron/sdm630", "--help").stdout.partition("Example:\n")[2]
    assert "messnetz device decode" in lines
    messnetz = tmp_path / "messnetz"
    messnetz.write_text(f'#!/bin/sh\nexec {sys.executable} -m messnetz "$@"\n')
    messnetz.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e"], input=lines, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == ["active_power", "230.0", "W"]


def test_a_reading_without_a_value_is_shown() -> None:
    """As a meter on the line sends it: a NaN, which no store could hold."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)

    def answer() -> None:
        asked = b""
        while len(asked) < 8:
            asked += os.read(ours, 8 - len(asked))
        os.write(ours, bytes.fromhex("FE 04 02 00 00 AD 24"))

    Thread(target=answer, daemon=True).start()
    done = _device("read", "senseair/s8", "--serial", os.ttyname(theirs), "--unit", "254", "--json")
    assert done.returncode == 0, done.stderr
    answer_ = json.loads(done.stdout)
    assert (answer_["readings"], answer_["without_value"]) == ([], ["co2_indoor"])
    os.close(ours)
    os.close(theirs)


def test_a_line_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    """Cause and remedy, exit 1."""
    done = _device("read", "eastron/sdm630", "--serial", str(tmp_path / "ttyUSB0"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{tmp_path}/ttyUSB0: no such port; check that the adapter is plugged in")
