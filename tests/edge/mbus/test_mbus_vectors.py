"""Recorded telegrams of real meters, record by record, and what other decoders make of them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import meterbus
import pymbusparser
import pytest

from edge.mbus import telegram
from edge.mbus.errors import TelegramError

if TYPE_CHECKING:
    from pathlib import Path

    from edge.mbus.records import Record

FUNCTIONS = {
    "Instantaneous value": "instantaneous",
    "Maximum value": "maximum",
    "Minimum value": "minimum",
    "Value during error state": "error",
}
QUANTITIES = {
    "Energy": "energy",
    "Volume": "volume",
    "Power": "power",
    "Time point (date)": "date",
    "Volume flow": "volume_flow",
    "Time point (date & time)": "date_time",
    "Flow temperature": "flow_temperature",
    "Return temperature": "return_temperature",
    "Fabrication No": "fabrication_number",
    "External temperature": "external_temperature",
    "Temperature difference": "temperature_difference",
    "Operating time": "operating_time",
    "Voltage": "voltage",
    "Current": "current",
    "On time": "on_time",
    "Error flags": "error_flags",
    "Averaging Duration": "averaging_duration",
    "Software version": "software_version",
    "Manufacturer specific": "of_maker",
    "Firmware version": "firmware_version",
    "Digital Input": "digital_input",
    "Customer location": "customer_location",
    "Actuality Duration": "actuality_duration",
    "H.C.A.": "heat_cost_allocation",
    "Digital Output": "digital_output",
    "Special supplier information": "supplier_information",
    "Model / Version": "model_version",
    "Parameter set identification": "parameter_set",
}
UNITS = {"m^3": "m3", "m^3/h": "m3/h", "Â°C": "Cel", "-": "", "Units for H.C.A.": "units"}

TIMES = {"end": "", "duration of exceeding lower limit": "s", "duration of exceeding upper limit": "s"}
"""Extensions that make a record a time of its quantity, which libmbus leaves out: its unit."""

BETTER: dict[str, dict[int, tuple[str, object]]] = {
    "ELS_Elster-F96-Plus": {4: ("no number: bd eb dd dd", None), 5: ("no number: bd eb dd", None)},
    "abb_f95": {2: ("no number: dd b4 eb dd", None), 3: ("no number: dd b4 eb", None)},
    "REL-Relay-Padpuls2": {1: ("the meter says that its clock is not set", None)},
    "siemens_water": {3: ("no date: 00 00", None)},
    "landis+gyr_ultraheat_t230": {
        19: ("no date: 00 00 00 00", None),
        20: ("no date: 00 00 00 00", None),
        21: ("", "2011-08-26T20:50:00"),
        22: ("", "2011-08-09T11:43:00"),
        32: ("no date: 00 00 e1 f1", None),
    },
}
"""Where the file's numbers, which are what libmbus made of the bytes, are wrong: digits that are none, dates that no
calendar has, a clock that says it is not set, and the time of a maximum (VIFE 6Fh) taken for its value (41 million
degrees). Note and value by the record's place."""


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _same(value: object, expected: str) -> bool:
    if isinstance(value, str):
        return value == expected.removesuffix("Z")
    if value is None:
        return not expected
    shown = Decimal(expected)
    return abs(Decimal(str(value)) - shown) <= Decimal("5.1e-7") + abs(shown) * Decimal("1e-7")


def test_every_record_of_every_meter(shared_data: Path) -> None:
    """39 telegrams: quantity, unit, value, function, storage, tariff and time of each record."""
    telegrams = _lines(shared_data / "mbus" / "frames.jsonl")
    for given in telegrams:
        decoded = telegram.decode(bytes.fromhex(given["hex"]))
        _check_meter(decoded, given["slave"])
        expected = [each for each in given["records"] if each["function"] in FUNCTIONS]
        assert not decoded.content.damage
        assert len(decoded.content.records) == len(expected), given["name"]
        for index, (record, each) in enumerate(zip(decoded.content.records, expected, strict=True)):
            better = BETTER.get(given["name"], {}).get(index)
            _check_record(f"{given['name']} {index}", record, each, better)
        _check_end(decoded, given["records"][-1])
    assert len(telegrams) == 39


def _check_meter(decoded: telegram.Telegram, slave: dict[str, str]) -> None:
    address = decoded.address
    assert address is not None
    assert address.number.lstrip("0") == slave["Id"].lstrip("0")
    assert (address.manufacturer, str(address.version)) == (slave["Manufacturer"], slave["Version"])
    assert str(decoded.access_number) == slave["AccessNumber"]
    assert f"{decoded.status.byte:02X}" == slave["Status"]
    assert f"{decoded.configuration:04X}" == slave["Signature"]


