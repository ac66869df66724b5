"""The public half of a profile: what ships is sound, and what is broken is named at its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from base.errors import ConfigError, Position
from wire import profile
from wire.vocabulary import measurements, quantities

if TYPE_CHECKING:
    from pathlib import Path

NAME = "acme/m1"
SOUND = """\
profile: acme/m1
label: {de: Zähler, en: Meter}
driver: modbus
measurement: electricity
interval_s: 10
channels:
  L1: {phase: L1}
  lane2.in: {lane: lane2, direction: in}
readings:
  - voltage/L1
  - active_power
  - active_power/lane2.in
sources:
  - {what: registers, where: manual p. 3, retrieved: 2026-11-22}
modbus: {whatever: the driver reads}
"""


def write(root: Path, text: str) -> Path:
    """Put a profile where its name says."""
    file = root / "acme" / "m1.yaml"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("name", profile.names())
def test_a_profile_that_ships_is_sound(name: str) -> None:
    """It names its sources, and every reading has a unit in the vocabulary."""
    shipped = profile.load(name)
    assert shipped.profile == name
    assert shipped.sources
    fields = measurements().fields(shipped.measurement)
    for reading in shipped.readings:
        quantity = reading.partition("/")[0]
        assert quantities()[quantity].unit
        assert quantity in fields


def test_the_profiles_that_ship_are_found() -> None:
    """By maker and model, sorted."""
    names = profile.names()
    assert {"eastron/sdm630", "janitza/b23"} <= set(names)
    assert names == sorted(names)


def test_the_public_half_is_read_without_the_protocol_half(tmp_path: Path) -> None:
    """Channels with their parts in the order of the contract."""
    write(tmp_path, SOUND)
    loaded = profile.load(NAME, tmp_path)
    assert loaded.label.de == "Zähler"
    assert loaded.channels["lane2.in"].parts() == [("lane", "lane2"), ("direction", "in")]
    assert loaded.readings == ["voltage/L1", "active_power", "active_power/lane2.in"]


def test_any_device_may_tell_of_itself(tmp_path: Path) -> None:
    """Whether it answers, its battery, its radio: whatever it measures."""
    write(tmp_path, SOUND.replace("  - active_power\n", "  - battery_percent\n  - rssi\n  - reachable\n"))
    assert {"battery_percent", "rssi", "reachable"} <= set(profile.load(NAME, tmp_path).readings)


def test_every_part_of_a_channel_has_its_tag() -> None:
    """Joined by dots in this order they are the channel's name."""
    channel = profile.Channel(lane="1", direction="in", vehicle_class="car", phase="L1", depth="30cm")
    assert [tag for tag, _ in channel.parts()] == ["lane", "direction", "class", "phase", "depth"]


