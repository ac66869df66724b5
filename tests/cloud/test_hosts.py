"""The inventory and the gateways: one list of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import messnetz
from base.errors import ConfigError
from cloud import town

import towns

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = """\
all:
  children:
    gateways:
      hosts:
        school-gw: {ansible_host: 192.0.2.20}
        plant-gw:
    collectors:
      hosts:
        collector-1: {ansible_host: 192.0.2.2}
"""


def _town(tmp_path: Path, hosts: str) -> Path:
    directory = towns.make(tmp_path / "town")
    (directory / "hosts.yml").write_text(hosts)
    return directory


@pytest.mark.parametrize(
    "hosts",
    [
        HOSTS,
        "gateways: {hosts: {school-gw: , plant-gw: }}\n",
        "gateways: {children: {north: {hosts: {school-gw: }}, south: {hosts: {plant-gw: }, vars: {a: 1}}}}\n",
        "gateways: {hosts: {school-gw: }, children: {south: }}\nall: {children: {south: {hosts: {plant-gw: }}}}\n",
    ],
    ids=["as it is made", "at the top", "in groups of groups", "in two places"],
)
def test_an_inventory_of_these_gateways_is_sound(hosts: str, tmp_path: Path) -> None:
    """In every shape that Ansible takes."""
    assert len(town.check(_town(tmp_path, hosts)).gateways) == 2


BROKEN = [
    ("        plant-gw:\n", "", "5:9", "no host 'plant-gw'"),
    ("        plant-gw:\n", "        plant-gw:\n        kiosk-gw:\n", "7:9", "the host 'kiosk-gw'"),
    ("        plant-gw:\n", "        plant-gw:\n        plant-gw:\n", "7:9", "key 'plant-gw' a second time"),
    ("    gateways:\n", "    gateway:\n", "1:1", "no group 'gateways'"),
    ("      hosts:\n        school", "      hosts: all\n      x:\n        school", "4:14", "no mapping"),
    ("{ansible_host: 192.0.2.2}", "!vault x", "9:22", "the tag !vault"),
    ("all:\n", "- all\n", "2:11", "broken YAML"),
]


@pytest.mark.parametrize(("old", "new", "at", "found"), BROKEN)
def test_an_inventory_of_other_machines_is_refused(old: str, new: str, at: str, found: str, tmp_path: Path) -> None:
    """At its line: a gateway that nobody deploys, and a machine that has no configuration."""
    assert old in HOSTS
    directory = _town(tmp_path, HOSTS.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        town.check(directory)
    assert (str(caught.value.at), found in caught.value.found) == (f"{directory}/hosts.yml:{at}", True)


def test_a_group_is_its_name_wherever_it_stands(tmp_path: Path) -> None:
    """A machine that becomes a gateway elsewhere in the file is one."""
    hosts = "gateways: {hosts: {school-gw: , plant-gw: }, children: {south: }}\nsouth: {hosts: {kiosk-gw: }}\n"
    with pytest.raises(ConfigError, match="2:17: found the host 'kiosk-gw'"):
        town.check(_town(tmp_path, hosts))


def test_a_town_without_an_inventory_is_sound(tmp_path: Path) -> None:
    """Not everybody uses Ansible; and files that nobody knows are nobody's fault."""
    directory = towns.make(tmp_path / "town")
    (directory / "notes.txt").write_text("x")
    (directory / "gateways" / "old.bak").write_text("x")
    assert town.check(directory).devices == 3


def test_the_command_names_the_inventory_beside_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One visit to the desk."""
    directory = _town(tmp_path, HOSTS.replace("plant-gw", "kiosk-gw"))
    gateway = directory / "gateways" / "school-gw.yaml"
    gateway.write_text(gateway.read_text().replace("unit: 2", "unit: 255"))
    with pytest.raises(SystemExit) as left:
        messnetz.run(["town", "check", str(directory)])
    assert left.value.code == 2
    assert [line.partition(": found")[0] for line in capsys.readouterr().err.splitlines()] == [
        f"{directory}/hosts.yml:6:9",
        f"{gateway}:9:68",
    ]