def _check_record(at: str, record: Record, expected: dict[str, str], better: tuple[str, object] | None) -> None:
    assert record.function == FUNCTIONS[expected["function"]], at
    assert str(record.storage) == expected["storage"], at
    assert str(record.tariff) == (expected["tariff"] or "0"), at
    if record.quantity == "plain_text":
        assert record.unit == ("" if isinstance(record.value, str) else expected["quantity"]), at
    else:
        assert record.quantity == QUANTITIES[expected["quantity"]], at
        unit = next((unit for word, unit in TIMES.items() if word in record.qualifiers), None)
        assert record.unit == (UNITS.get(expected["unit"], expected["unit"]) if unit is None else unit), at
    if better is None:
        assert _same(record.value, expected["value"]), (at, record.value, expected["value"])
    else:
        assert (record.note, record.value) == better, at


def _check_end(decoded: telegram.Telegram, last: dict[str, str]) -> None:
    assert decoded.content.more_follow == (last["function"] == "More records follow")
    if last["function"] == "Manufacturer specific":
        assert decoded.content.of_maker.hex(" ").upper() == last["value"]


BAD = {
    "buffer_too_long": "the device reports: buffer too long, the rest is cut off",
    "premature_end_of_data1": 2,
    "premature_end_of_var_vif1": 3,
    "too_long_var_vif": 3,
    "too_many_dife": 2,
    "too_many_difes": "the device reports: more than 10 DIFE",
    "too_many_records": "the device reports: too many records",
    "too_many_vifes": "the device reports: more than 10 VIFE",
    "too_short_header": "5 bytes, where the head alone has 12",
    "unimplemented_ci": "the device reports: unknown application field",
    "invalid_length": "the length 0, where a telegram has 3 at least",
    "invalid_length2": "15 bytes, where the fixed data structure alone has 16",
    "manual_frame4": "a command of a master (control field 53h), and no answer of a meter",
    "svm_f22_telegram2": 0,
}
"""What is said of each, or how many records stand before the damage."""


def test_damaged_telegrams_give_no_wrong_number(shared_data: Path) -> None:
    """A clear error, or the records before the damage with the damage named."""
    telegrams = {each["name"]: bytes.fromhex(each["hex"]) for each in _lines(shared_data / "mbus" / "bad-frames.jsonl")}
    assert telegrams.keys() == BAD.keys()
    for name, data in telegrams.items():
        expected = BAD[name]
        if isinstance(expected, str):
            with pytest.raises(TelegramError) as caught:
                telegram.decode(data)
            assert str(caught.value) == expected
            continue
        content = telegram.decode(data).content
        assert len(content.records) == expected
        assert content.damage or content.of_maker, name  # the last one is the maker's own from its first byte
        assert all(each.value is not None for each in content.records)


SECONDS = {"min": 60, "h": 3600, "d": 86400}


def test_a_second_library_agrees(shared_data: Path) -> None:
    """`pymbusparser` reads the same number from each record that is a number; floating point ones it does not scale."""
    compared = 0
    for given in _lines(shared_data / "mbus" / "frames.jsonl"):
        better = BETTER.get(given["name"], {})
        theirs = {
            bytes.fromhex(each["header_hex"] + each["data_hex"]): each
            for each in pymbusparser.parse(given["hex"])["records"]
            if each["value"]["kind"] == "decimal" and "real" not in each["data_coding"].lower()
        }
        for index, record in enumerate(telegram.decode(bytes.fromhex(given["hex"])).content.records):
            other = theirs.get(record.head + record.data)
            if other is None or index in better or isinstance(record.value, str):
                continue
            compared += 1
            value = Decimal(other["value"]["value"]) * SECONDS.get(other.get("unit", ""), 1)
            assert Decimal(str(record.value)) == value, (given["name"], index)
    assert compared > 280


def test_a_third_library_agrees(shared_data: Path) -> None:
    """`pyMeterBus` reads the same number from each plain record: no extension of the VIF, and digits that are some."""
    compared = 0
    for given in _lines(shared_data / "mbus" / "frames.jsonl"):
        better = BETTER.get(given["name"], {})
        theirs = meterbus.load(bytes.fromhex(given["hex"])).records
        for index, record in enumerate(telegram.decode(bytes.fromhex(given["hex"])).content.records):
            is_plain = record.head[-1] < 0x6C and not record.qualifiers and record.quantity != "plain_text"
            if index in better or not is_plain or isinstance(record.value, str):
                continue
            compared += 1
            value = theirs[index].value
            assert float(value) == pytest.approx(record.value, rel=1e-6), (given["name"], index)
    assert compared > 280
