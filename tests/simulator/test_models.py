"""What the simulated meters carry, and the truth behind it."""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import shapes, town
from simulator.models import B23, FILLER, SDM630, Registers, meaning, to_float32
from wire import profile
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from decimal import Decimal

MODELS = pytest.mark.parametrize("model", [SDM630, B23], ids=lambda model: model.profile)
TIMES_MS = st.integers(min_value=1_767_225_600_000, max_value=4_000_000_000_000)
NOON_MS = 1_795_345_200_000
ENERGIES = ("active_energy_import", "active_energy_export")
METERS = [device for device in town.DEVICES if isinstance(device.model, Registers)]


@MODELS
def test_a_model_carries_what_its_profile_promises(model: Registers) -> None:
    """The demo reads every quantity of the profile, and no other."""
    assert sorted(model.addresses) == sorted(profile.load(model.profile).readings)


@MODELS
def test_registers_hold_big_endian_floats_with_the_higher_half_first(model: Registers) -> None:
    """Each quantity's two registers, packed back by hand, give the carried value."""
    registers = model.registers("a", NOON_MS)
    for quantity, address in model.addresses.items():
        high, low = registers[address - model.first : address - model.first + 2]
        carried = struct.unpack(">f", bytes([high >> 8, high & 255, low >> 8, low & 255]))[0]
        assert carried == model.carried("a", quantity, NOON_MS), quantity


@MODELS
def test_registers_between_the_quantities_are_no_numbers(model: Registers) -> None:
    """A decoder that is off by a register or reads a hole does not get a plausible value."""
    registers = model.registers("a", NOON_MS)
    used = {address - model.first + half for address in model.addresses.values() for half in (0, 1)}
    assert {registers[index] for index in range(model.size) if index not in used} == {FILLER}


@pytest.mark.parametrize(
    ("carried", "meant"),
    [
        (230.1, "230.1"),
        (0.1, "0.1"),
        (50.0, "50"),
        (16777216.0, "16777216"),
        (133772.484375, "133772.48"),
        (96241856.0, "96241856"),
        (96241864.0, "96241864"),
        (1e-3, "0.001"),
    ],
)
def test_a_register_means_the_shortest_decimal_that_it_can_stand_for(carried: float, meant: str) -> None:
    """Not the digits that its way into double precision adds."""
    assert float(meaning(to_float32(carried))) == float(meant)


@given(carried=st.floats(min_value=2.0**-20, max_value=2.0**40, width=32))
def test_what_a_register_means_is_what_it_carries(carried: float) -> None:
    """Nothing is rounded away: single precision takes the decimal back to the same number."""
    assert to_float32(float(meaning(carried))) == carried


@given(
    display=st.decimals(min_value="0.001", max_value="999999", places=3).filter(
        lambda d: len(d.normalize().as_tuple().digits) <= 6
    )
)
def test_what_a_display_shows_in_six_digits_survives(display: Decimal) -> None:
    """As C promises of single precision (FLT_DIG)."""
    assert meaning(to_float32(float(display))) == display


@pytest.mark.parametrize("quantity", [*ENERGIES, "voltage/L1"])
def test_the_sdm630_tells_all_in_the_unit_of_the_quantity(quantity: str) -> None:
    """Its truth is what its registers mean."""
    carried = to_float32(shapes.value("a", quantity, NOON_MS))
    assert SDM630.carried("a", quantity, NOON_MS) == carried
    assert SDM630.truth("a", quantity, NOON_MS) == float(meaning(carried))


@pytest.mark.parametrize("energy", ENERGIES)
def test_the_b23_tells_energy_in_wh(energy: str) -> None:
    """Its truth is a thousandth of what its registers mean."""
    watt_hours = to_float32(round(shapes.value("a", energy, NOON_MS) * 1000))
    assert B23.carried("a", energy, NOON_MS) == watt_hours
    assert B23.truth("a", energy, NOON_MS) == float(meaning(watt_hours) / 1000)
    assert B23.truth("a", energy, NOON_MS) == pytest.approx(shapes.value("a", energy, NOON_MS), rel=1e-6)


def test_the_b23_tells_all_else_in_the_unit_of_the_quantity() -> None:
    """Only energy is scaled."""
    carried = B23.carried("a", "voltage/L1", NOON_MS)
    assert B23.truth("a", "voltage/L1", NOON_MS) == float(meaning(carried))


@given(at_ms=TIMES_MS)
def test_values_are_possible_at_all_times(at_ms: int) -> None:
    """Within the valid range of the vocabulary, and near what a grid does."""
    for device in town.DEVICES:
        for name in device.model.names:
            quantity = name.partition("/")[0]
            low, high = quantities()[quantity].range
            assert low <= town.truth(device.id, name, at_ms) <= high
    for device in METERS:
        assert 220 < town.truth(device.id, "voltage/L1", at_ms) < 240
        assert 49.9 < town.truth(device.id, "frequency", at_ms) < 50.1


@given(at_ms=TIMES_MS, later_ms=st.integers(min_value=0, max_value=10**9))
def test_energy_never_falls(at_ms: int, later_ms: int) -> None:
    """Counters rise, in the registers too."""
    for device in town.DEVICES:
        for energy in (name for name in device.model.names if quantities()[name.partition("/")[0]].kind == "counter"):
            before = town.truth(device.id, energy, at_ms)
            assert before <= town.truth(device.id, energy, at_ms + later_ms)


def test_energy_is_what_the_power_adds_up_to() -> None:
    """Over an hour, the imported energy is the integral of the active power (trapezoids of 10 s)."""
    times_ms = [NOON_MS + step * 10_000 for step in range(361)]
    power_w = [shapes.value("a", "active_power", at_ms) for at_ms in times_ms]
    summed_kwh = sum((a + b) / 2 * 10 for a, b in pairwise(power_w)) / 3.6e6
    begin, end = (shapes.value("a", "active_energy_import", at_ms) for at_ms in (times_ms[0], times_ms[-1]))
    assert end - begin == pytest.approx(summed_kwh, rel=1e-4)


def test_quantities_of_one_meter_agree() -> None:
    """Phases add up, and the power triangle closes."""
    of = {quantity: shapes.value("a", quantity, NOON_MS) for quantity in SDM630.addresses}
    assert of["active_power"] == pytest.approx(sum(of[f"active_power/L{n}"] for n in (1, 2, 3)))
    assert of["apparent_power"] == pytest.approx(math.hypot(of["active_power"], of["reactive_power"]))
    assert of["power_factor"] == pytest.approx(of["active_power"] / of["apparent_power"])
    assert of["active_power/L2"] == pytest.approx(of["voltage/L2"] * of["current/L2"] * of["power_factor"])


def test_the_load_follows_the_day() -> None:
    """More at noon than at midnight."""
    midnight_ms = NOON_MS + 12 * 3_600_000
    for device in METERS:
        assert town.truth(device.id, "active_power", NOON_MS) > town.truth(device.id, "active_power", midnight_ms)


def test_one_poll_tells_devices_times_and_quantities_apart() -> None:
    """A mix-up of devices, polls or registers shows in the values."""
    values = [
        town.truth(device.id, quantity, at_ms)
        for device in METERS
        for quantity in device.model.names
        if quantity not in {*ENERGIES, "frequency"}  # energy is too slow, and the grid has one frequency
        for at_ms in (NOON_MS, NOON_MS + 2000)
    ]
    assert len(set(values)) == len(values)


def test_a_quantity_that_nobody_measures_is_an_error() -> None:
    """No value is made up."""
    with pytest.raises(KeyError):
        shapes.value("a", "temp_air", NOON_MS)
