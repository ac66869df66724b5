"""Codes of meters, their units, and what a profile says of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from base import strict_yaml
from base.errors import ConfigError
from edge import obis
from edge.obis import Map, Register, Value
from edge.sml.profile import SmlProfile
from wire import profile as public


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-0:1.8.0*255", ("1-0", "1.8.0")),
        ("1-0:1.8.0", ("1-0", "1.8.0")),
        ("1.8.0", ("", "1.8.0")),
        ("C.1.0", ("", "C.1.0")),
        ("F.F", ("", "F.F")),
        ("0-1:24.2.1", ("0-1", "24.2.1")),
        ("1-0:1.8.0*96", None),
        ("1.8.0*01", None),
        ("1.8.0&01", None),
        ("1.8.0*", None),
        ("", None),
        ("1-0:", None),
        ("1-0:1.8.0.0.0", None),
        ("x", None),
    ],
)
def test_codes_of_now_are_read(text: str, expected: tuple[str, str] | None) -> None:
    """Those of the past, and what is no code, are none."""
    assert obis.parse(text) == expected


@pytest.mark.parametrize(
    ("said", "name", "expected"),
    [
        (Value(Decimal(1500), "Wh"), "active_energy_import", 1.5),
        (Value(Decimal("1.5"), "MWh"), "active_energy_import", 1500.0),
        (Value(Decimal("0.25"), "kW"), "active_power", 250.0),
        (Value(Decimal(1), "GJ"), "heat_energy", 277.77777777777777),
        (Value(Decimal(1), "MWh"), "heat_energy", 1000.0),
        (Value(Decimal(3600), "MJ"), "heat_energy", 1000.0),
        (Value(Decimal(2200), "mA"), "current", 2.2),
        (Value(Decimal("0.4"), "kV"), "voltage", 400.0),
        (Value(Decimal(7200), "m3/h"), "flow_rate", 2.0),
        (Value(Decimal("12.3"), ""), "water_volume", 12.3),
    ],
)
def test_units_are_turned_into_the_quantitys(said: Value, name: str, expected: float) -> None:
    """Golden case 10 among them: 1 GJ, 1 MWh and 3600 MJ are 277.778, 1000 and 1000 kWh."""
    (reading,) = Map({name: Register(obis="1.8.0")}, {}).readings({("1-0", "1.8.0"): said}).readings
    assert reading.value == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("said", "expected"), [("", 1.2963), ("kWh", 1296.3)])
def test_a_value_without_a_unit_has_the_one_of_its_profile(said: str, expected: float) -> None:
    """One with a unit has its own: the same digits in Wh and kWh are a factor of 1000 apart."""
    register = Register(obis="1.8.0", unit="Wh")
    values = {("1-0", "1.8.0"): Value(Decimal("1296.3"), said)}
    (reading,) = Map({"active_energy_import": register}, {}).readings(values).readings
    assert reading.value == expected


@pytest.mark.parametrize(
    ("text", "unit"), [("KWH", "kWh"), ("kWh", "kWh"), ("MWh", "MWh"), ("mA", "mA"), ("m³", "m3"), ("?", "?")]
)
def test_capitals_of_units_do_not_matter(text: str, unit: str) -> None:
    """Except where they tell two apart."""
    assert obis.unit_of(text) == unit


def test_a_full_code_is_not_another_mediums() -> None:
    """Gas counts under 7-0:3.0.0 what electricity may have under 1-0; a short code takes either."""
    values = {("7-0", "1.8.0"): Value(Decimal(5), "m3"), ("1-0", "1.8.0"): Value(Decimal(7), "kWh")}
    mapped = Map({"active_energy_import": Register(obis="1-0:1.8.0")}, {}).readings(values)
    assert [reading.value for reading in mapped.readings] == [7.0]
    assert Map({"gas_volume": Register(obis="1.8.0")}, {}).readings(values).readings[0].value == 5.0
    assert Map({"gas_volume": Register(obis="8-0:1.8.0")}, {}).readings(values).readings == ()


def test_sums_are_exact() -> None:
    """1581.123 and 1435.706 are 3016.829, to the digit."""
    values = {("", "1.8.1"): Value(Decimal("1581.123"), "kWh"), ("", "1.8.2"): Value(Decimal("1435.706"), "kWh")}
    mapped = Map({"active_energy_import": Register(obis="1-0:1.8.1 + 1-0:1.8.2")}, {}).readings(values)
    assert mapped.readings[0].value == 3016.829


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("000123.40", "123.40"),
        (" 20000", "20000"),
        ("-1.5", "-1.5"),
        ("1,5", None),
        ("", None),
        ("1e9", None),
        ("٣", None),
    ],
)
def test_numbers_are_those_of_meters(text: str, expected: str | None) -> None:
    """Digits, a point, a sign, blanks before it; nothing that Python would take beside."""
    assert obis.decimal(text) == (Decimal(expected) if expected is not None else None)
    assert obis.decimal("1" * 31) is None


BROKEN = [
    ('{obis: "1-0:1.8.0", unit: Wh}', '{obis: "1.8", unit: V}', "'V'"),
    ('{obis: "1-0:1.8.0", unit: Wh}', '{obis: "1-0:1.8.0*01", unit: Wh}', "'1-0:1.8.0*01'"),
    ('{obis: "1-0:1.8.0", unit: Wh}', '{obis: "1-0:1.8.0 +", unit: Wh}', "'1-0:1.8.0 +'"),
    ('{obis: "1-0:1.8.0", unit: Wh}', '{obis: "1-0:1.8.0", multiply_by: ratio}', "'ratio'"),
    ('    active_energy_import: {obis: "1-0:1.8.0", unit: Wh}\n', "", "'active_energy_import' without a value"),
    ("  registers:\n", '  registers:\n    voltage/L1: {obis: "1-0:32.7.0"}\n', "'voltage/L1'"),
]


@pytest.mark.parametrize(("old", "new", "found"), BROKEN)
def test_a_broken_profile_names_its_line(old: str, new: str, found: str) -> None:
    """What was found, and what would be right."""
    text = (public.PROFILES / "iskra" / "mt175.yaml").read_text()
    assert old in text
    document = strict_yaml.parse(text.replace(old, new).encode(), Path("mt175.yaml"))
    profile = document.convert(SmlProfile)
    with pytest.raises(ConfigError, match=r"mt175\.yaml:[0-9]+:") as caught:
        obis.check(document, profile, profile.sml.registers, "sml")
    assert found in str(caught.value)
