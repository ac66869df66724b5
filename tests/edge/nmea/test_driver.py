"""The driver of NMEA 0183: what is checked at the desk, and a station on a real port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from far_end import far_end, opened, until

from base import strict_yaml
from base.errors import ConfigError
from edge.drivers import plan_bus
from edge.listening import ListeningPlan
from edge.nmea import driver
from edge.nmea import profile as profiles
from edge.stream import SerialPort
from wire.profile import PROFILES

BUS = """\
id: mast
driver: nmea
serial: {port}
devices:
  - {{id: wind, profile: nmea/wind, site: s}}
"""


def _plan(text: str) -> ListeningPlan:
    plan = plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ())
    assert isinstance(plan, ListeningPlan)
    return plan


def test_the_sample_is_right() -> None:
    """What a technician copies from must work."""
    document = strict_yaml.load(Path(driver.__file__).parent / "sample.yaml")
    assert [plan_bus(document, ("buses", index)).devices[0].id for index in range(2)] == [
        "mast-wind",
        "sweeper-position",
    ]


def test_the_norms_baud_rate_is_usual() -> None:
    """Unless the profile knows better."""
    line = _plan(BUS.format(port="/dev/x")).line
    assert isinstance(line, SerialPort)
    assert str(line.settings) == "4800 8N1"


def test_another_north_mark_is_another_device() -> None:
    """What was heard before belongs to the old one."""
    text = BUS.format(port="/dev/x")
    assert not _plan(text).is_same_line(_plan(text.replace("site: s", "site: s, parameters: {north_deg: 9}")))


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("MWV.R.speed", "MWV.X.speed", "'MWV.X.speed'; expected XDR.<name>, or one of: MWV.R.speed"),
        ("add: north_deg", "add: south_deg", "'south_deg'; expected a parameter declared"),
        ("wind_dir: {value", "wind_gust: {value", "'wind_dir' without a value"),
        ("wind_dir: {value", "rain: {value", "'rain'; expected one of those under 'readings'"),
        ("\nthinning:\n", "\nthinning:\n  rain: {by: max}\n", "'rain'; expected one of those under 'readings'"),
    ],
)
def test_a_profile_is_checked_at_its_line(old: str, new: str, error: str) -> None:
    """Whoever adds a device learns what is wrong with it."""
    text = (PROFILES / "nmea" / "wind.yaml").read_text().replace(old, new)
    document = strict_yaml.parse(text.encode(), Path("wind.yaml"))
    with pytest.raises(ConfigError) as caught:
        profiles.check(document, document.convert(profiles.NmeaProfile))
    assert error in str(caught.value)


def test_a_station_on_a_port_is_thinned_to_one_sample() -> None:
    """Directions by their vector, the gust as the highest speed."""

    async def play() -> None:
        with far_end() as end:
            bus = _plan(BUS.format(port=end.port)).open()
            await opened(bus, "wind")
            end.write(b"$WIMWV,350.0,R,2.0,M,A*24\r\n$WIMWV,010.0,R,4.0,M,A*25\r\n")
            await until(lambda: bus.traffic("wind").requests >= 2)
            measured = await bus.read("wind")
            values = {reading.name: reading.value for reading in measured.readings}
            assert values["wind_gust"] == 4
            assert values["wind_speed"] == 3
            assert values["wind_dir"] == pytest.approx(3.36, abs=0.01)
            await bus.close()

    asyncio.run(play())
