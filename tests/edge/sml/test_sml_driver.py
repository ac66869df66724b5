"""A bus with a meter that speaks SML: checked at the desk, read over a pseudo-terminal."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from base import strict_yaml
from base.errors import ConfigError
from base.retry import Backoff
from edge import drivers, kept_line
from edge.interface import ParkedError
from edge.listening import ListeningPlan
from edge.stream import LineSettings, SerialPort
from simulator import sml as encoder
from simulator.ports import Port

if TYPE_CHECKING:
    from edge.interface import Bus, Measured

DEVICE = "{id: m, profile: sml/meter, site: s, interval_s: 1}"


def _plan(line: str = "serial: /dev/x", devices: str = DEVICE) -> ListeningPlan:
    text = f"buses:\n  - {{id: b, driver: sml, {line}, devices: [{devices}]}}\n"
    plan = drivers.plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ("buses", 0))
    assert isinstance(plan, ListeningPlan)
    return plan


def _telegram(watt_hours: int) -> bytes:
    return encoder.meter_telegram("ISK", 1, [encoder.Value("1-0:1.8.0", watt_hours, encoder.WATT_HOUR)])


async def _soon(bus: Bus) -> Measured:
    until_s = time.monotonic() + 10
    while True:
        try:
            return await bus.read("m")
        except ParkedError:
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(0.02)


def test_a_meter_is_heard_lost_and_heard_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head's port is pulled out amid a telegram, and put back: nothing of the half is left."""
    monkeypatch.setattr(kept_line, "Backoff", partial(Backoff, chance=lambda: 0.01))

    async def story() -> None:
        port = Port(tmp_path / "line")
        port.plug()
        bus = _plan(f"serial: {port.address}").open()
        with pytest.raises(ParkedError):
            await bus.read("m")
        await asyncio.sleep(0.1)
        port.send(b"noise" + _telegram(1000) + _telegram(2000))
        assert [(r.name, r.value) for r in (await _soon(bus)).readings] == [("active_energy_import", 2.0)]
        port.send(_telegram(3000)[:90])
        await asyncio.sleep(0.05)
        port.unplug()
        await asyncio.sleep(0.1)
        port.plug()
        await asyncio.sleep(0.3)
        port.send(_telegram(3000)[90:] + _telegram(4000))
        assert (await _soon(bus)).readings[0].value == 4.0
        assert bus.traffic("m") == (3, 0)
        await bus.close()
        port.unplug()

    asyncio.run(story())


def test_a_line_is_set_as_heads_are() -> None:
    """9600 8N1, unless the file says otherwise."""
    assert _plan().line == SerialPort("/dev/x", LineSettings())
    assert _plan("serial: /dev/x, baud_rate: 115200").line == SerialPort("/dev/x", LineSettings(115200))
    assert _plan("tcp: 192.0.2.1:8880").place.key == "tcp"


def test_a_transformers_ratio_makes_another_device() -> None:
    """What is open cannot go on with it; with another interval it can."""
    ratio = DEVICE.replace("interval_s: 1", "parameters: {transformer_ratio: 50}")
    assert not _plan().is_same_line(_plan(devices=ratio))
    assert _plan().is_same_line(_plan(devices=DEVICE.replace("interval_s: 1", "interval_s: 60")))


@pytest.mark.parametrize(
    ("line", "devices", "found"),
    [
        ("serial: /dev/x", f"{DEVICE}, {DEVICE.replace('id: m', 'id: n')}", "'n' beside 'm'"),
        ("serial: /dev/x", "{id: m, profile: easymeter/q3d, site: s}", "driver 'd0'"),
        (
            "serial: /dev/x",
            "{id: m, profile: emh/ehz, site: s, parameters: {transformer_ratio: 2}}",
            "unknown parameter",
        ),
        ("serial: /dev/x", "{id: m, profile: sml/meter, site: s, address: 1}", "address"),
        ("serial: /dev/x, tcp: 'a:1'", DEVICE, "'serial' and 'tcp'"),
        ("wires: 2", DEVICE, "wires"),
    ],
)
def test_what_cannot_be_is_refused_at_the_desk(line: str, devices: str, found: str) -> None:
    """With file and line."""
    with pytest.raises(ConfigError, match=r"gw\.yaml:2:") as caught:
        _plan(line, devices)
    assert found in str(caught.value)
