"""A gateway's file is checked as a whole, before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from base.errors import ConfigError
from gateway.config import load

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
gateway: town-hall-gw
mqtt: {host: broker.example}
buses:
  - id: hall
    driver: modbus
    tcp: 192.0.2.10
    devices:
      - {id: main, profile: eastron/sdm630, site: town-hall, unit: 1}
  - id: cellar
    driver: modbus
    serial: /dev/ttyUSB0
    devices:
      - {id: kitchen, profile: janitza/b23, site: town-hall, unit: 1}
"""


def _error(text: str, tmp_path: Path) -> ConfigError:
    file = tmp_path / "town-hall-gw.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.at.file == file
    return caught.value


def test_ten_lines_are_enough(tmp_path: Path) -> None:
    """Everything that a technician does not write has a default that is right for production."""
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD)
    config = load(file)
    assert config.file.spool.seal_interval_s == 30
    assert config.file.clock == "kernel"
    assert [bus.id for bus in config.buses] == ["hall", "cellar"]


def test_the_hash_tells_two_configurations_apart(tmp_path: Path) -> None:
    """Any change of the file shows in the status."""
    file = tmp_path / "gw.yaml"
    file.write_text(GOOD)
    before = load(file).hash
    file.write_text(GOOD + "# a remark\n")
    assert load(file).hash != before


BROKEN = [
    ("gateway: town-hall-gw", "gateway: Town_Hall", (1, 10), "'Town_Hall'"),
    ("gateway: town-hall-gw\n", "", (1, 1), "no key 'gateway'"),
    ("host: broker.example", "hosts: broker.example", (2, 8), "unknown key 'hosts'"),
    ("mqtt:", "spool: {seal_interval_s: 0}\nmqtt:", (2, 26), "0"),
    ("mqtt:", "clock: ntp\nmqtt:", (2, 8), "'ntp'"),
    ("mqtt:", "uplink: {window: many}\nmqtt:", (2, 18), "'many'"),
    ("mqtt:", "command_key: short\nmqtt:", (2, 14), "'short'"),
    ("mqtt:", "command_key: [/etc/a.pub, b.pub]\nmqtt:", (2, 27), "'b.pub'"),
    ("id: cellar", "id: hall", (9, 9), "a second bus 'hall'"),
    ("id: kitchen", "id: main", (13, 14), "'main', which is a device on bus 'hall'"),
    ("id: kitchen", "id: town-hall-gw", (13, 14), "which is the gateway itself"),
    ("buses:", "busses:", (3, 1), "unknown key 'busses'"),
    ("unit: 1}\n  - id: cellar", "unit: 1\n  - id: cellar", (9, 7), "broken YAML"),
]


@pytest.mark.parametrize(("old", "new", "at", "found"), BROKEN)
def test_a_broken_file_names_line_and_column(
    old: str, new: str, at: tuple[int, int], found: str, tmp_path: Path
) -> None:
    """The position is that of the value or key to change."""
    assert old in GOOD
    error = _error(GOOD.replace(old, new, 1), tmp_path)
    assert (error.at.line, error.at.column) == at
    assert found in error.found