@pytest.mark.parametrize(
    ("right", "wrong", "at", "found", "expected"),
    [
        ("profile: acme/m1", "profile: acme/m2", (1, 10), "'acme/m2'", "'acme/m1', as the file is named"),
        ("profile: acme/m1", "profile: m1", (1, 10), "'m1'", "maker/model"),
        ("de: Zähler, ", "", (2, 8), "no key 'de'", "'de' to be set here"),
        ("de: Zähler", "dc: Zähler", (2, 9), "unknown key 'dc'", "de, en"),
        ("phase: L1", "fase: L1", (7, 8), "unknown key 'fase'", "'phase', or another one of"),
        ("electricity", "elektrizität", (4, 14), "'elektrizität'", "one of: electricity"),
        ("interval_s: 10", "interval_s: 0", (5, 13), "0", "a number > 0"),
        ("interval_s: 10", "interval_s: often", (5, 13), "'often'", "a number"),
        ("L1: {phase: L1}", "L1: {phase: L2}", (7, 7), "the parts of 'L2'", "parts that join to 'L1'"),
        ("L1: {phase: L1}", "L1: {colour: L1}", (7, 8), "unknown key 'colour'", "class, depth, direction, lane, phase"),
        ("L1: {phase: L1}", "L1: {phase: 1}", (7, 15), "1", "a text in quotes: '1'"),
        ("L1: {phase: L1}", "a.b: {phase: a.b}", (7, 16), "'a.b'", "letters, digits"),
        ("  L1: {phase: L1}", "  L 1: {phase: L1}", (7, 3), "the key 'L 1'", "joined by dots"),
        ("voltage/L1", "volts/L1", (10, 5), "the unknown quantity 'volts'", "quantities.yaml"),
        ("voltage/L1", "rain", (10, 5), "'rain'", "a field of 'electricity' in measurements.yaml"),
        ("voltage/L1", "voltage/L9", (10, 5), "the channel 'L9'", "declared under 'channels'"),
        ("voltage/L1", "active_power", (11, 5), "'active_power' a second time", "each reading once"),
        ("retrieved: 2026-11-22", "retrieved: November", (14, 54), "'November'", "a day as YYYY-MM-DD"),
        ("measurement: electricity\n", "", (1, 1), "no key 'measurement'", "to be set here"),
    ],
)
def test_a_broken_profile_is_named_at_its_place(
    right: str, wrong: str, at: tuple[int, int], found: str, expected: str, tmp_path: Path
) -> None:
    """Line, column, what stands there and what would be right."""
    assert right in SOUND
    file = write(tmp_path, SOUND.replace(right, wrong, 1))
    with pytest.raises(ConfigError) as caught:
        profile.load(NAME, tmp_path)
    assert caught.value.at == Position(file, *at)
    assert found in caught.value.found
    assert expected in caught.value.expected


@pytest.mark.parametrize("name", ["acme/m9", "acme", "../m1", "acme/../../etc/passwd", "/acme/m1", "acme/m1\n", ""])
def test_an_unknown_profile_is_answered_with_the_known_ones(name: str, tmp_path: Path) -> None:
    """And no name leads out of the folder."""
    write(tmp_path, SOUND)
    with pytest.raises(ConfigError, match="one of: acme/m1"):
        profile.load(name, tmp_path)


def test_a_profile_narrows_what_is_plausible(tmp_path: Path) -> None:
    """In the quantity's unit, as large as its device's parameters make it."""
    limits = "limits: {active_power: {range: [-1, 2], step: 3, stuck_h: 4, resolution: 5, multiply_by: ct}}\n"
    parameter = "parameters: {ct: {label: {de: W, en: C}, minimum: 1, maximum: 99}}\n"
    write(tmp_path, SOUND + limits + parameter)
    found = profile.load(NAME, tmp_path).limits["active_power"].scaled(10.0)
    assert found == profile.Limits(range=(-10, 20), step=30, stuck_h=4, resolution=50)
    assert found.scaled(-1.0).range == (-20, 10)


@pytest.mark.parametrize(
    ("limits", "column", "found", "expected"),
    [
        ("gas_volume: {step: 1}", 10, "the reading 'gas_volume'", "listed under 'readings'"),
        ("active_power: {range: [2, 2]}", 32, "2 to 2", "low to high"),
        ("active_power: {modulus: 100}", 34, "'modulus' of a gauge", "with counters only"),
        ("active_power: {step: 0}", 31, "0", "a number > 0"),
        ("active_power: {multiply_by: ct}", 38, "'ct'", "a parameter declared under 'parameters'"),
        ("active_power: {divide_by: zero}", 36, "'zero', which may be 0", "bounds without 0"),
        ("active_energy_import: {stuck_h: 1}", 42, "'stuck_h' of a counter", "with gauges and deltas only"),
    ],
)
def test_limits_that_mean_nothing_are_named(
    limits: str, column: int, found: str, expected: str, tmp_path: Path
) -> None:
    """Of a reading that the profile lacks, or what its kind cannot have."""
    text = SOUND.replace("  - active_power\n", "  - active_power\n  - active_energy_import\n")
    zero = "parameters: {zero: {label: {de: N, en: Z}, minimum: 0, maximum: 1}}\n"
    file = write(tmp_path, text + f"limits: {{{limits}}}\n{zero}")
    with pytest.raises(ConfigError) as caught:
        profile.load(NAME, tmp_path)
    assert caught.value.at == Position(file, 17, column)
    assert found in caught.value.found
    assert expected in caught.value.expected
