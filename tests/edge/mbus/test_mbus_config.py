"""A wired M-Bus at the desk: its settings, its time, its addresses, and the mapping of records in profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from base.errors import ConfigError
from base.strict_yaml import Document, parse
from edge.drivers import plan_bus
from edge.mbus import mapping, selection, units
from edge.mbus import profile as profiles
from edge.mbus.driver import USUAL, MbusPlan
from edge.mbus.mapping import Selector
from edge.mbus.records import Record
from edge.mbus.records import parse as parse_records
from edge.mbus.telegram import Address
from edge.stream import SerialPort, TcpEndpoint
from wire import profile as public

if TYPE_CHECKING:
    from pathlib import Path

HEAT = "{id: heat, profile: generic/mbus-heat, site: town, address: 1}"
TOP_BIT = bytes.fromhex("04 16 01 00 00 80")
"""A volume in m3."""
WATER = '{id: water, profile: generic/mbus-water, site: town, secondary: "12345678"}'


def planned(file: Path, *devices: str, line: str = "serial: /dev/ttyUSB0") -> MbusPlan:
    """Check a bus."""
    rows = "\n".join(f"  - {device}" for device in devices or (HEAT, WATER))
    plan = plan_bus(parse(f"id: cellar\ndriver: mbus\n{line}\ndevices:\n{rows}\n".encode(), file), ())
    assert isinstance(plan, MbusPlan)
    return plan


def test_a_line_is_set_as_the_norm_has_it(tmp_path: Path) -> None:
    """2400 8E1 unless the file says otherwise; behind TCP the converter has its own."""
    assert planned(tmp_path).line == SerialPort("/dev/ttyUSB0", USUAL)
    fast = planned(tmp_path, line="serial: /dev/ttyUSB0\nbaud_rate: 9600")
    assert fast.line == SerialPort("/dev/ttyUSB0", msgspec.structs.replace(USUAL, baud_rate=9600))
    behind = planned(tmp_path, line="tcp: 192.0.2.9:10001")
    assert behind.line == TcpEndpoint("192.0.2.9", 10001)
    assert (behind.place.key, behind.place.address) == ("tcp", "192.0.2.9:10001")


def test_two_meters_of_one_number_may_differ_in_the_rest(tmp_path: Path) -> None:
    """Heat and cold of one housing: maker, version or medium tells them apart."""
    rows = [
        WATER.replace("12345678", f"12345678 LUG 07 {medium}").replace("water,", f"m{medium.lower()},", 1)
        for medium in ("04", "0D")
    ]
    assert len(planned(tmp_path, *rows).devices) == 2


@pytest.mark.parametrize(
    ("devices", "line", "expected"),
    [
        ((HEAT.replace("address: 1", ""),), "serial: /dev/x", "found no address"),
        ((HEAT.replace("address: 1", "address: 1, secondary: '12345678'"),), "serial: /dev/x", "one of 'address'"),
        ((HEAT.replace("address: 1", "address: 251"),), "serial: /dev/x", "250"),
        ((HEAT, HEAT.replace("id: heat", "id: b")), "serial: /dev/x", "1, which 'heat' has"),
        ((WATER, WATER.replace("id: water", "id: b")), "serial: /dev/x", "an address of its own"),
        (
            (WATER, WATER.replace("id: water", "id: b").replace("12345678", "123FFFFF")),
            "serial: /dev/x",
            "may answer, too",
        ),
        (
            (WATER, WATER.replace("id: water", "id: b").replace("12345678", "12345678 LUG")),
            "serial: /dev/x",
            "'water' (",
        ),
        ((HEAT.replace("address: 1", "address: 0"), WATER), "serial: /dev/x", "every new meter has 0"),
        ((WATER.replace("12345678", "1234567"),), "serial: /dev/x", "eight digits"),
        ((HEAT,), "tcp: 192.0.2.9", "HOST:PORT"),
        ((HEAT,), "tcp: 192.0.2.9:1\nparity: N", "'serial' only"),
        ((HEAT.replace("generic/mbus-heat", "eastron/sdm630"),), "serial: /dev/x", "driver 'modbus'"),
    ],
)
def test_what_is_wrong_is_said_at_its_line(tmp_path: Path, devices: tuple[str, ...], line: str, expected: str) -> None:
    """A person must edit the file: what was found, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, *devices, line=line)
    assert expected in str(caught.value)


