"""The driver of particulate and CO2 sensors: what is checked at the desk, and what happens on a real port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from far_end import far_end, until

from base import strict_yaml
from base.errors import ConfigError
from edge.drivers import DRIVERS, plan_bus
from edge.interface import NoAnswerError, ParkedError
from edge.listening import ListeningPlan
from edge.pms import driver
from edge.pms.decoder import PmsDecoder, Working
from edge.pms.sensors import SENSORS
from edge.stream import SerialPort, TcpEndpoint

FRAME = bytes.fromhex("aac00600060058d93dab")
BUS = """\
id: dust
driver: pms
serial: {port}
devices:
  - {{id: roof, profile: {profile}, site: s}}
"""


def _plan(text: str) -> ListeningPlan:
    plan = plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ())
    assert isinstance(plan, ListeningPlan)
    return plan


def _bus(profile: str = "nova-fitness/sds011", more: str = "", port: str = "/dev/ttyUSB0") -> str:
    return BUS.format(port=port, profile=profile).replace("devices:", f"{more}devices:")


def test_the_sample_is_right() -> None:
    """What a technician copies from must work."""
    document = strict_yaml.load(Path(driver.__file__).parent / "sample.yaml")
    plans = [plan_bus(document, ("buses", index)) for index in range(3)]
    assert [str(plan.place.address) for plan in plans] == [
        "/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0",
        "192.0.2.31:4001",
        "/dev/ttyAMA0",
    ]


def test_the_driver_is_in_the_table() -> None:
    """Under the name that profiles use."""
    assert DRIVERS["pms"] == "edge.pms.driver"


def test_the_baud_rate_is_the_sensors() -> None:
    """An SPS30 is ten times as fast as the others."""
    line = _plan(_bus("sensirion/sps30")).line
    assert isinstance(line, SerialPort)
    assert str(line.settings) == "115200 8N1"
    assert _plan(_bus().replace("serial: /dev/ttyUSB0", "tcp: h:1")).line == TcpEndpoint("h", 1)


@pytest.mark.parametrize(
    ("profile", "more", "line", "error"),
    [
        ("sensirion/sps30", "mode: active\n", 4, "'active' of a sps30, which speaks only when asked"),
        ("plantower/pms3003", "mode: passive\n", 4, "'passive' of a pms3003, which cannot be asked"),
        ("winsen/mh-z19b", "sleeps: true\n", 4, "'sleeps' of a mhz19b, which cannot be switched off"),
        ("nova-fitness/sds011", "sleeps: true\nmeasure_s: 40\n", 4, "30 s to warm up, 40 s to measure, every 60 s"),
        ("eastron/sdm630", "", 5, "the profile 'eastron/sdm630', which is one of driver 'modbus'"),
    ],
)
def test_what_a_sensor_cannot_is_an_error_at_its_line(profile: str, more: str, line: int, error: str) -> None:
    """At the desk, not on the roof."""
    with pytest.raises(ConfigError) as caught:
        _plan(_bus(profile, more))
    assert caught.value.at.line == line
    assert error in str(caught.value)


def test_two_sensors_on_a_line_are_an_error() -> None:
    """Their frames do not say whose they are."""
    with pytest.raises(ConfigError):
        _plan(_bus() + "  - {id: two, profile: nova-fitness/sds011, site: s}\n")


@pytest.mark.parametrize(
    ("change", "is_same"),
    [("interval_s: 30", True), ("parameters: {}", True), ("sleeps: true\nmeasure_s: 20", False)],
)
def test_another_interval_keeps_the_line_open(change: str, is_same: bool) -> None:  # noqa: FBT001 - a case
    """Another way of working does not."""
    other = _bus(more=f"{change}\n") if change.startswith("sleeps") else _bus().replace("site: s", f"site: s, {change}")
    assert _plan(_bus()).is_same_line(_plan(other)) == is_same


def test_a_sleepers_interval_is_its_rhythm() -> None:
    """So another one opens the line anew."""
    one = _bus(more="sleeps: true\n").replace("site: s", "site: s, interval_s: 300")
    assert not _plan(one).is_same_line(_plan(one.replace("300", "600")))


def test_a_sensor_on_a_port_is_thinned_to_one_sample() -> None:
    """The mean of what it said; the noise between its frames is counted."""

    async def play() -> None:
        with far_end() as end:
            plan = _plan(_bus("honeywell/hpma115s0", port=end.port))
            bus = plan.open()
            assert isinstance(bus._decoder, PmsDecoder)
            bus._decoder._working = Working(is_asked=False, warm_up_s=0.0)
            with pytest.raises(ParkedError):
                await bus.read("roof")
            await until(lambda: bytes(end.heard).endswith(SENSORS["hpma115s0"].commands.active))
            end.write(bytes.fromhex("40050400300031560105400504003000315740050400400041") + bytes.fromhex("36"))
            await until(lambda: bus.traffic("roof").requests >= 3)
            measured = await bus.read("roof")
            assert {reading.name: reading.value for reading in measured.readings} == {"pm25": 56, "pm10": 57}
            assert bus.traffic("roof").errors == 1
            await bus.close()

    asyncio.run(play())


def test_a_sensor_that_waits_is_asked_on_its_port() -> None:
    """And what it answers is its sample."""

    async def play() -> None:
        with far_end() as end:
            commands = SENSORS["mhz19b"].commands
            end.behave = lambda data: bytes.fromhex("ff86027c42000000ba") if commands.ask in data else b""
            bus = _plan(_bus("winsen/mh-z19b", port=end.port)).open()
            with pytest.raises(ParkedError):
                await bus.read("roof")
            await until(lambda: bus.traffic("roof").requests >= 1)
            with pytest.raises(ParkedError):  # it warms up
                await bus.read("roof")
            assert bus.traffic("roof").errors == 0
            await bus.close()

    asyncio.run(play())


def test_a_port_that_is_not_there_is_named() -> None:
    """In a sentence, after the patience for a sensor is over."""

    async def play() -> None:
        bus = _plan(_bus(port="/dev/nothing-here")).open()
        with pytest.raises(ParkedError):
            await bus.read("roof")
        await until(lambda: bool(bus._line.why))
        bus._began_s -= 1000
        with pytest.raises(NoAnswerError, match="/dev/nothing-here"):
            await bus.read("roof")
        await bus.close()

    asyncio.run(play())
