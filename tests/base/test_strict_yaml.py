"""Strict YAML: what a person wrote is what is read, and what is wrong is named at its place."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from base import strict_yaml
from base.errors import ConfigError, Position

FILE = Path("town.yaml")


class Tcp(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="tcp"):
    """One of two kinds."""

    host: str


class Serial(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="serial"):
    """The other."""

    port: str


T = TypeVar("T")
Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+$", description="digits alone")]


class Device(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A thing with an entry of every sort."""

    id: str
    unit: Annotated[int, msgspec.Meta(ge=1, le=247)] = 1
    interval_s: float = 10.0
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    urgent: bool = False
    label: str | None = None
    serial_number: Number = "0"
    short: Annotated[str, msgspec.Meta(max_length=3)] = ""
    range: tuple[float, float] = (0, 1)
    line: Tcp | Serial | None = None
    either: int | str | None = None


class Town(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A file."""

    devices: Annotated[list[Device], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=list)
    sites: dict[Annotated[str, msgspec.Meta(pattern="^[a-z]+$", description="small letters")], Device] = {}
    nested: dict[str, dict[str, list[int]]] = {}


def value_of(text: str) -> object:
    """Read `text` as the value of one key."""
    document = strict_yaml.parse(f"key: {text}".encode(), FILE)
    return document.lookup(("key",))


def read(text: str | bytes, kind: type[T]) -> T:
    """Read a file as a type."""
    return strict_yaml.parse(text.encode() if isinstance(text, str) else text, FILE).convert(kind)


def error_of(text: str | bytes, kind: type = Town) -> ConfigError:
    """Read a file that is wrong."""
    with pytest.raises(ConfigError) as caught:
        read(text, kind)
    assert str(caught.value) == f"{caught.value.at}: found {caught.value.found}; expected {caught.value.expected}"
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("012", 12),
        ("0o14", 12),
        ("0x1F", 31),
        ("0xg", "0xg"),
        ("0o8", "0o8"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("-1.5E-3", -0.0015),
        ("1.5.2", "1.5.2"),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("=", "="),
        ("'12'", "12"),
        ('"12"', "12"),
        ("'no'", "no"),
        ("'2026-11-22'", "2026-11-22"),
        ("|\n  12", "12"),
        (">\n  true", "true"),
        ("70B3D5E75E0A1B2C", "70B3D5E75E0A1B2C"),
        ("'0004130500001530'", "0004130500001530"),
        ("1" * 41, "1" * 41),
        ("[1, a]", [1, "a"]),
        ("{a: 1}", {"a": 1}),
        ("{1: a, no: b, null: c}", {"1": "a", "no": "b", "null": "c"}),
    ],
)
def test_a_scalar_is_read_by_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    """`no` is no truth value, a date is a text, and what stands in quotes is always a text."""
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


@given(st.one_of(st.integers(-(2**63), 2**64), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_is_read_as_python_writes_it(number: float) -> None:
    """To the last bit."""
    found = value_of(repr(number))
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "-1e400", "70E5040302010000"])
def test_a_number_that_is_not_finite_is_refused(text: str) -> None:
    """A DevEUI such as the last is one by YAML's rules, and would have become infinite."""
    error = error_of(f"a: 1\nkey: {text}")
    assert error.at == Position(FILE, 2, 6)
    assert error.found == f"{text}, which is no finite number"
    assert "a text in quotes" in error.expected


@pytest.mark.parametrize("text", ["0004130500001530", "0x1F", "1e3", "12"])
def test_digits_where_a_text_belongs_are_shown_as_written_with_the_remedy(text: str) -> None:
    """A DevEUI of digits alone needs quotes, or its leading zeros are gone."""
    error = error_of(f"devices:\n  - id: {text}")
    assert error.at == Position(FILE, 2, 9)
    assert (error.found, error.expected) == (text, f"a text in quotes: '{text}'")


@pytest.mark.parametrize(
    ("text", "at", "found", "expected"),
    [
        # YAML itself
        ("a: b: c", (1, 5), "broken YAML (mapping values are not allowed", "well-formed YAML"),
        ("ä: [1\nb: 2", (2, 2), "broken YAML", "well-formed YAML"),
        ("a: 'x", (1, 6), "broken YAML (found unexpected end of stream)", "well-formed YAML"),
        ("a:\n\t- b", (2, 1), "broken YAML (found character that cannot start any token)", "well-formed YAML"),
        ("a: *b", (1, 4), "the alias *b", "an anchor &b before it"),
        ("a: 1\n---\nb: 2", (2, 1), "a second document (---)", "one document"),
        ("%YAML 3.0\n---\na: 1", (1, 1), "broken YAML (found incompatible YAML document)", "well-formed YAML"),
        ("a: 1\nb: 2\na: 3", (3, 1), "key 'a' a second time (first in line 1)", "each key once"),
        ("a: {x: 1, 'x': 2}", (1, 11), "key 'x' a second time", "each key once"),
        ("[a, b]: 1", (1, 1), "a key that is no text", "a text as key"),
        ("? {a: 1}\n: 2", (1, 3), "a key that is no text", "a text as key"),
        ("a: &x {b: 1}\nc:\n  <<: *x", (3, 3), "a merge (<<)", "the keys written out"),
        ("a: !!str 12", (1, 4), "the tag tag:yaml.org,2002:str", "without a tag"),
        ("a: !!python/object:os.system x", (1, 4), "the tag tag:yaml.org,2002:python/object:os.system", "without"),
        ("a: !secret x", (1, 4), "the tag !secret", "without a tag"),
        ("a: ! 12", (1, 4), "the tag !", "without a tag"),
        ("a: !!map {b: 1}", (1, 4), "the tag tag:yaml.org,2002:map", "without a tag"),
        ("a: !!set {b}", (1, 4), "the tag tag:yaml.org,2002:set", "without a tag"),
        ("a: 1\nbü: x\x07y", (2, 6), "the control character U+0007", "a text file"),
        ("a: \x00", (1, 4), "the control character U+0000", "a text file"),
        ("a: 'x\x85y'", (1, 6), "the control character U+0085", "a text file"),
        ("a: 'x\u2028y'", (1, 6), "the control character U+2028", "a text file"),
        # against a type
        ("", (1, 1), "an empty file", "settings"),
        ("# only a comment\n", (1, 1), "an empty file", "settings"),
        ("- a", (1, 1), "a list", "a mapping (key: value)"),
        ("text", (1, 1), "'text'", "a mapping (key: value)"),
        ("towns: 1", (1, 1), "unknown key 'towns'", "one of those documented: devices, nested, sites"),
        ("site: {}", (1, 1), "unknown key 'site'", "'sites', or another one of those documented: devices"),
        ("devices: []", (1, 10), "a list", "a list of length >= 1"),
        ("devices:\n  - {}", (2, 5), "no key 'id'", "'id' to be set here"),
        ("devices:\n  - id: a\n    baud: 1", (3, 5), "unknown key 'baud'", "label, line, parity, range"),
        ("devices:\n  - id: a\n    un`it: 1", (3, 5), "unknown key 'un`it'", "unit"),
        ("devices:\n  - id: a\n    unit: 0", (3, 11), "0", "a whole number >= 1"),
        ("devices:\n  - id: a\n    unit: 1.5", (3, 11), "1.5", "a whole number"),
        ("devices:\n  - id: a\n    unit: one", (3, 11), "'one'", "a whole number"),
        ("devices:\n  - id: a\n    interval_s: true", (3, 17), "true", "a number"),
        ("devices:\n  - id: a\n    urgent: no", (3, 13), "'no'", "true or false"),
        ("devices:\n  - id: a\n    parity: X", (3, 13), "'X'", "one of those documented: E, N, O"),
        ("devices:\n  - id: a\n    stop_bits: 3", (3, 16), "3", "one of those documented: 1, 2"),
        ("devices:\n  - id:", (2, 8), "nothing", "a text"),
        ("devices:\n  - id: [a]", (2, 9), "a list", "a text"),
        ("devices:\n  - id: true", (2, 9), "true", "a text"),
        ("devices:\n  - id: a\n    label: 5", (3, 12), "5", "a text in quotes: '5'"),
        ("devices:\n  - id: a\n    label: {}", (3, 12), "a mapping", "a text or nothing"),
        ("devices:\n  - id: a\n    either: 1.5", (3, 13), "1.5", "a whole number or a text or nothing"),
        ("devices:\n  - id: a\n    short: abcd", (3, 12), "'abcd'", "a text of length <= 3"),
        ("devices:\n  - id: a\n    serial_number: x1", (3, 20), "'x1'", "digits alone"),
        ("devices:\n  - id: a\n    range: [1]", (3, 12), "a list", "a list of length 2"),
        ("devices:\n  - id: a\n    range: [1, x]", (3, 16), "'x'", "a number"),
        ("devices:\n  - id: a\n    line: {}", (3, 11), "no key 'kind'", "'kind' to be set here"),
        ("devices:\n  - id: a\n    line: {kind: udp}", (3, 18), "'udp'", "one of those documented: serial, tcp"),
        ("devices:\n  - id: a\n    line: {kind: tcp, hots: x}", (3, 23), "unknown key 'hots'", "'host', or another"),
        # within a mapping whose keys are the person's own
        ("sites:\n  a: {id: x}\n  b: {id: 5}", (3, 11), "5", "a text in quotes: '5'"),
        ("sites:\n  a: {id: x}\n  b: {id: x, unit: 0}\n  c: {id: x, unit: 0}", (3, 20), "0", "a whole number >= 1"),
        ("sites:\n  a: {id: x}\n  b: {}", (3, 6), "no key 'id'", "'id' to be set here"),
        ("sites:\n  a: {id: x}\n  B: {id: x}", (3, 3), "the key 'B'", "small letters"),
        ("nested:\n  a: {x: [1]}\n  b: {x: [1], y: [1, z]}", (3, 22), "'z'", "a whole number"),
    ],
)
def test_a_fault_is_named_at_its_place(text: str, at: tuple[int, int], found: str, expected: str) -> None:
    """Line and column count from 1; columns count characters, not bytes."""
    error = error_of(text)
    assert error.at == Position(FILE, *at)
    assert found in error.found
    assert expected in error.expected


def test_a_file_of_one_mapping_points_to_the_entry() -> None:
    """A type need not be a struct: sites.yaml and quantities.yaml are mappings of them."""
    error = error_of("a: {id: x}\nb: {id: x, unit: two}", dict[str, Device])
    assert (error.at, error.found) == (Position(FILE, 2, 18), "'two'")


def test_a_value_that_is_very_long_is_shown_short() -> None:
    """An error is one line on a terminal."""
    error = error_of("devices: " + "x" * 500)
    assert len(error.found) == 60
    assert error.found.endswith("...")


def test_a_part_of_a_file_is_converted_with_its_own_positions() -> None:
    """A driver reads its bus out of a gateway's file."""
    document = strict_yaml.parse(b"buses:\n  - {}\n  - id: x\n    unit: 0", FILE)
    with pytest.raises(ConfigError) as caught:
        document.convert(Device, ("buses", 1))
    assert caught.value.at == Position(FILE, 4, 11)


def test_positions_of_values_and_keys() -> None:
    """For checks that no type can do."""
    document = strict_yaml.parse(b"buses:\n  - id: main\n    devices: [{id: a}, {id: b}]\n", FILE)
    assert document.at("buses", 0, "devices", 1, "id") == Position(FILE, 3, 29)
    assert document.key_at("buses", 0, "devices") == Position(FILE, 3, 5)
    assert document.at("buses", 0, "driver") == Position(FILE, 2, 5), "the nearest parent"
    assert document.key_at("buses", 7) == Position(FILE, 2, 3), "the nearest parent"
    assert document.lookup(("buses", 0, "devices", 1, "id")) == "b"
    assert document.lookup(("buses", 1)) is None
    assert document.lookup(("buses", "x")) is None
    error = document.error(("buses", 0, "id"), "'main' twice", "an id of its own")
    assert str(error) == "town.yaml:2:9: found 'main' twice; expected an id of its own"


def test_an_alias_is_read_where_it_stands() -> None:
    """Its faults are shown where the value was written."""
    document = strict_yaml.parse(b"a: &x {id: 5}\nb: *x\n", FILE)
    assert document.value == {"a": {"id": 5}, "b": {"id": 5}}
    assert document.at("b", "id") == Position(FILE, 1, 12)


def test_a_byte_order_mark_is_no_part_of_the_file() -> None:
    """Windows editors write one."""
    document = strict_yaml.parse(b"\xef\xbb\xbfkey: 1", FILE)
    assert document.value == {"key": 1}
    assert document.at("key") == Position(FILE, 1, 6)


def test_windows_line_ends_are_line_ends() -> None:
    """And count once."""
    document = strict_yaml.parse(b"a: 1\r\nb: 2\r\n", FILE)
    assert document.value == {"a": 1, "b": 2}
    assert document.key_at("b") == Position(FILE, 2, 1)


@pytest.mark.parametrize(
    ("data", "at", "found"),
    [
        ("ä: 1\nü: ".encode() + b"\xe4", (2, 4), "byte 0xE4, which is no UTF-8"),
        (b"\xff\xfea\x00:\x00", (1, 1), "byte 0xFF, which is no UTF-8"),
        (bytes(range(256)), (2, 118), "byte 0x80, which is no UTF-8"),
    ],
)
def test_a_file_that_is_no_utf_8_is_refused(data: bytes, at: tuple[int, int], found: str) -> None:
    """At the first byte that is none."""
    error = error_of(data)
    assert (error.at, error.found) == (Position(FILE, *at), found)


def test_a_file_of_over_1_mib_is_refused_before_parsing() -> None:
    """And one of just 1 MiB is read."""
    largest = b"key: 1 #" + b"x" * (strict_yaml.MAX_FILE_BYTES - 8)
    assert strict_yaml.parse(largest, FILE).value == {"key": 1}
    assert error_of(largest + b"x").found == "a file of over 1 MiB"


def test_a_huge_file_is_not_read_as_a_whole(tmp_path: Path) -> None:
    """A log file by mistake, or a sparse one of a terabyte."""
    file = tmp_path / "huge.yaml"
    with file.open("wb") as handle:
        handle.truncate(1 << 40)
    with pytest.raises(ConfigError, match="over 1 MiB"):
        strict_yaml.load(file)


def test_a_bomb_of_aliases_is_refused() -> None:
    """A few lines that would become billions of values."""
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"{n}: &{n} [{','.join([f'*{before}'] * 10)}]" for before, n in zip("abcdefgh", "bcdefghi", strict=True)]
    start_s = time.process_time()
    assert "aliases multiply them" in error_of("\n".join(lines)).found
    assert time.process_time() - start_s < 10


