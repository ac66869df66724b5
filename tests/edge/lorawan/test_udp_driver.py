"""A LoRaWAN network of the gateway's own in a gateway's file, at the desk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from base import strict_yaml
from base.errors import ConfigError
from edge.drivers import plan_bus
from edge.lorawan.udp.driver import LorawanUdpPlan

if TYPE_CHECKING:
    from edge.interface import BusPlan

EUI, OTHER = "a81758fffe0512ab", "70b3d57ed0051234"
KEYS = f"""\
{EUI}: {{app_key: 2b7e151628aed2a6abf7158809cf4f3c}}
{OTHER}: {{dev_addr: 26011bda, nwk_s_key: {"4e" * 16}, app_s_key: {"ec" * 16}}}
0000000000000001: {{app_key: 2b7e151628aed2a6abf7158809cf4f3c, dev_addr: 26011bda}}
0000000000000002: {{dev_addr: 26011bda}}
0000000000000003: {{}}
"""
GOOD = """\
- id: roof
  driver: lorawan_udp
  keys: keys.yaml
  devices:
    - {id: room, profile: elsys/ers-co2, site: school, dev_eui: a81758fffe0512ab}
    - {id: hall, profile: elsys/ers-co2, site: school, dev_eui: 70-B3-D5-7E-D0-05-12-34, counter_reset: accept}
"""


def _plan(directory: Path, text: str, *, at: int = 0) -> BusPlan:
    if not (directory / "keys.yaml").exists():
        (directory / "keys.yaml").write_text(KEYS)
        (directory / "keys.yaml").chmod(0o600)
    return plan_bus(strict_yaml.parse(text.encode(), directory / "gw.yaml"), (at,))


def _lorawan(directory: Path, text: str) -> LorawanUdpPlan:
    plan = _plan(directory, text)
    assert isinstance(plan, LorawanUdpPlan)
    return plan


def test_a_bus_is_planned_with_its_keys(tmp_path: Path) -> None:
    """On this machine alone, in the private network, with its state where the spool usually is."""
    plan = _lorawan(tmp_path, GOOD)
    assert (plan.host, plan.port, plan.net_id, plan.listens) == ("127.0.0.1", 1700, 0, True)
    assert plan.place == ("listen", "udp 127.0.0.1:1700")
    assert plan.state == Path("/var/lib/messnetz/lorawan-roof.sqlite")
    assert [device.dev_eui for device in plan.devices] == [EUI, OTHER]
    assert [device.may_reset for device in plan.devices] == [False, True]
    assert "2b7e" not in repr(plan)


def test_at_a_desk_without_the_directory_of_the_keys_all_but_they_are_checked(tmp_path: Path) -> None:
    """Keys are on the gateway alone; where their directory is, so must they be."""
    text = GOOD.replace("keys.yaml", "secrets/keys.yaml")
    assert [device.keys for device in _lorawan(tmp_path, text).devices] == [None, None]
    (tmp_path / "secrets").mkdir()
    with pytest.raises(ConfigError, match="no readable file"):
        _plan(tmp_path, text)


JOINS = "a81758fffe0512ab}"
BROKEN = [
    ("keys: keys.yaml", "keys: keys.yaml\n  power: 3", "power: 3", "unknown key 'power'", ""),
    ("dev_eui: a81758fffe0512ab", "dev_eui: a81758fffe0512a", "a81758fffe0512a}", "512a'", "16 hexadecimal digits"),
    ("70-B3-D5-7E-D0-05-12-34", "A81758FFFE0512AB", "A81758", "which 'room' has", "each DevEUI once"),
    ("a81758fffe0512ab", "a81758fffe0512ac", "a81758", "has no keys", "app_key"),
    ("a81758fffe0512ab", "'0000000000000001'", "'0000", "too many", "app_key"),
    ("a81758fffe0512ab", "'0000000000000002'", "'0000", "too few", "app_key"),
    ("a81758fffe0512ab", "'0000000000000003'", "'0000", "too few", "app_key"),
    (JOINS, "a81758fffe0512ab, counter_reset: accept}", "accept}", "a device that joins", "ABP"),
    (JOINS, "a81758fffe0512ab, counter_reset: maybe}", "maybe", "'maybe'", "accept"),
    (JOINS, "a81758fffe0512ab, data_rate: SF6}", "SF6", "'SF6'", "SF12"),
    (JOINS, "a81758fffe0512ab, interval_s: 60}", "60}", "every 60 s = 2.7 %", "`interval_s: 300`"),
    (JOINS, "a81758fffe0512ab, interval_s: 60}", "60}", "SF12: 16 octets take 1.65 s", "`data_rate: SF10`"),
    ("  keys:", "  listen: 0.0.0.0:1700\n  keys:", "0.0.", "which others reach", "concentrators"),
    ("  keys:", "  listen: '1700'\n  keys:", "'1700'", "'1700'", "HOST:PORT"),
    ("  keys:", "  net_id: '000040'\n  keys:", "'000040'", "'000040'", "00003f"),
    ("  keys:", "  region: us915\n  keys:", "us915", "'us915'", "eu868"),
    ("  keys:", "  concentrators: [b827]\n  keys:", "b827", "'b827'", "16 hexadecimal digits"),
    ("profile: elsys/ers-co2", "profile: eastron/sdm630", "eastron", "driver 'modbus'", "elsys/ers-co2"),
]


@pytest.mark.parametrize(("old", "new", "there", "found", "expected"), BROKEN)
def test_a_broken_bus_names_place_and_remedy(
    tmp_path: Path, old: str, new: str, there: str, found: str, expected: str
) -> None:
    """Each error stands at the value that a person has to change."""
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(ConfigError) as caught:
        _plan(tmp_path, text)
    at = caught.value.at
    assert text.splitlines()[at.line - 1][at.column - 1 :].startswith(there)
    assert found in caught.value.found
    assert expected in caught.value.expected


def test_a_listed_concentrator_may_be_elsewhere(tmp_path: Path) -> None:
    """Then others than this machine are heard."""
    text = GOOD.replace("  keys:", "  listen: 0.0.0.0:1701\n  concentrators: [B827EBFFFE000001]\n  keys:")
    plan = _lorawan(tmp_path, text)
    assert (plan.host, plan.port, plan.concentrators) == ("0.0.0.0", 1701, ("b827ebfffe000001",))  # noqa: S104 - asked for


def test_a_device_held_at_a_faster_rate_may_speak_more_often(tmp_path: Path) -> None:
    """The airtime is what counts: 17 octets at SF9 take a quarter of a second."""
    plan = _lorawan(tmp_path, GOOD.replace("0512ab}", "0512ab, interval_s: 60, data_rate: SF9}"))
    assert plan.devices[0].spreading_factor == 9
    assert plan.cost_s("room") < 0.3


def test_a_new_device_leaves_the_line_as_it_is(tmp_path: Path) -> None:
    """A reload goes on with the open socket; another address opens another one."""
    plan = _plan(tmp_path, GOOD)
    assert plan.is_same_line(_plan(tmp_path, GOOD.replace("id: hall", "id: aula")))
    moved = _plan(tmp_path, GOOD.replace("  keys:", "  listen: 127.0.0.1:1701\n  keys:"))
    assert not plan.is_same_line(moved)


def test_too_many_devices_for_the_air_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    """Each within its own limit, and together they would fill one channel's hour: the slowest rate is named."""
    plan = _plan(tmp_path, GOOD)
    assert plan.faster(1.0) == "`data_rate: SF12`, where the devices are near enough and are set to it"
    assert "SF9" in plan.faster(0.2)
    assert plan.faster(0.001) == ""
