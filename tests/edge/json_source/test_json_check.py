"""`check` on buses of JSON: what is wrong is said with line and remedy, and nothing is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from base import strict_yaml
from base.errors import ConfigError
from edge.drivers import plan_bus
from edge.http_json.driver import HttpPlan
from edge.mqtt_bus import MqttPlan

if TYPE_CHECKING:
    from edge.interface import BusPlan

MQTT = """\
gateway: gw
buses:
  - id: street
    driver: mqtt_json
    mqtt: {host: Broker.example}
    devices:
      - {id: plug, profile: tasmota/energy, site: s, parts: {name: plug-3}}
      - {id: north, profile: generic/traffic-json, site: s, parts: {counter: north, topic: town/crossing}}
      - {id: south, profile: generic/traffic-json, site: s, parts: {counter: south, topic: town/crossing}}
"""
HTTP = """\
gateway: gw
buses:
  - id: box
    driver: http_json
    url: http://192.0.2.7:8080/api/
    devices:
      - {id: north, profile: generic/traffic-json, site: s, parts: {counter: north, path: "x y.json"}}
"""


def plan(text: str) -> BusPlan:
    """Check the first bus of a gateway's file."""
    return plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ("buses", 0))


def test_topics_with_a_time_of_their_own_are_kept_for_us() -> None:
    """QoS 1 where a late message is still right; QoS 0 where it would carry a wrong time. Shared topics once."""
    found = plan(MQTT)
    assert isinstance(found, MqttPlan)
    assert [tuple(topic) for topic in found.topics] == [("tele/plug-3/SENSOR", 0), ("town/crossing", 1)]
    assert found.session.client_id == "gw-street"
    assert found.place.address == "broker.example:1883 as gw-street"


def test_a_second_bus_on_the_same_broker_has_a_session_of_its_own() -> None:
    """The broker would let one of two with the same name hang up the other for ever."""
    assert plan(MQTT).place != plan(MQTT.replace("id: street", "id: other")).place
    assert plan(MQTT).place != plan(MQTT.replace("gateway: gw", "gateway: gw2")).place


def test_a_device_that_is_added_to_a_known_topic_goes_on_with_the_session() -> None:
    """Only another broker, session or topic makes another line."""
    without = MQTT[: MQTT.index("      - {id: south")]
    assert plan(MQTT).is_same_line(plan(without))
    assert not plan(MQTT).is_same_line(plan(MQTT.replace("plug-3", "plug-4")))


def test_a_server_is_asked_for_what_the_profile_has() -> None:
    """Parts are escaped; the URL is written one way only."""
    found = plan(HTTP)
    assert isinstance(found, HttpPlan)
    assert (str(found.server), found.devices[0].path) == ("http://192.0.2.7:8080/api", "/x%20y.json")


WRONG = [
    (MQTT, "{name: plug-3}", "{nam: plug-3}", 7, "the unknown part 'nam'"),
    (MQTT, ", parts: {name: plug-3}", "", 7, "no part 'name'"),
    (MQTT, "{name: plug-3}", "{name: '#'}", 7, "'#'"),
    (MQTT, "{name: plug-3}", "{name: 'a/+/b'}", 7, "'a/+/b'"),
    (MQTT, "{counter: north,", "{counter: a.b,", 8, "'a.b'"),
    (MQTT, "tasmota/energy", "go-e/charger", 7, "unknown part"),
    (MQTT, "tasmota/energy, site: s, parts: {name: plug-3}", "go-e/charger, site: s", 7, "read by HTTP alone"),
    (MQTT, "tasmota/energy", "eastron/sdm630", 7, "one of driver 'modbus'"),
    (MQTT, "{host: Broker.example}", "{host: 'mqtt://b'}", 5, "'mqtt://b'"),
    (MQTT, "{host: Broker.example}", "{host: b, user: me}", 5, "password_file"),
    (HTTP, "http://192.0.2.7:8080/api/", "http://me:secret@192.0.2.7/", 5, "without user, password"),
    (HTTP, "http://192.0.2.7:8080/api/", "ftp://192.0.2.7/", 5, "https://HOST"),
    (HTTP, "http://192.0.2.7:8080/api/", "http://192.0.2.7/?key=1", 5, "https://HOST"),
    (HTTP, "http://192.0.2.7:8080/api/", "http://192.0.2.7:99999", 5, "https://HOST"),
    (HTTP, "generic/traffic-json", "opendtu/inverter", 7, "unknown part"),
    (HTTP, 'generic/traffic-json, site: s, parts: {counter: north, path: "x y.json"}',
     "opendtu/inverter, site: s, parts: {serial: '1'}", 7, "only a broker brings"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new", "line", "said"), WRONG)
def test_what_is_wrong_is_said_at_its_line(text: str, old: str, new: str, line: int, said: str) -> None:
    """A person reads file, line, what was found, and what would be right."""
    assert old in text
    with pytest.raises(ConfigError) as caught:
        plan(text.replace(old, new))
    assert caught.value.at.line == line
    assert said in str(caught.value)