def test_the_time_of_a_bus_is_worked_out(tmp_path: Path) -> None:
    """Bytes of question and answer at the line's speed, and half of what a meter may think; selecting costs more."""
    plan = planned(tmp_path)
    character_s, delay_s = 11 / 2400, (330 / 2400 + 0.05) / 2
    assert plan.cost_s("heat") == pytest.approx((4 * (5 + 160) + 6) * character_s + 5 * delay_s)
    assert plan.cost_s("water") == pytest.approx((4 * (5 + 100) + 6 + 18) * character_s + 6 * delay_s)
    assert plan.faster(1.0) == "`baud_rate: 2400`, where all its meters can be set to it"
    assert "9600" in plan.faster(0.5)
    assert plan.faster(0.01) == ""


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("66660205", "05026666ffffffff"),
        ("6666FFFF", "ffff6666ffffffff"),
        ("66660205 LUG", "05026666a732ffff"),
        ("66660205 lug 07 04", "05026666a7320704"),
        ("66660205 * * 04", "05026666ffffff04"),
        ("66660205a7320704", "05026666a7320704"),
    ],
)
def test_secondary_addresses_are_read_as_people_write_them(text: str, mask: str) -> None:
    """As on the meter, with or without maker, version and medium; or as libmbus prints them."""
    found = selection.parse(text)
    assert found is not None
    assert found.mask().hex() == mask
    assert found.is_met_by(Address("66660205" if "FFFF" not in text else "66669999", "LUG", 7, 4))
    assert not found.is_met_by(Address("76660205", "LUG", 7, 4))


@pytest.mark.parametrize("text", ["", "6666020", "6666020G", "66660205 L", "66660205 LUG 7", "66660205LUG"])
def test_what_is_no_address_is_none(text: str) -> None:
    """Nothing is guessed."""
    assert selection.parse(text) is None


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (1e9, "J", "kWh", 277.77777777777777),
        (1e6, "Wh", "kWh", 1000),
        (3.6e9, "J", "kWh", 1000),
        (36e5, "J/h", "W", 1000),
        (860_000, "cal", "kWh", 1.00018),
        (3.6, "m3/h", "m3/s", 0.001),
        (1, "bar", "hPa", 1000),
        (212, "degF", "Cel", 100),
        (1.8, "degF", "K", 1),
        (7200, "s", "h", 2),
        (1, "kg", "m3", None),
        (1, "Wh", "m3", None),
    ],
)
def test_units_are_converted(value: float, unit: str, to: str, expected: float | None) -> None:
    """Golden case 10 (1 GJ, 1 MWh and 3600 MJ), and what other meters send; what cannot be, is none."""
    assert units.convert(value, unit, to) == expected
    assert units.can_convert(unit, to) == (expected is not None)


def rows(document: Document) -> tuple[profiles.MbusProfile, Document]:
    """Check a profile's text."""
    profile = document.convert(profiles.MbusProfile)
    public.check(document, profile, profile.profile)
    mapping.check(document, ("mbus", "records"), profile, profile.mbus.records)
    return profile, document


PROFILE = """profile: x/y
label: {{de: x, en: x}}
driver: mbus
measurement: heat
interval_s: 900
parameters:
  weight: {{label: {{de: x, en: x}}, minimum: {minimum}, maximum: 100, default: 10}}
readings: [heat_volume]
sources: [{{what: x, where: x, retrieved: 2026-11-22}}]
mbus:
  records:
    {row}
"""


def profile_of(file: Path, row: str, minimum: float = 1) -> profiles.MbusProfile:
    """Check a profile with one row."""
    return rows(parse(PROFILE.format(row=row, minimum=minimum).encode(), file))[0]


