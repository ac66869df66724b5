"""The simulated heat meters: what they send is what they say that they measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge.mbus import mapping, telegram
from edge.mbus import profile as profiles
from simulator.devices import Journal
from simulator.faults import HOW, Wrong
from simulator.heat import HEAT_METER, clock, decimal
from simulator.mbus import HeatMeter, Plate, framed

if TYPE_CHECKING:
    from edge.mbus.mapping import Mapped

AT_MS = 1_795_370_870_000
DEVICES = ("heat-1", "school-heat", "plant")


def mapped(answer: bytes) -> Mapped:
    """What an agent makes of an answer."""
    profile = profiles.load(HEAT_METER.profile)
    return mapping.compiled(profile, profile.mbus.records, {}).apply(telegram.decode(answer).content.records)


def answer_of(device: str, wrong: Wrong | None = None) -> bytes:
    """A whole telegram of a device."""
    head = Plate("12345678").written() + bytes(4)
    return framed(b"\x08\x01\x72" + head + b"".join(HEAT_METER.records(device, AT_MS, wrong)))


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_sent_is_the_truth(device: str) -> None:
    """To the digit, each quantity once; and the water explains the power: 1.163 kWh of a cubic metre and kelvin."""
    found = mapped(answer_of(device))
    values = {reading.name: reading.value for reading in found.readings}
    assert values == {name: HEAT_METER.truth(device, name, AT_MS) for name in HEAT_METER.addresses}
    assert found.missing == found.without_value == ()
    power_w = 1163 * values["flow_rate"] * 3600 * (values["temp_water_flow"] - values["temp_water_return"])
    assert power_w == pytest.approx(values["heat_power"], rel=0.03)


def test_energy_and_volume_rise_as_power_and_flow_say() -> None:
    """Over a quarter of an hour, within what rounding takes."""
    later_ms = AT_MS + 900_000
    for counter, flow, per_s in (("heat_energy", "heat_power", 1 / 3.6e6), ("heat_volume", "flow_rate", 1)):
        flown = sum(HEAT_METER.exact("plant", flow, AT_MS + at * 1000) for at in range(0, 900, 5)) * 5 * per_s
        risen = HEAT_METER.exact("plant", counter, later_ms) - HEAT_METER.exact("plant", counter, AT_MS)
        assert risen == pytest.approx(flown, rel=0.01)


@pytest.mark.parametrize("how", HOW["wrong"])
def test_wrong_values_are_those_that_it_says(how: str) -> None:
    """Also of a meter that is broken the agent hears what the simulator believes to have sent."""
    wrong = Wrong(how, AT_MS - 3_600_000)
    found = mapped(answer_of("plant", wrong))
    expected = {name: HEAT_METER.distorted("plant", name, AT_MS, wrong) for name in HEAT_METER.addresses}
    assert {reading.name: reading.value for reading in found.readings} == {
        name: value for name, value in expected.items() if value is not None
    }
    assert len(found.readings) == HEAT_METER.count("plant", AT_MS, wrong)


@pytest.mark.parametrize(
    ("mask", "is_meant"),
    [("12345678", True), ("1234FFFF", True), ("12345679", False), ("FFFFFFFF", True), ("F2345679", False)],
)
def test_a_selection_means_a_meter_or_not(mask: str, is_meant: bool) -> None:  # noqa: FBT001 - a row of the table
    """Digit by digit, F for any."""
    plate = Plate("12345678")
    digits = bytes.fromhex(mask)[::-1]
    assert plate.is_meant(digits + b"\xff\xff\xff\xff") is is_meant
    assert plate.is_meant(digits + plate.written()[4:]) is is_meant
    assert not plate.is_meant(digits + b"\xff\xff\xff\x07")


def test_a_meter_repeats_itself_until_the_count_bit_changes() -> None:
    """And is polled once for it."""
    times = iter(range(AT_MS, AT_MS + 10_000, 1000))
    journal = Journal()
    meter = HeatMeter("plant", 5, Plate("12345678"), journal, clock=lambda: next(times))
    assert meter.answer(0x40, 5, b"") == b"\xe5"
    first = meter.answer(0x7B, 5, b"")
    assert meter.answer(0x7B, 5, b"") == first
    assert meter.answer(0x5B, 5, b"") != first
    assert meter.answer(0x7B, 6, b"") is None
    assert [poll.polled_at_ms for poll in journal.polls] == [AT_MS, AT_MS + 1000]
    assert journal.readings == 2 * len(HEAT_METER.addresses)


def test_digits_and_dates_are_written_as_the_norm_has_them() -> None:
    """Lowest first; a minus in the first digit's place; D for no digit; a date with its century."""
    assert decimal(1234, 8).hex() == "34120000"
    assert decimal(-12, 6).hex() == "1200f0"
    assert decimal(None, 4).hex() == "dddd"
    assert clock(1_212_277_800_000).hex() == "32371f15"  # 2008-05-31T23:50, as in the examples of OMS