def test_an_alias_within_what_it_names_is_refused() -> None:
    """It would never end."""
    assert error_of("a: &a [*a]").found == "the alias *a within what it names"
    assert error_of("a: &a {b: {c: *a}}").found == "the alias *a within what it names"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_without_end_is_refused(opening: str) -> None:
    """A million brackets once ended the process without a word."""
    error = error_of(opening * (strict_yaml.MAX_FILE_BYTES // len(opening)))
    assert re.search("nesting of over 50 levels|broken YAML|a key that is no text", error.found)


def test_nesting_up_to_the_bound_is_read() -> None:
    """Fifty levels."""
    document = strict_yaml.parse(b"[" * 50 + b"]" * 50, FILE)
    assert document.lookup((0,) * 49) == []


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but ConfigError leaves the reader."""
    try:
        document = strict_yaml.parse(text.encode("utf-8", "surrogatepass"), FILE)
    except ConfigError as error:
        assert error.at.line >= 1  # noqa: PT017 - not every text is refused
        return
    assert document.at() is not None


@example("\x85")  # a line end to libyaml: it was read as a space
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists, max_leaves=5
    )
)
def test_any_value_fits_or_is_named(value: object) -> None:
    """Whatever is found at a place, the error can say it."""
    text = msgspec.json.encode({"sites": {"a": {"id": "x", "label": value}}})
    try:
        town = read(text, Town)
    except ConfigError as error:
        assert "found ;" not in str(error)  # noqa: PT017 - not every value is refused
        return
    assert town.sites["a"].label == value


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or a directory."""
    with pytest.raises(ConfigError, match=r"town\.yaml:1:1: found no readable file \(No such file or directory\)"):
        strict_yaml.load(tmp_path / "town.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        strict_yaml.load(tmp_path)


def test_a_file_is_read_from_disk(tmp_path: Path) -> None:
    """And its errors name it."""
    file = tmp_path / "town.yaml"
    file.write_text("devices:\n  - id: gym\n    interval_s: 5\n", encoding="utf-8")
    town = strict_yaml.load(file).convert(Town)
    assert town.devices[0] == Device(id="gym", interval_s=5)
    assert math.isclose(town.devices[0].interval_s, 5)
