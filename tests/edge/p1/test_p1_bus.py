"""A P1 port over a pseudo-terminal: the meter, and the gas and water that it speaks for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base import strict_yaml
from base.errors import ConfigError, TransientError
from edge import drivers
from edge.d0.lines import read
from edge.interface import Measured, NoAnswerError, ParkedError
from edge.p1.bus import P1Bus, SubMeter
from edge.p1.clock import unix_ms
from edge.p1.driver import P1Plan, SubTarget
from edge.p1.profile import load
from simulator import d0 as encoder
from simulator.ports import Port

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.interface import Bus

DEVICES = "{id: main, profile: dsmr/p1, site: s, interval_s: 1}, {id: gas, profile: dsmr/gas, site: s}"


def _plan(serial: str, devices: str = DEVICES) -> P1Plan:
    text = f"buses:\n  - {{id: b, driver: p1, serial: {serial}, devices: [{devices}]}}\n"
    plan = drivers.plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ("buses", 0))
    assert isinstance(plan, P1Plan)
    return plan


def _lines(energy: float, gas: str, at: str) -> list[str]:
    return [
        f"1-0:1.8.1({energy:010.3f}*kWh)",
        "1-0:1.8.2(000000.000*kWh)",
        "1-0:1.7.0(00.244*kW)",
        "1-0:2.7.0(00.044*kW)",
        "0-1:24.1.0(003)",
        "0-1:96.1.0(47303033)",
        f"0-1:24.2.1({at})({gas}*m3)",
    ]


async def _soon(read_: Callable[[], object], within_s: float = 5.0) -> Measured:
    until_s = time.monotonic() + within_s
    while True:
        try:
            measured = await read_()  # type: ignore[misc]
        except ParkedError:
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(0.02)
        else:
            assert isinstance(measured, Measured)
            return measured


def test_the_meter_and_its_gas_are_two_devices(tmp_path: Path) -> None:
    """Gas carries its own time, and is news once."""

    async def story() -> None:
        port = Port(tmp_path / "line")
        port.plug()
        bus: Bus = _plan(port.address).open()
        with pytest.raises(ParkedError):
            await bus.read("main")
        with pytest.raises(ParkedError, match="no new value"):
            await bus.read("gas")
        await asyncio.sleep(0.1)
        port.send(encoder.p1("XYZ5", _lines(1.5, "00981.443", "161129200000W")))
        main = await _soon(lambda: bus.read("main"))
        assert {r.name: r.value for r in main.readings} == {"active_energy_import": 1.5, "active_power": 200.0}
        assert main.at_ms is None
        gas = await bus.read("gas")
        assert [(r.name, r.value, r.unit) for r in gas.readings] == [("gas_volume", 981.443, "m3")]
        assert gas.at_ms == 1480446000000
        port.send(encoder.p1("XYZ5", _lines(1.6, "00981.443", "161129200000W")))
        await _soon(lambda: bus.read("main"))
        with pytest.raises(ParkedError):
            await bus.read("gas")
        port.send(encoder.p1("XYZ5", _lines(1.6, "00981.500", "161129210000W"))[:-3] + b"x\r\n")
        port.send(encoder.p1("XYZ5", _lines(1.7, "00981.600", "161129210000W")))
        await _soon(lambda: bus.read("main"))
        assert (await bus.read("gas")).readings[0].value == 981.6
        assert bus.traffic("gas") == (4, 1)
        await bus.close()
        port.unplug()

    asyncio.run(story())


def _sub(profile: str = "dsmr/gas", channel: int | None = None, interval_s: float = 300.0) -> SubMeter:
    return SubMeter(SubTarget("sub", interval_s, profile, channel, {}, load(profile).p1))


def test_gas_without_a_new_time_for_too_long_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meter repeats its last value though the radio between is dead."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    sub = _sub()
    said = read(_lines(1.0, "00001.000", "161129200000W"))
    sub.hear(said)
    sub.take()
    now[0] += 749
    sub.hear(said)
    with pytest.raises(ParkedError):
        sub.take()
    now[0] += 2
    with pytest.raises(NoAnswerError, match="no new value of device sub for 751 s"):
        sub.take()


def test_two_of_one_kind_are_told_apart_by_their_channel() -> None:
    """The n of 0-n:24.2.1."""
    lines = read(
        [
            *("0-1:24.1.0(003)", "0-1:24.2.1(161129200000W)(00001.000*m3)"),
            *("0-3:24.1.0(003)", "0-3:24.2.1(161129200000W)(00003.000*m3)"),
        ]
    )
    for channel, expected in ((None, 1.0), (1, 1.0), (3, 3.0)):
        sub = _sub(channel=channel)
        sub.hear(lines)
        assert sub.take().readings[0].value == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("161129200000W", 1480446000000),
        ("170702100000S", 1498982400000),
        ("211123200000", None),
        ("170230100000W", None),
        ("x", None),
        ("", None),
    ],
)
def test_times_are_those_of_central_europe(text: str, expected: int | None) -> None:
    """With the letter for summer or winter; without it nobody knows."""
    assert unix_ms(text) == expected


def test_intervals_may_change_and_other_meters_not(tmp_path: Path) -> None:
    """A reload goes on with the open port where nothing else changed."""
    plan = _plan("/dev/x")
    slower = _plan("/dev/x", DEVICES.replace("interval_s: 1", "interval_s: 5"))
    other = _plan("/dev/x", DEVICES.replace("dsmr/gas", "dsmr/water"))
    assert plan.is_same_line(slower)
    assert not plan.is_same_line(other)
    assert not plan.is_same_line(_plan("/dev/y"))

    async def story() -> None:
        bus = plan.open()
        assert isinstance(bus, P1Bus)
        bus.follow(slower)
        with pytest.raises(TransientError):
            await bus.read("gas")
        await bus.close()

    asyncio.run(story())
    assert [device.id for device in plan.devices] == ["main", "gas"]
    assert plan.place.address == "/dev/x"
    del tmp_path


WRONG = [
    ("{id: gas, profile: dsmr/gas, site: s}", "no meter whose port it is"),
    ("{id: a, profile: dsmr/p1, site: s}, {id: b, profile: dsmr/p1, site: s}", "'b' beside 'a'"),
    (DEVICES + ", {id: c, profile: dsmr/gas, site: s}", "'c' of the same kind as 'gas'"),
    ("{id: a, profile: easymeter/q3d, site: s}", "driver 'd0'"),
]


@pytest.mark.parametrize(("devices", "found"), WRONG)
def test_a_port_that_cannot_be_is_refused_at_the_desk(devices: str, found: str) -> None:
    """With file, line and remedy."""
    with pytest.raises(ConfigError, match=r"gw\.yaml:2:") as caught:
        _plan("/dev/x", devices)
    assert found in str(caught.value)


def test_meters_of_one_kind_with_channels_are_two() -> None:
    """Nothing is mixed up."""
    devices = (
        DEVICES.replace("dsmr/gas,", "dsmr/gas, channel: 1,") + ", {id: c, profile: dsmr/gas, site: s, channel: 2}"
    )
    assert len(_plan("/dev/x", devices).devices) == 3


CODES = ("0-1:24.1.0", "0-1:24.2.1", "0-1:24.3.0", "0-1:96.1.0", "0-2:24.1.0", "0-2:24.2.1", "1-0:1.8.1", "1-0:1.7.0")
GROUPS = st.one_of(
    st.sampled_from(
        ["003", "161129200000W", "00981.443*m3", "0-1:24.2.1", "m3", "009999999999999999999999", "-1", "0.5"]
    ),
    st.text(alphabet="0123456789.*-:SWmkh ", max_size=16),
)


@pytest.mark.slow
@settings(max_examples=400, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(CODES), st.lists(GROUPS, min_size=1, max_size=7)), max_size=12))
def test_whatever_a_proved_telegram_says_no_meter_raises(rows: list[tuple[str, list[str]]]) -> None:
    """Types that are no whole numbers, times that no calendar has, values without an end: news, or none."""
    plan = _plan("/dev/x", DEVICES + ", {id: water, profile: dsmr/water, site: s, channel: 2}")
    bus = P1Bus(plan)
    decoder, _ = plan.listening(bus._hear).make()
    lines = [f"{code}{''.join(f'({group})' for group in groups)}" for code, groups in rows]
    assert decoder.feed(encoder.p1("XYZ5METER", lines)) is not None
    for device in ("gas", "water"):
        with contextlib.suppress(ParkedError, NoAnswerError):
            assert asyncio.run(bus.read(device)).readings
