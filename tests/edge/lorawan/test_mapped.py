"""A device that names a codec of a town's own repository, and maps it by itself."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import codec_repository
import codec_runs
import pytest
from lorawan_site import FIXED, HOST, KEYS, in_loop

from base import strict_yaml
from base.errors import ConfigError
from edge.drivers import plan_bus
from edge.lorawan.broker import LorawanTarget
from edge.lorawan.codec.codecs import shared
from edge.lorawan.udp.bus import LorawanUdpBus
from edge.mqtt_bus import MqttPlan
from edge.mqtt_source import Message
from gateway import config as gateway_config
from simulator.concentrator import Concentrator

from servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from lora_packet import LoraPacket

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


@pytest.mark.slow
@in_loop
async def test_a_concentrators_device_is_read_by_it(tmp_path: Path, packets: LoraPacket) -> None:
    """From the frame on the air to the reading; its profile has the name that the registry has."""
    keys = tmp_path / "keys.yaml"
    keys.write_text(
        f"{FIXED}: {{dev_addr: {KEYS.dev_addr}, nwk_s_key: {KEYS.nwk_s_key}, app_s_key: {KEYS.app_s_key}}}\n"
    )
    keys.chmod(0o600)
    port = free_port()
    own = f"driver: lorawan_udp\n    listen: {HOST}:{port}\n    keys: keys.yaml\n    state: state.sqlite"
    text = GATEWAY.replace("driver: ttn\n    mqtt: {host: eu1.cloud.thethings.network}", own)
    codec_repository.build(tmp_path / "lorawan-devices")
    document = strict_yaml.parse(text.replace("0011223344556677", FIXED).encode(), tmp_path / "gw.yaml")
    bus = plan_bus(document, ("buses", 0)).open()
    assert isinstance(bus, LorawanUdpBus)
    hearing = asyncio.create_task(bus.heard())
    async with Concentrator(HOST, port) as concentrator:
        await concentrator.is_served()
        concentrator.push(packets.uplink(KEYS, 3, bytes([1, 200]), f_port=5))
        async with asyncio.timeout(30):
            heard = await hearing
    await bus.close()
    await shared().close()
    values = {reading.name: reading.value for reading in heard.measured.readings}
    assert (heard.device, values["soil_vwc/30cm"], values["rssi"]) == ("tree-1", 20.0, -57)


@pytest.mark.slow
@in_loop
async def test_a_networks_device_is_read_by_it(tmp_path: Path) -> None:
    """Of ChirpStack and of The Things Stack alike: the network's own decode is not asked for."""
    heard = {
        "chirpstack": (
            "application/a/device/0011223344556677/event/up",
            {"deviceInfo": {"devEui": "0011223344556677"}, "fCnt": 3, "fPort": 5, "data": "Acg="},
        ),
        "ttn": (
            "v3/a@b/devices/tree/up",
            {
                "end_device_ids": {"dev_eui": "0011223344556677"},
                "uplink_message": {"f_cnt": 3, "f_port": 5, "frm_payload": "Acg="},
            },
        ),
    }
    codec_repository.build(tmp_path / "lorawan-devices")
    for driver, (topic, content) in heard.items():
        text = GATEWAY.replace("driver: ttn", f"driver: {driver}").encode()
        plan = plan_bus(strict_yaml.parse(text, tmp_path / "gw.yaml"), ("buses", 0))
        assert isinstance(plan, MqttPlan)
        payload = json.dumps(content).encode()
        said = await plan.make(plan, None).understand(  # type: ignore[arg-type]
            Message(topic, payload, is_retained=False, arrived_s=0.0, token=None)
        )
        assert said is not None
        assert said[0].measured is not None
        assert ("soil_vwc/30cm", 20.0) in [(each.name, each.value) for each in said[0].measured.readings]
    await shared().close()


@pytest.mark.parametrize(("old", "new"), [("moisture", "humidity"), ("f_ports: [5]", "f_ports: [6]")])
def test_another_mapping_is_another_plan(old: str, new: str, tmp_path: Path) -> None:
    """Else a reload would go on with the former one; the name of what it makes stays, as its readings do."""
    before, after = _planned(tmp_path), _planned(tmp_path, GATEWAY.replace(old, new))
    assert before != after
    assert before.meaning == after.meaning


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
