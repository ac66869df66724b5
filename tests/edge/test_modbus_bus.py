"""Checking a Modbus bus of a gateway's file, at the desk."""

from __future__ import annotations

from pathlib import Path

import pytest

from base import strict_yaml
from base.errors import ConfigError
from edge.drivers import plan_bus
from edge.modbus import driver
from edge.modbus import profile as profiles
from edge.modbus.config import Endpoint, SerialLine, parse_endpoint
from edge.modbus.driver import ModbusPlan

GOOD = """\
- id: cellar
  driver: modbus
  serial: /dev/ttyUSB0
  devices:
    - {id: main, profile: eastron/sdm630, site: school, unit: 1, interval_s: 30}
    - {id: gym, profile: janitza/b23, site: school, unit: 2}
"""
FILE = Path("gw.yaml")


def _plan(text: str) -> ModbusPlan:
    plan = plan_bus(strict_yaml.parse(text.encode(), FILE), (0,))
    assert isinstance(plan, ModbusPlan)
    return plan


def test_the_sample_is_right() -> None:
    """What the README shows is accepted."""
    document = strict_yaml.load(Path(driver.__file__).parent / "sample.yaml")
    plans = [plan_bus(document, ("buses", index)) for index in range(2)]
    assert [len(plan.devices) for plan in plans] == [1, 2]


def test_settings_come_from_the_profile() -> None:
    """Unset, a line is set as its first device leaves the factory, and a device polled as its profile says."""
    plan = _plan(GOOD)
    assert isinstance(plan.line, SerialLine)
    assert (plan.line.settings.baud_rate, plan.line.settings.parity, plan.line.settings.stop_bits) == (9600, "N", 1)
    assert [device.interval_s for device in plan.devices] == [30, 10]


def test_a_codec_of_lorawan_is_refused() -> None:
    """At its line: every device entry may have one, since the town knows no drivers."""
    mapped = (
        "codec: acme/probe, interval_s: 60, mapping: {measurement: soil, values: {soil_vwc: {path: a}}}, "
        "site: school, unit: 2"
    )
    with pytest.raises(ConfigError, match="a codec of LoRaWAN on a bus that reads 'modbus'; expected 'profile'") as at:
        _plan(GOOD.replace("profile: janitza/b23, site: school, unit: 2", mapped))
    assert at.value.at.line == 6


def test_one_request_reads_an_sdm630() -> None:
    """The profile's gap lets all sixteen values come with one request."""
    model = profiles.locate_in(_plan(GOOD).devices[0].model, {})
    assert len(model.requests()) == 1


def test_a_sunspec_device_is_planned_without_a_question_to_it() -> None:
    """Which models it has is found out when it is first read; what the place must say is checked at the desk."""
    device = "profile: sunspec/meter, site: school, unit: 2, parameters: {meter_number: 2}"
    plan = _plan(GOOD.replace("profile: janitza/b23, site: school, unit: 2", device))
    assert [target.interval_s for target in plan.devices] == [30, 10]
    with pytest.raises(ConfigError, match="11; expected a whole number, 1 to 10"):
        _plan(GOOD.replace("profile: janitza/b23, site: school, unit: 2", device.replace(": 2}", ": 11}")))


def test_a_sensor_alone_on_its_line_may_be_asked_by_the_address_that_any_answers() -> None:
    """Senseair's CO2 sensors answer 254 whatever their own; over Modbus TCP it is an id like any other."""
    alone = "- {id: room, driver: modbus, serial: /dev/ttyS0, devices: [DEVICE]}"
    sensor = "{id: co2, profile: senseair/s8, site: school, unit: 254}"
    (device,) = _plan(alone.replace("DEVICE", sensor)).devices
    assert device.unit == 254
    plan = _plan(GOOD.replace("serial: /dev/ttyUSB0", "tcp: 192.0.2.1").replace("unit: 2}", "unit: 254}"))
    assert [device.unit for device in plan.devices] == [1, 254]


BROKEN = [
    ("serial: /dev/ttyUSB0", "tcp: a b", (3, 8), "'a b'", "HOST:PORT"),
    ("serial: /dev/ttyUSB0", "tcp: host:99999", (3, 8), "'host:99999'", "HOST:PORT"),
    ("serial: /dev/ttyUSB0", "tcp: host\n  serial: /dev/x", (1, 3), "'tcp' and 'serial'", "one of"),
    ("  serial: /dev/ttyUSB0\n", "", (1, 3), "no line", "one of"),
    ("serial: /dev/ttyUSB0", "tcp: host\n  parity: N", (4, 11), "beside 'tcp'", "'serial' only"),
    ("serial: /dev/ttyUSB0", "serial: ''", (3, 11), "''", "a serial port"),
    ("serial: /dev/ttyUSB0", "serial: socket://1.2.3.4:5", (3, 11), "socket", "a serial port"),
    ("janitza/b23", "schneider/iem3155", (6, 26), "'main' has 9600", "'baud_rate' on the bus"),
    ("driver: modbus", "driver: modbuzz", (2, 11), "'modbuzz'", "modbus"),
    ("unit: 2}", "unit: 1}", (6, 59), "which 'main' has", "of its own"),
    ("unit: 2}", "unit: 255}", (6, 59), "255", "254"),
    ("unit: 2}", "unit: 0}", (6, 59), "0", "1"),
    ("unit: 2}", "unit: 254}", (6, 59), "unit 254 beside other devices", "a line of its own"),
    ("unit: 2}", "unit: '2'}", (6, 59), "'2'", "a whole number"),
    ("unit: 2}", "unit: 2, speed: 3}", (6, 62), "unknown key 'speed'", "documented"),
    ("profile: janitza/b23", "profile: janitza/b24", (6, 26), "no profile 'janitza/b24'", "janitza/b23"),
    ("id: gym", "id: Gym", (6, 12), "'Gym'", "lower-case"),
    ("site: school, unit: 2", "unit: 2", (6, 7), "no key 'site'", "to be set"),
]


@pytest.mark.parametrize(("old", "new", "at", "found", "expected"), BROKEN)
def test_a_broken_bus_names_line_column_and_remedy(
    old: str, new: str, at: tuple[int, int], found: str, expected: str
) -> None:
    """Each error stands at the value that a person has to change."""
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        _plan(GOOD.replace(old, new))
    assert (caught.value.at.line, caught.value.at.column) == at
    assert found in caught.value.found
    assert expected in caught.value.expected


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("host", Endpoint("host", 502)),
        ("10.0.0.1:1502", Endpoint("10.0.0.1", 1502)),
        ("[::1]:502", Endpoint("::1", 502)),
        ("host:0", None),
        ("host:", None),
        ("ho st", None),
        ("", None),
    ],
)
def test_an_endpoint_is_a_host_and_perhaps_a_port(text: str, endpoint: Endpoint | None) -> None:
    """502 unless given; anything else is refused."""
    assert parse_endpoint(text) == endpoint
