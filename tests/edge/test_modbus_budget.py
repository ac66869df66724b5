"""The arithmetic of a line, by hand and against what the driver asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from base import strict_yaml
from edge.drivers import plan_bus
from edge.modbus import budget
from edge.modbus.config import SerialSettings
from edge.modbus.driver import ModbusPlan
from edge.modbus.registers import Request

FACTORY = SerialSettings(9600, "N", 1)


def _plan(text: str) -> ModbusPlan:
    plan = plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ())
    assert isinstance(plan, ModbusPlan)
    return plan


def _bus(line: str, device: str = "profile: eastron/sdm630", **more: str) -> ModbusPlan:
    devices = [f"{{id: main, {device}, site: school, unit: 1}}", *(f"{{id: {k}, {v}}}" for k, v in more.items())]
    return _plan(f"id: cellar\ndriver: modbus\n{line}\ndevices: [{', '.join(devices)}]\n")


@pytest.mark.parametrize(
    ("settings", "bits"),
    [(FACTORY, 10), (SerialSettings(9600, "E", 1), 11), (SerialSettings(9600, "N", 2), 11)],
)
def test_a_character_is_start_data_parity_and_stop(settings: SerialSettings, bits: int) -> None:
    """Eight data bits."""
    assert budget.character_s(settings) == bits / 9600


def test_a_request_by_hand() -> None:
    """Ten holding registers at 9600 8N1: 8 bytes out, 25 back, twice 3.5 characters of 11 bits, and the thinking."""
    expected_s = (8 + 25) * 10 / 9600 + 2 * 3.5 * 11 / 9600 + budget.REPLY_S + 0.1
    assert budget.request_s(FACTORY, Request(3, 0, 10), 0.1) == pytest.approx(expected_s)


def test_bits_come_eight_a_byte() -> None:
    """Function codes 1 and 2."""
    difference_s = budget.request_s(FACTORY, Request(3, 0, 17), 0) - budget.request_s(FACTORY, Request(1, 0, 17), 0)
    assert difference_s == pytest.approx((34 - 3) * 10 / 9600)


def test_silence_is_bounded_below() -> None:
    """Above 19200 baud it is 1.750 ms."""
    assert budget.silence_s(SerialSettings(115200, "N", 1)) == 0.00175
    assert budget.silence_s(FACTORY) == pytest.approx(0.00401, abs=1e-5)


def test_a_reading_costs_what_its_requests_cost() -> None:
    """One request for an SDM630."""
    plan = _bus("serial: /dev/ttyS0")
    (request,) = plan.devices[0].model.expected()[0].requests()
    assert plan.cost_s("main") == pytest.approx(budget.request_s(FACTORY, request, 0.0))


def test_a_faster_line_costs_less_and_even_parity_more() -> None:
    """As set on the bus."""
    cost_s = [
        _bus(f"serial: /dev/ttyS0\n{settings}").cost_s("main") for settings in ("baud_rate: 38400", "", "parity: E")
    ]
    assert cost_s == sorted(cost_s)
    assert len(set(cost_s)) == 3


def test_over_tcp_a_request_is_a_round_trip() -> None:
    """And behind a server that passes RTU frames on, a round trip and the line's time."""
    serial_s, tcp_s, passed_s = (
        _bus(line).cost_s("main") for line in ("serial: /dev/ttyS0", "tcp: 192.0.2.1", "rtu_over_tcp: 192.0.2.1")
    )
    assert tcp_s == budget.ROUND_TRIP_S
    assert passed_s == pytest.approx(serial_s + budget.ROUND_TRIP_S)


def test_of_a_sunspec_device_the_longest_of_its_models_counts() -> None:
    """Nobody knows at the desk which one it has."""
    plan = _bus("serial: /dev/ttyS0", "profile: sunspec/meter")
    models = plan.devices[0].model.expected()
    costs_s = [sum(budget.request_s(FACTORY, request, 0) for request in model.requests()) for model in models]
    assert len(costs_s) > 1
    assert min(costs_s) > 0.1
    assert plan.cost_s("main") == pytest.approx(max(costs_s))


def test_the_lowest_baud_rate_that_will_do_is_named() -> None:
    """None where none will, and none for a network."""
    plan = _bus("serial: /dev/ttyS0")
    assert plan.faster(0.9) == "`baud_rate: 19200`, where all its devices can be set to it"
    assert "38400" in plan.faster(0.5)
    assert plan.faster(0.01) == ""
    assert _bus("tcp: 192.0.2.1").faster(0.5) == ""
