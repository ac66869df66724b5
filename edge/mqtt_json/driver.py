"""The MQTT JSON driver: checks a bus at the desk; what its messages say is `interpreter.py`'s."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge import thinning
from edge.json_source import profile as profiles
from edge.json_source.model import Model
from edge.json_source.profile import JsonDevice, JsonProfile
from edge.mqtt_bus import Interpreter, MqttPlan, MqttTarget, Topic
from edge.mqtt_config import MqttSourceConfig, session_of
from wire.ids import Id  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from base.strict_yaml import Document, Path_
    from edge.interface import BusPlan
    from edge.mqtt_source import MqttSource
    from edge.thinning import Rule
    from wire.profile import Profile


class MqttJsonBusConfig(MqttSourceConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One broker, and the devices that publish JSON, or single numbers, to it."""

    id: Id
    """Name of the bus, unique in its gateway."""
    driver: Literal["mqtt_json"]
    """What reads the messages."""
    devices: Annotated[list[JsonDevice], msgspec.Meta(min_length=1)]
    """Who publishes."""


@dataclass(frozen=True)
class JsonTarget(MqttTarget):
    """One device of such a bus."""

    model: Model = field(kw_only=True, compare=False, repr=False)
    rules: tuple[Rule, ...] | None = field(kw_only=True, compare=False, repr=False)
    """How its messages are thinned; None where each is a sample."""


class MqttJsonDriver:
    """The driver as the table knows it."""

    title = "An MQTT bus with JSON"
    config: type[msgspec.Struct] = MqttJsonBusConfig

    def profile_kinds(self) -> tuple[type[Profile], ...]:
        """Return the profiles of what speaks JSON."""
        return (JsonProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the bus at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(MqttJsonBusConfig, path)
        targets = tuple(
            _target(document, (*path, "devices", index), device) for index, device in enumerate(config.devices)
        )
        return MqttPlan(config.id, session_of(document, config.id, config), _topics(targets), targets, _interpreter)


def _target(document: Document, at: Path_, entry: JsonDevice) -> JsonTarget:
    device, parts = profiles.device_of(document, at, entry)
    profile = device.profile
    model = Model(profile, device.parameters, parts)
    if len(model.topics) < len(set(profile.json.topics())) or not model.topics:
        found = f"the profile {entry.profile!r}, which is read by HTTP alone"
        raise document.error((*at, "profile"), found, "one with 'json: topic:'")
    rules = None
    if profile.thinning is not None:
        rules = thinning.rules_of(profile.readings, profile.thinning)
    meaning = (*device.meaning, tuple(sorted(parts.items())))
    return JsonTarget(device.id, device.interval_s, meaning, model=model, rules=rules)


def _topics(targets: Iterable[JsonTarget]) -> tuple[Topic, ...]:
    """Return what is subscribed to: QoS 1 where all that use it say when it was measured."""
    qos: dict[str, int] = {}
    for target in targets:
        for topic in target.model.topics:
            qos[topic] = min(qos.get(topic, 1), int(target.model.has_time))
    return tuple(Topic(topic, qos[topic]) for topic in sorted(qos))


def _interpreter(plan: MqttPlan, _source: MqttSource) -> Interpreter:
    from edge.mqtt_json.interpreter import JsonInterpreter  # noqa: PLC0415 - with the first such bus

    return JsonInterpreter(plan.devices)


DRIVER = MqttJsonDriver()
