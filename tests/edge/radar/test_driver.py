"""The driver of radar counters: what is checked at the desk, and a radar on a real port."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from far_end import far_end, until

from base import strict_yaml
from base.errors import ConfigError
from edge.drivers import plan_bus
from edge.interface import ParkedError
from edge.listening import ListeningPlan
from edge.radar import driver
from edge.radar.decoder import RadarDecoder

BUS = """\
id: road
driver: radar
serial: {port}
devices:
  - {{id: r, profile: omnipresense/ops243, site: s}}
"""


def _plan(text: str) -> ListeningPlan:
    plan = plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ())
    assert isinstance(plan, ListeningPlan)
    return plan


def test_the_sample_is_right() -> None:
    """What a technician copies from must work."""
    document = strict_yaml.load(Path(driver.__file__).parent / "sample.yaml")
    assert [plan_bus(document, ("buses", index)).devices[0].interval_s for index in range(2)] == [300, 900]


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ("interval_s: 30", "30 s, in which a count may be a single passage; expected 60 s or more"),
        ("parameters: {least_passages: 4}", "4; expected a whole number, 5 to 1000"),
        ("parameters: {lorry_from_m: 6}", "the unknown parameter 'lorry_from_m'"),
    ],
)
def test_what_would_show_single_passages_is_an_error(entry: str, error: str) -> None:
    """At its line."""
    text = BUS.format(port="/dev/x").replace("site: s", f"site: s, {entry}")
    with pytest.raises(ConfigError) as caught:
        _plan(text)
    assert caught.value.at.line == 5
    assert error in str(caught.value)


def test_another_unit_is_another_line() -> None:
    """What was counted in metres per second does not go on in miles per hour."""
    text = BUS.format(port="/dev/x")
    assert _plan(text).is_same_line(_plan(text.replace("site: s", "site: s, interval_s: 60")))
    assert not _plan(text).is_same_line(_plan(text.replace("devices", "unit: mph\ndevices")))
    assert not _plan(text).is_same_line(_plan(text.replace("devices", "turned: true\ndevices")))
    assert not _plan(text).is_same_line(_plan(text.replace("site: s", "site: s, parameters: {slowest_kmh: 20}")))


def test_a_radar_on_a_port_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Asked for a sign of life, heard, and summed up; what it said stands nowhere else."""

    async def play() -> None:
        with far_end() as end:
            end.behave = lambda data: b'{"Version":"1.3.1"}\r\n' * data.count(b"?V")
            bus = _plan(BUS.format(port=end.port)).open()
            assert isinstance(bus._decoder, RadarDecoder)
            counter = bus._decoder._counter
            with pytest.raises(ParkedError):
                await bus.read("r")
            await until(lambda: bus.traffic("r").requests == 1)
            assert end.heard == b"?V"
            counter._began_s -= 100  # the first interval ends
            with pytest.raises(ParkedError):
                await bus.read("r")
            end.write(b'{"speed":"13.77"}\r\n{"speed":"13.7')
            await until(lambda: bus.traffic("r").requests == 2)
            end.write(b'8"}\r\n{"speed":"-12.0"}\r\n13.79,,,\r\n')
            await until(lambda: bus.traffic("r").requests == 5)
            counter._passing["in"].last_s -= 5
            counter._began_s -= 100
            measured = await bus.read("r")
            assert {reading.name: reading.value for reading in measured.readings} == {
                "count_vehicles/in": 1,
                "count_vehicles/out": 0,
            }
            assert bus.traffic("r").errors == 1
            await bus.close()
            assert not counter._is_open

    with caplog.at_level(logging.DEBUG):
        asyncio.run(play())
    assert "13.7" not in caplog.text
