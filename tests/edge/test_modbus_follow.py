"""An open bus goes on with another plan, and what did not change is not disturbed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from base import strict_yaml
from edge.drivers import plan_bus
from edge.interface import NoAnswerError, ParkedError
from edge.modbus.bus import ModbusBus
from edge.modbus.driver import ModbusPlan

BUS = """\
id: hall
driver: modbus
tcp: 127.0.0.1:1
timeout_s: 0.2
devices:
  - {id: main, profile: eastron/sdm630, site: s, unit: 1}
  - {id: gym, profile: eastron/sdm630, site: s, unit: 2}
"""


def _plan(text: str = BUS) -> ModbusPlan:
    plan = plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ())
    assert isinstance(plan, ModbusPlan)
    return plan


def _parked(plan: ModbusPlan) -> ModbusBus:
    """A bus on which all devices are parked: nobody listens there."""
    bus = ModbusBus(plan)

    async def play() -> None:
        for device in plan.devices:
            for _ in range(2):
                with pytest.raises(NoAnswerError):
                    await bus.read(device.id)

    asyncio.run(play())
    return bus


def test_two_plans_of_one_file_are_equal() -> None:
    """So a reload without a change changes nothing."""
    assert _plan() == _plan()
    assert _plan() != _plan(BUS.replace("unit: 2", "unit: 3"))
    assert _plan() != _plan(BUS.replace("unit: 2", "unit: 2, interval_s: 60"))


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [("127.0.0.1:1", "127.0.0.1:2", False), ("timeout_s: 0.2", "timeout_s: 1", False), ("unit: 2", "unit: 3", True)],
)
def test_only_its_line_decides_whether_a_bus_goes_on(old: str, new: str, is_same: bool) -> None:  # noqa: FBT001 - a case
    """Devices may come and go."""
    assert _plan().is_same_line(_plan(BUS.replace(old, new))) == is_same


def test_an_interval_may_change_and_the_device_stays_parked() -> None:
    """It is the same device, and does not answer."""
    bus = _parked(_plan())
    bus.follow(_plan(BUS.replace("unit: 2", "unit: 2, interval_s: 60")))
    assert None not in (bus.parked_s("main"), bus.parked_s("gym"))
    assert bus.traffic("gym").errors == 2
    with pytest.raises(ParkedError):
        asyncio.run(bus.read("gym"))


@pytest.mark.parametrize("change", ["unit: 3", "unit: 2, parameters: {}, profile: eastron/sdm120"])
def test_another_device_under_the_name_is_asked_at_once(change: str) -> None:
    """Another unit id or model; its mate stays as it was."""
    device = "{id: gym, site: s, " + change
    text = BUS.replace("{id: gym, profile: eastron/sdm630, site: s, unit: 2", device)
    if "profile" not in change:
        text = text.replace("site: s, unit: 3", "site: s, unit: 3, profile: eastron/sdm630")
    bus = _parked(_plan())
    bus.follow(_plan(text))
    assert bus.parked_s("gym") is None
    assert bus.parked_s("main") is not None


def test_a_device_that_is_gone_is_forgotten() -> None:
    """And one that comes back is asked at once."""
    bus = _parked(_plan())
    bus.follow(_plan("\n".join(BUS.splitlines()[:-1])))
    bus.follow(_plan())
    assert bus.parked_s("gym") is None
