"""A device that names a codec of a town's own repository, and maps it by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import codec_repository
import codec_runs
import pytest

from base import strict_yaml
from base.errors import ConfigError
from edge.drivers import plan_bus
from edge.lorawan.broker import LorawanTarget
from gateway import config as gateway_config

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY = """\
gateway: park-gw
mqtt: {host: broker.example}
buses:
  - id: net
    driver: ttn
    mqtt: {host: eu1.cloud.thethings.network}
    codecs: lorawan-devices
    devices:
      - id: tree-1
        dev_eui: "0011223344556677"
        site: park
        interval_s: 1200
        codec: acme/probe
        dead_band: {soil_vwc: 0.5}
        mapping:
          measurement: soil
          channels: {30cm: {depth: 30cm}}
          parameters: {share: {label: {de: Teil, en: Share}, minimum: 1, maximum: 100, default: 1}}
          f_ports: [5]
          values:
            soil_vwc/30cm: {path: moisture, unit: "%", divide_by: share}
"""


def _planned(tmp_path: Path, text: str = GATEWAY) -> LorawanTarget:
    codec_repository.build(tmp_path / "lorawan-devices")
    file = tmp_path / "gw.yaml"
    file.write_text(text, encoding="utf-8")
    target = plan_bus(strict_yaml.load(file), ("buses", 0)).devices[0]
    assert isinstance(target, LorawanTarget)
    return target


def test_its_codec_is_the_repositorys(tmp_path: Path) -> None:
    """And the readings are those of the mapping."""
    target = _planned(tmp_path)
    data = codec_runs.decode(target.model.codec, 5, bytes([1, 200])).data
    said = target.model.read(data, codec_runs.RECEIVED_MS)
    assert [(each.name, each.value, each.unit) for each in said.now.readings] == [("soil_vwc/30cm", 20.0, "/100")]
    assert target.model.f_ports == {5}
    assert target.interval_s == 1200


def test_the_same_words_are_the_same_plan(tmp_path: Path) -> None:
    """A reload finds nothing new, and leaves the bus alone."""
    assert _planned(tmp_path) == _planned(tmp_path)
    assert _planned(tmp_path).model is _planned(tmp_path).model


@pytest.mark.parametrize("driver", ["ttn", "chirpstack"])
def test_a_changed_codec_or_mapping_is_another_plan(tmp_path: Path, driver: str) -> None:
    """Else a reload would go on with the old one: its name, which the registry has, is the same."""
    text = GATEWAY.replace("driver: ttn", f"driver: {driver}")
    before = _planned(tmp_path, text)
    rescaled = _planned(tmp_path, text.replace("path: moisture", "path: moisture, scale: 2"))
    assert rescaled.meaning == before.meaning
    assert rescaled != before
    repository = codec_repository.build(tmp_path / "lorawan-devices")
    file = repository / "vendor" / "acme" / "probe.js"
    file.write_text(file.read_text().replace("/ 10", "/ 20"), encoding="utf-8")
    after = plan_bus(strict_yaml.load(tmp_path / "gw.yaml"), ("buses", 0)).devices[0]
    assert after != rescaled
    assert isinstance(after, LorawanTarget)
    assert "/ 20" in after.model.codec


def test_the_whole_gateway_knows_it(tmp_path: Path) -> None:
    """What asks for its profile by name, such as the dead band, finds what the mapping made."""
    codec_repository.build(tmp_path / "lorawan-devices")
    (tmp_path / "gw.yaml").write_text(GATEWAY, encoding="utf-8")
    entry = gateway_config.load(tmp_path / "gw.yaml").devices["tree-1"]
    assert entry.profile.startswith("acme/probe-")


WRONG = [
    ("    codecs: lorawan-devices\n", "", 12, "the codec 'acme/probe'"),
    ("codecs: lorawan-devices", "codecs: elsewhere", 13, "no directory 'vendor'"),
    ("codec: acme/probe", "codec: acme/prob", 13, "no device 'acme/prob'"),
    ("codec: acme/probe", "codec: acme/bare", 13, "no codec"),
    ("{path: moisture, unit", "{path: 'moisture[', unit", 21, "'moisture['"),
    ('unit: "%"', "unit: Wh", 21, "'Wh'"),
    ("divide_by: share", "divide_by: part", 21, "'part'"),
    ("divide_by: share", "colour: red", 21, "unknown key 'colour'"),
    ("measurement: soil", "measurement: earth", 16, "'earth'"),
    ("soil_vwc/30cm:", "voltage/30cm:", 21, "'voltage'"),
]


@pytest.mark.parametrize(("old", "new", "line", "found"), WRONG)
def test_what_is_wrong_is_said_at_its_line(old: str, new: str, line: int, found: str, tmp_path: Path) -> None:
    """At the desk, before anything is opened."""
    assert old in GATEWAY
    with pytest.raises(ConfigError) as caught:
        _planned(tmp_path, GATEWAY.replace(old, new, 1))
    assert found in caught.value.found
    if caught.value.at.file == tmp_path / "gw.yaml":
        assert caught.value.at.line == line
