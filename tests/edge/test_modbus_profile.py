"""Profiles of Modbus devices, and their cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from base import strict_yaml
from base.errors import ConfigError, PermanentError
from edge.modbus import profile as profiles
from edge.modbus.register_map import RegisterHalf
from edge.modbus.registers import width
from edge.parameters import check
from wire import profile as public

CASES = Path(profiles.__file__).parent / "cases"

NAMES = [name for name in public.names() if public.load(name).driver == "modbus"]


def _case(folder: Path) -> tuple[str, dict[str, float], dict[str, int]]:
    given = json.loads((folder / "input.json").read_text())
    return given["profile"], given.get("parameters", {}), given["registers"]


def _registers(given: dict[str, int], function_code: int) -> dict[tuple[int, int], int]:
    """Read the addresses of a case: of the profile's function code, or `CODE:ADDRESS`."""
    words = {}
    for key, word in given.items():
        code, _, address = key.rpartition(":")
        words[int(code or function_code), int(address, 0)] = word
    return words


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """A register dump becomes exactly the expected readings, or exactly the expected error."""
    name, parameters, given = _case(folder)
    expected, error = folder / "expected.json", folder / "error.txt"
    assert expected.exists() != error.exists(), "a case has either expected.json or error.txt"
    profile = profiles.load(name)
    model = profiles.compile_model(profile, check(parameters, profile.parameters))
    registers = _registers(given, profile.modbus.function_code)
    if error.exists():
        with pytest.raises(PermanentError) as caught:
            profiles.decode_dump(model, registers)
        assert str(caught.value) == error.read_text().strip()
        return
    decoded = [
        {"quantity": r.quantity, "channel": r.channel, "value": r.value, "unit": r.unit}
        for r in profiles.decode_dump(model, registers).readings
    ]
    assert decoded == json.loads(expected.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case(name: str) -> None:
    """No profile ships without registers that were decoded by it."""
    assert name in {_case(folder)[0] for folder in CASES.iterdir()}


def _fullest_dump(profile: str) -> dict[str, int]:
    """Of all cases of a profile, the dump with most readings."""
    folders = [file.parent for file in CASES.glob("*/expected.json") if _case(file.parent)[0] == profile]
    return _case(max(folders, key=lambda folder: len(json.loads((folder / "expected.json").read_text()))))[2]


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: str(folder.name))
def test_a_case_says_why_it_is_there(folder: Path) -> None:
    """Who breaks it must learn what was promised."""
    assert len(json.loads((folder / "input.json").read_text())["why"]) > 20


@pytest.mark.parametrize("name", NAMES)
def test_no_two_values_of_a_profile_share_a_register(name: str) -> None:
    """Other than by bits, that is a slip of the pen."""
    half = profiles.load(name).modbus
    if not isinstance(half, RegisterHalf):
        return  # SunSpec: the device says where its values stand
    taken: dict[tuple[int, int], str] = {}
    for reading, register in half.registers.items():
        code = register.function_code or half.function_code
        for address in range(register.address, register.address + width(register.type)):
            assert register.bits or (code, address) not in taken, f"{reading} and {taken[code, address]}"
            taken[code, address] = reading


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_compiles(name: str) -> None:
    """Both halves of every profile agree, and its requests keep within its limits."""
    profile = profiles.load(name)
    parameters = {key: parameter.default or parameter.minimum or 1.0 for key, parameter in profile.parameters.items()}
    compiled = profiles.compile_model(profile, parameters)
    model = profiles.locate_in(compiled, _registers(_fullest_dump(name), profile.modbus.function_code))
    assert {field.name for field in model.fields} | set(model.computed) == set(profile.readings)
    assert all(request.count <= profile.modbus.max_registers for request in model.requests())


BROKEN = [
    ("address: 0x0034", "address: 70000", "70000", "a whole number"),
    ("type: float32}\n    active_power: {", "type: float31}\n    active_power: {", "'float31'", "documented"),
    ("    frequency: {address: 0x0046, type: float32}\n", "", "'frequency' without a register", "a row"),
    ("function_code: 4", "function_code: 6", "6", "documented"),
    ("    frequency: {", "    frequenzy: {", "'frequenzy'", "listed under 'readings'"),
    ("  max_registers: 80", "  max_registers: 1", "float32 at 0", "one request"),
]


@pytest.mark.parametrize(("old", "new", "found", "expected"), BROKEN)
def test_a_broken_profile_names_line_and_remedy(
    old: str, new: str, found: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error says file, line and column, what was found and what would be right."""
    text = (public.PROFILES / "eastron" / "sdm630.yaml").read_text()
    assert old in text
    file = tmp_path / "eastron" / "sdm630.yaml"
    file.parent.mkdir()
    file.write_text(text.replace(old, new))
    monkeypatch.setattr(public, "load_document", lambda _name: strict_yaml.load(file))
    profiles.load.cache_clear()
    with pytest.raises(ConfigError) as caught:
        profiles.load("eastron/sdm630")
    assert caught.value.at.file == file
    assert caught.value.at.line > 1
    assert found in caught.value.found
    assert expected in caught.value.expected


def test_devices_of_one_kind_share_what_is_compiled() -> None:
    """A hundred meters cost the memory of one; another parameter makes another."""
    ratio = {"ct_ratio": 40.0}
    profile = profiles.load("eastron/sdm630")
    assert profiles.compile_model(profile, {}) is profiles.compile_model(profiles.load("eastron/sdm630"), {})
    assert profiles.compile_model(profile, ratio) is not profiles.compile_model(profile, {})
