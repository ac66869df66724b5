"""The M-Bus decoder's traps: dates, signs, digits that are none, units, and whatever noise makes of a telegram."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import PermanentError
from edge.mbus import decode as command
from edge.mbus import frame, records, telegram
from edge.mbus.errors import DamagedError, EncryptedError, RefusedError, TelegramError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

FIXED = "68 13 13 68 08 05 73 78 56 34 12 0a 00 e9 7e 01 00 00 00 35 01 00 00 3c 16"
"""From "The M-Bus: A Documentation" 4.8, 6.2: a water meter that counted 1 l, and 135 l on the key date."""
HEAD = bytes.fromhex("78563412 a732 07 04 01 00 0000")
SHORTEST = frame.long_frame(0x08, 1, 0x72, HEAD + bytes.fromhex("0c0601000000"))


def one(text: str) -> records.Record:
    """Decode one record."""
    found = records.parse(bytes.fromhex(text))
    assert not found.damage
    (record,) = found.records
    return record


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("46 6d 00 00 08 16 27 00", "2016-07-22T08:00:00"),
        ("04 6d 19 0f 8a 17", "2012-07-10T15:25:00"),
        ("04 6d 32 37 1f 15", "2008-05-31T23:50:00"),
        ("04 6d 00 00 21 f1", None),
        ("42 6c bf 15", "2013-05-31"),
        ("42 6c 61 a1", "1983-01-01"),
        ("42 6c ff ff", None),
        ("42 6c e1 f1", None),
        ("03 6d 3b 1e 17", "23:30:59"),
        ("46 6d 00 80 08 16 27 00", None),
    ],
)
def test_dates_are_those_of_the_norm(text: str, value: str | None) -> None:
    """Types F, G, I and J, with and without a century; what no calendar has, or the meter marks invalid, is none."""
    assert one(text).value == value


def test_a_clock_that_is_not_set_says_no_time() -> None:
    """The invalid bit of a CP32: the other bits are no time, whatever they look like."""
    record = one("04 6d a1 15 e9 17")
    assert (record.value, record.note) == (None, "the meter says that its clock is not set")


@pytest.mark.parametrize(
    ("text", "quantity", "value", "unit"),
    [
        ("0c 06 27 04 85 02", "energy", 2850427000, "Wh"),
        ("0c 0e 27 04 85 02", "energy", 2850427000000, "J"),
        ("04 fb 00 08 00 00 00", "energy", 800000, "Wh"),
        ("04 fb 08 08 00 00 00", "energy", 800000000, "J"),
        ("0b 3b 13 01 f0", "volume_flow", -0.113, "m3/h"),
        ("0a 62 02 f0", "temperature_difference", -0.2, "K"),
        ("0a 5a 27 02", "flow_temperature", 22.7, "Cel"),
        ("0a 5a b2 02", "flow_temperature", None, "Cel"),
        ("05 2b 00 00 c0 7f", "power", None, "W"),
        ("05 2e b1 d1 2e be", "power", -170.72178, "W"),
        ("02 5a 00 80", "flow_temperature", None, "Cel"),
        ("04 13 01 00 00 80", "volume", -2147483.647, "m3"),
        ("04 93 fc 11 01 00 00 80", "volume", 2147483.649, "m3"),
        ("0d 78 02 37 47", "fabrication_number", "G7", ""),
        ("0d fd 0f 03 33 2e 31", "software_version", "1.3", ""),
        ("0d 13 c3 56 34 12", "volume", 123.456, "m3"),
        ("0d 13 d3 56 34 12", "volume", -123.456, "m3"),
        ("0d 13 e2 00 01", "volume", 0.256, "m3"),
        ("01 ff 13 04", "of_maker", 4, ""),
        ("04 ff 22 04 00 00 00", "of_maker", 4, ""),
        ("02 fd c9 ff 01 e6 00", "voltage", 230, "V"),
        ("04 85 7d 01 00 00 00", "energy", 100000, "Wh"),
        ("04 85 74 01 00 00 00", "energy", 1, "Wh"),
        ("02 da 7a 01 00", "flow_temperature", 0.2, "Cel"),
    ],
)
def test_numbers_keep_sign_digits_and_unit(text: str, quantity: str, value: float | str | None, unit: str) -> None:
    """Each coding of the norm; NaN, letters among digits and the lowest integer are no value; Wh and J stay apart."""
    record = one(text)
    assert (record.quantity, record.value, record.unit) == (quantity, value, unit)


def test_the_top_bit_may_be_no_sign() -> None:
    """Golden case 6: where a profile says so, 80 00 00 01 is 2147483649."""
    assert records.unsigned_value(one("04 16 01 00 00 80")) == 2147483649


@pytest.mark.parametrize(
    ("text", "note"),
    [("02 db 15 00 00", "no data available"), ("04 86 16 ff ff ff 7f", "data overflow"), ("00 13", "no data")],
)
def test_a_meter_without_a_value_says_why(text: str, note: str) -> None:
    """Record errors in the extensions: the number beside them is none."""
    record = one(text)
    assert (record.value, record.note) == (None, note)


@pytest.mark.parametrize(
    ("text", "qualifiers"),
    [
        ("04 83 3b 01 00 00 00", ("forward",)),
        ("04 a9 fc 01 01 00 00 00", ("L1",)),
        ("02 bb 22 01 00", ("per hour",)),
        ("02 ec 7e ff 1c", ("future",)),
    ],
)
def test_extensions_make_another_quantity(text: str, qualifiers: tuple[str, ...]) -> None:
    """The energy of one direction is not the energy, and a future date not a date."""
    assert one(text).qualifiers == qualifiers


def test_storage_tariff_and_subunit_are_put_together_from_all_extensions() -> None:
    """Storage 2 * 15 + 1 + 32 * 1, tariff 2 + 4 * 1, subunit 1."""
    record = one("c4 ef 11 06 01 00 00 00")
    assert (record.storage, record.tariff, record.subunit) == (1 + 2 * 15 + 32 * 1, 2 + 4 * 1, 1)


def test_a_meter_of_the_first_generation() -> None:
    """The fixed data structure: two counters, the second one of the key date."""
    found = telegram.decode(bytes.fromhex(FIXED))
    assert found.address == telegram.Address("12345678", "", 0, 7)
    assert [(each.value, each.unit, each.storage) for each in found.content.records] == [
        (0.001, "m3", 0),
        (0.135, "m3", 1),
    ]


@pytest.mark.parametrize(
    ("status", "value"),
    [("00", None), ("01", 437.0)],
)
def test_counters_of_the_first_generation_are_decimal_or_binary(status: str, value: float | None) -> None:
    """B5 01 is 437 as an integer, and as decimal digits none."""
    content = bytes.fromhex(f"78563412 0a {status} 2c 7e b5010000 00000000")
    assert telegram.decode_payload(0x73, content).content.records[0].value == value


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", DamagedError),
        (b"\xe5", DamagedError),
        (SHORTEST[:-1], DamagedError),
        (SHORTEST + b"\x00", DamagedError),
        (SHORTEST[:20] + b"\xff" + SHORTEST[21:], DamagedError),
        (b"\x00" + SHORTEST, DamagedError),
        (frame.long_frame(0x53, 1, 0x72, HEAD), UnsupportedError),
        (frame.long_frame(0x0B, 1, 0x72, HEAD), UnsupportedError),
        (frame.long_frame(0x08, 1, 0x76, HEAD), UnsupportedError),
        (frame.long_frame(0x08, 1, 0x55, HEAD), UnsupportedError),
        (frame.long_frame(0x08, 1, 0x71, b"\x01"), RefusedError),
        (frame.long_frame(0x08, 1, 0x70), RefusedError),
        (frame.long_frame(0x08, 1, 0x72, HEAD[:10] + b"\x20\x05" + bytes(range(32))), EncryptedError),
        (frame.long_frame(0x08, 1, 0x73, bytes.fromhex("78563412 0a00 a9be 0100000035010000")), UnsupportedError),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, kind: type[TelegramError]) -> None:
    """Damage, commands of a master, unknown structures, errors that the device reports, and encryption."""
    with pytest.raises(kind):
        telegram.decode(data)


def test_a_field_of_old_meters_is_no_encryption() -> None:
    """An Aquametro has B627h where later meters say how they encrypt."""
    assert telegram.encryption_of(0xB627) == ""
    assert telegram.encryption_of(0x0520) == "AES-128, mode 5"


@settings(max_examples=300, derandomize=True)
@given(st.binary(max_size=260))
def test_noise_is_no_telegram(data: bytes) -> None:
    """Whatever comes is refused in our words, or is a telegram."""
    try:
        telegram.decode(data)
    except TelegramError:
        return
    assert frame.checksum(data[4:-2]) == data[-2]


@settings(max_examples=600, derandomize=True)
@given(st.sampled_from([0x70, 0x71, 0x72, 0x73, 0x78, 0x7A]), st.binary(max_size=250))
def test_any_payload_is_read_or_refused(information: int, content: bytes) -> None:
    """Behind a right checksum anything may stand: no other error than ours, and every value is finite and plain."""
    try:
        found = telegram.decode_payload(information, content)
    except TelegramError:
        return
    text = json.dumps(command.as_object(found), allow_nan=False)
    assert json.loads(text)["access_number"] == found.access_number
    command.show(found)


@settings(max_examples=200, derandomize=True)
@given(st.data())
def test_one_wrong_byte_is_found(data: st.DataObject) -> None:
    """The checksum and the doubled length find any single wrong byte."""
    at = data.draw(st.integers(0, len(SHORTEST) - 1))
    wrong = data.draw(st.integers(0, 255).filter(lambda byte: byte != SHORTEST[at]))
    with pytest.raises(DamagedError):
        telegram.decode(SHORTEST[:at] + bytes([wrong]) + SHORTEST[at + 1 :])


def test_a_telegram_on_the_command_line_is_shown() -> None:
    """A technician sees meter, values and units; a program gets JSON."""
    shown = CliRunner().invoke(command.decode, [FIXED])
    assert shown.exit_code == 0
    assert "12345678" in shown.output
    assert "0.135 m3       storage 1" in shown.output
    as_json = CliRunner().invoke(command.decode, [FIXED.replace(" ", ":"), "--json"])
    assert [each["value"] for each in json.loads(as_json.output)[0]["records"]] == [0.001, 0.135]


def test_a_file_has_a_telegram_in_each_line(tmp_path: Path) -> None:
    """Or is one, byte by byte; comments and empty lines are skipped."""
    lines, binary = tmp_path / "lines.txt", tmp_path / "telegram.bin"
    lines.write_text(f"# two\n\n{FIXED}\n{SHORTEST.hex()}\n")
    binary.write_bytes(SHORTEST)
    assert len(json.loads(CliRunner().invoke(command.decode, [str(lines), "--json"]).output)) == 2
    assert len(json.loads(CliRunner().invoke(command.decode, [str(binary), "--json"]).output)) == 1


def test_what_is_no_telegram_is_said() -> None:
    """One of our errors, which the command line turns into one sentence."""
    result = CliRunner().invoke(command.decode, ["6803"])
    assert isinstance(result.exception, PermanentError)
    assert str(result.exception) == "no readable telegram: 2 bytes that are no telegram with a payload"


def test_telegrams_of_a_recorded_line_are_found(tmp_path: Path) -> None:
    """Glued together, with an acknowledgement, a question, and half a telegram between them."""
    fixed = bytes.fromhex(FIXED)
    file = tmp_path / "line.bin"
    file.write_bytes(b"\xe5" + fixed + SHORTEST[:9] + frame.short_frame(0x5B, 1) + SHORTEST + fixed)
    assert frame.found_in(file.read_bytes()) == [fixed, SHORTEST, fixed]
    assert len(json.loads(CliRunner().invoke(command.decode, [str(file), "--json"]).output)) == 3


def test_one_damaged_telegram_costs_the_others_nothing(tmp_path: Path) -> None:
    """In a file of many it is said to be damaged; alone, or among its like, it is an error."""
    file = tmp_path / "lines.txt"
    file.write_text(f"{FIXED[:-5]}3d16\n{FIXED}\n")
    found = json.loads(CliRunner().invoke(command.decode, [str(file), "--json"]).output)
    assert "checksum" in found[0]["error"]
    assert found[1]["meter"]["number"] == "12345678"
    shown = CliRunner().invoke(command.decode, [str(file)]).output
    assert shown.startswith("unreadable: the checksum 3Dh")
    file.write_text(f"{FIXED[:-5]}3d16\n6803\n")
    assert "and 1 more that cannot be read" in str(CliRunner().invoke(command.decode, [str(file)]).exception)


@given(st.binary(max_size=400))
@settings(max_examples=200, derandomize=True)
def test_any_bytes_hold_telegrams_or_none(data: bytes) -> None:
    """What is found is whole; the search ends."""
    found = frame.found_in(data)
    assert found == [data] or all(frame.parse_long(each) for each in found)