@pytest.mark.parametrize(
    ("row", "minimum", "expected"),
    [
        ("heat_energy: {record: energy}", 1, "one of those listed under 'readings'"),
        ("{}", 1, "'heat_volume' without a record"),
        ("heat_volume: []", 1, "one at least"),
        ("heat_volume: {record: volume, scale: 0}", 1, "leaves something"),
        ("heat_volume: {record: volume, taken_as: kWh}", 1, "can become m3"),
        ("heat_volume: {record: volume, divide_by: wait}", 1, "declared under 'parameters'"),
        ("heat_volume: {record: volume, divide_by: weight}", 0, "bounds without 0"),
        ("heat_volume: {record: volume, storage: -1}", 1, "0"),
        ("heat_volume: {recrod: volume}", 1, "recrod"),
    ],
)
def test_a_wrong_row_is_said_at_its_line(tmp_path: Path, row: str, minimum: float, expected: str) -> None:
    """Of a profile, too."""
    with pytest.raises(ConfigError) as caught:
        profile_of(tmp_path, row, minimum)
    assert expected in str(caught.value)


def test_a_row_puts_a_meters_faults_right(tmp_path: Path) -> None:
    """Without a unit, ten times too small, pulses by their weight, and counted into the top bit."""
    row = "heat_volume: {record: dimensionless, taken_as: m3, scale: 10, divide_by: weight}"
    profile = profile_of(tmp_path, row)
    pulses = Record("dimensionless", 5)
    found = mapping.compiled(profile, profile.mbus.records, {"weight": 100}).apply([pulses])
    assert [(each.name, each.value, each.unit) for each in found.readings] == [("heat_volume", 0.5, "m3")]


@pytest.mark.parametrize(("more", "expected"), [("", -2147483647.0), (", unsigned: true", 2147483649.0)])
def test_a_row_says_that_a_meter_counts_into_the_top_bit(tmp_path: Path, more: str, expected: float) -> None:
    """Golden case 6: 80 00 00 01 is 2147483649 of a meter that is known to count so, whatever the norm says."""
    profile = profile_of(tmp_path, f"heat_volume: {{record: volume{more}}}")
    found = mapping.compiled(profile, profile.mbus.records, {}).apply(parse_records(TOP_BIT).records)
    assert [each.value for each in found.readings] == [expected]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (Selector(record="volume"), 1.0),
        (Selector(record="volume", index=1), 2.0),
        (Selector(record="volume", index=3), None),
        (Selector(record="volume", function="maximum"), 3.0),
        (Selector(record="volume", storage=1), 4.0),
        (Selector(record="volume", tariff=2), 5.0),
        (Selector(record="volume", subunit=1), 6.0),
        (Selector(record="volume", qualifiers=["backward"]), 7.0),
        (Selector(record="volume", unit="ft3"), 1.0),
        (Selector(record="mass"), None),
    ],
)
def test_a_record_is_found_by_all_that_it_says_of_itself(
    tmp_path: Path, selector: Selector, expected: float | None
) -> None:
    """And by nothing less: the volume of now is not that of a key date, a tariff, or the other direction."""
    records = [
        Record("volume", 99.0, "m3", function="error"),
        Record("volume", 1.0, "m3"),
        Record("volume", 2.0, "m3"),
        Record("volume", 3.0, "m3", function="maximum"),
        Record("volume", 4.0, "m3", storage=1),
        Record("volume", 5.0, "m3", tariff=2),
        Record("volume", 6.0, "m3", subunit=1),
        Record("volume", 7.0, "m3", qualifiers=("backward",)),
        Record("volume", 1 / 0.028316846592, "ft3"),
        Record("mass", 8.0, "kg"),
    ]
    profile = profile_of(tmp_path, "heat_volume: {record: volume}")
    found = mapping.compiled(profile, {"heat_volume": selector}, {}).apply(records)
    assert [each.value for each in found.readings] == ([] if expected is None else [expected])
    assert found.missing == (("heat_volume",) if expected is None else ())
