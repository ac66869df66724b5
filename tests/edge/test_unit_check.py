"""What flows beside what is counted: factors of ten, ratios, directions; and no alarm where both agree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.plausibility import rules as rules_of
from edge.plausibility.encoding import Encoding
from edge.plausibility.judge import Judge
from edge.plausibility.units import KINDS, Pair
from wire.counters import Rules as CounterRules
from wire.profile import Profile, Source
from wire.readings import Reading
from wire.vocabulary import Label, quantities

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_S = 10.0


def _judge(flow: str, meter: str, parameters: tuple[float, ...] = (), resolution: float = 0.01) -> Judge:
    profile = Profile(
        profile="test/meter",
        label=Label(de="Zähler", en="Meter"),
        driver="modbus",
        measurement="electricity",
        interval_s=INTERVAL_S,
        readings=[flow, meter],
        sources=[Source(what="a test", where="here", retrieved="2026-11-22")],
    )
    encodings = {meter: Encoding("uint32", resolution)}
    return Judge("meter", rules_of.of_profile(profile, {}, encodings), INTERVAL_S, parameters)


def _run(judge: Judge, flow: str, meter: str, load: Callable[[float], float], factor: float, per: float) -> list[str]:
    """Let a meter count three hours of a load, times a factor; returns what is said of it in the end."""
    counted, resolution = 1000.0, 0.01
    for poll in range(round(3.2 * 3600 / INTERVAL_S)):
        at_s = poll * INTERVAL_S
        counted += abs(load(at_s)) / per * factor * INTERVAL_S
        shown = round(math.floor(counted / resolution) * resolution, 6)
        quantity = (
            Reading(flow, load(at_s), quantities()[flow].unit),
            Reading(meter, shown, quantities()[meter].unit),
        )
        judged = judge.judged(quantity, at_s)
        assert not any(reading.flags for reading in judged)
    return [suspicion.text for suspicion in judge.suspicions()]


def _busy(at_s: float) -> float:
    """Return a load of some kW that comes and goes."""
    return 6000.0 + 3000.0 * math.sin(at_s / 400) + (1500.0 if at_s % 700 < 200 else 0.0)


@pytest.mark.parametrize("factor", [10.0, 100.0, 0.1])
def test_a_factor_of_ten_is_found(factor: float) -> None:
    """Wh for kWh, a shifted decimal point; nothing is flagged, since nobody knows which of the two is wrong."""
    said = _run(_judge(*POWER), *POWER, _busy, factor, 3.6e6)
    expected = f"active_energy_import counts {factor:g} times what active_power shows"
    assert said == [f"{expected}: check the unit or the transformer's ratio"]


def test_watts_for_kilowatts_are_found() -> None:
    """A power a thousand times too small."""
    said = _run(_judge(*POWER), *POWER, lambda at_s: _busy(at_s) / 1000, 1000.0, 3.6e6)
    assert said[0].startswith("active_energy_import counts 1000 times what active_power shows")


def test_megawatt_hours_for_kilowatt_hours_are_found() -> None:
    """A counter a thousand times too small takes longer: it must count twenty of its steps."""
    said = _run(_judge(*POWER), *POWER, lambda at_s: 100 * _busy(at_s), 0.001, 3.6e6)
    assert said[0].startswith("active_energy_import counts 0.001 times what active_power shows")


def test_a_transformer_ratio_used_once_is_found() -> None:
    """The device's own parameters are tried, too: 40 on the energy and not on the power."""
    said = _run(_judge(*POWER, parameters=(40.0,)), *POWER, _busy, 40.0, 3.6e6)
    assert said[0].startswith("active_energy_import counts 40 times what active_power shows")


def test_a_transformer_turned_round_is_found() -> None:
    """Energy counts as imported while power says exported."""
    said = _run(_judge(*POWER), *POWER, lambda at_s: -_busy(at_s), 1.0, 3.6e6)
    assert said == [
        "active_energy_import counts while active_power points the other way: is a transformer turned round?"
    ]


@pytest.mark.parametrize(
    ("flow", "meter", "per", "size"),
    [
        ("active_power", "active_energy_import", 3.6e6, 1.0),
        ("active_power", "active_energy_export", 3.6e6, -1.0),
        ("heat_power", "heat_energy", 3.6e6, 20.0),
        ("flow_rate", "water_volume", 1.0, 1e-7),
    ],
)
def test_what_agrees_is_left_alone(flow: str, meter: str, per: float, size: float) -> None:
    """Power and energy, heat, water; an export is negative power."""
    assert _run(_judge(flow, meter), flow, meter, lambda at_s: size * _busy(at_s), 1.0, per) == []


@pytest.mark.parametrize(("windows", "finds"), [(1, False), (2, True)])
def test_a_factor_must_be_found_twice(windows: int, *, finds: bool) -> None:
    """An hour's load may happen to look like one: nobody is sent to a meter for that."""
    pair = Pair(KINDS[0], "", CounterRules(resolution=0.01), ())
    for poll in range(windows * 360 + 2):
        pair.add(6000.0, 1000.0 + 60.0 * poll * INTERVAL_S / 3600, poll * INTERVAL_S)
    assert (pair.hint is not None) == finds


def test_a_finding_goes_when_the_meter_is_set_right() -> None:
    """One window that agrees is enough."""
    judge = _judge(*POWER)
    assert _run(judge, *POWER, _busy, 10.0, 3.6e6)
    counted = 2000.0
    for poll in range(800):
        at_s = 20000.0 + poll * INTERVAL_S
        counted += 6000.0 / 3.6e6 * INTERVAL_S
        judge.judged((Reading("active_power", 6000.0, "W"), Reading("active_energy_import", counted, "kWh")), at_s)
    assert [said.kind for said in judge.suspicions()] == []


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(-1e5, 1e5), st.floats(0, 1e6)), max_size=50))
def test_no_load_and_no_counter_raises(said: list[tuple[float, float, float]]) -> None:
    """Standstill, gaps, resets, both directions."""
    judge, at_s = _judge(*POWER), 0.0
    for passed_s, power, energy in said:
        at_s += passed_s
        judge.judged((Reading("active_power", power, "W"), Reading("active_energy_import", energy, "kWh")), at_s)
    assert len(judge.suspicions()) <= 2


POWER = ("active_power", "active_energy_import")
