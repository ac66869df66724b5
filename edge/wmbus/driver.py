"""The wireless M-Bus driver: checks a bus at the desk, hears its meters in the field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge import planning
from edge.mqtt_bus import MqttPlan, MqttTarget, Topic
from edge.mqtt_config import MqttSourceConfig, session_of
from edge.speaking import SpeakingPlan
from edge.stream import line_of, place_of
from edge.wmbus import profile as profiles
from edge.wmbus.config import WmbusBusConfig
from edge.wmbus.profile import WmbusProfile
from edge.wmbus.receivers import RECEIVERS

if TYPE_CHECKING:
    import msgspec

    from base.strict_yaml import Document, Path_
    from edge.interface import Bus, BusPlan, Place
    from edge.mqtt_source import MqttSource
    from edge.planning import Planned
    from edge.stream import LineAddress
    from edge.wmbus.config import WmbusDevice
    from edge.wmbus.mqtt import MeterInterpreter
    from edge.wmbus.receivers import Mode, Name
    from wire import profile as public

_FILTER = re.compile(r"(?:(?:[^+#\0/]*|\+)/)*(?:[^+#\0/]*|\+|#)\Z")
"""A wildcard stands for a whole level, `#` for all that follow."""
OF_MQTT = ("topics", "format", "client_id")
OF_LINE = ("serial", "tcp", "receiver", "baud_rate", "data_bits", "parity", "stop_bits")


@dataclass(frozen=True)
class WmbusTarget(MqttTarget):
    """One meter that sends by radio; `meaning` is number, maker, and parameters."""

    number: str = ""
    maker: str | None = None
    profile: WmbusProfile | None = field(default=None, repr=False)
    parameters: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ReceiverPlan(SpeakingPlan):
    """A checked receiver on a line."""

    id: str
    line: LineAddress
    receiver: Name
    mode: Mode
    key_file: Path | None
    devices: tuple[WmbusTarget, ...]

    @property
    def place(self) -> Place:
        """Where it is."""
        return place_of(self.line)

    def is_same_line(self, other: BusPlan) -> bool:
        """Whether an open bus can go on with another plan: the receiver is the same, if perhaps its meters."""
        if not isinstance(other, ReceiverPlan):
            return False
        own, others = (self.line, self.receiver, self.mode), (other.line, other.receiver, other.mode)
        return own == others and self.key_file == other.key_file

    def open(self) -> Bus:
        """Make the bus ready; the port is opened when it is first listened to."""
        from edge.wmbus.bus import ReceiverBus  # noqa: PLC0415 - the decoder is loaded when it is first needed

        return ReceiverBus(self)


class WmbusDriver:
    """The driver as the table knows it."""

    title = "A wireless M-Bus receiver"
    config: type[msgspec.Struct] = WmbusBusConfig

    def profile_kinds(self) -> tuple[type[public.Profile], ...]:
        """Return the one kind."""
        return (WmbusProfile,)

    def plan(self, document: Document, path: Path_) -> BusPlan:
        """Check the receiver at a path of a gateway's file.

        Raises: ConfigError at the line that is wrong.
        """
        config = document.convert(WmbusBusConfig, path)
        targets = tuple(_targets(document, path, config))
        if config.mqtt is not None:
            return _of_broker(document, path, config, targets)
        for key in OF_MQTT:
            if getattr(config, key):
                raise document.error((*path, key), f"{key!r} without 'mqtt'", "it with 'mqtt' only")
        if config.receiver is None:
            raise document.error(path, "no receiver", f"'receiver', one of: {', '.join(RECEIVERS)}; or 'mqtt'")
        line = line_of(document, path, config, RECEIVERS[config.receiver].settings)
        return ReceiverPlan(config.id, line, config.receiver, config.mode, _key_file(config), targets)


def _of_broker(document: Document, path: Path_, config: WmbusBusConfig, targets: tuple[WmbusTarget, ...]) -> MqttPlan:
    for key in OF_LINE:
        if getattr(config, key) is not None:
            raise document.error((*path, key), f"{key!r} beside 'mqtt'", "one of them")
    if not config.topics:
        raise document.error(path, "no 'topics'", "topic filters, such as [wmbusmeters/#]")
    for index, topic in enumerate(config.topics):
        if not _FILTER.match(topic):
            raise document.error((*path, "topics", index), repr(topic), "a topic filter, such as wmbusmeters/#")
    if config.format is None:
        raise document.error(path, "no 'format'", "one of 'wmbusmeters' and 'telegrams'")
    if config.mqtt is None:
        raise AssertionError("asked for by the caller")
    source = MqttSourceConfig(mqtt=config.mqtt, client_id=config.client_id, max_inflight=config.max_inflight)
    is_json = config.format == "wmbusmeters"
    # a report of wmbusmeters says when its telegram came, so the broker may keep it; a raw telegram is now or never
    topics = tuple(Topic(each, 1 if is_json else 0) for each in config.topics)
    key_file = _key_file(config)

    def make(plan: MqttPlan, source: MqttSource) -> MeterInterpreter:
        del source
        from edge.wmbus.mqtt import MeterInterpreter  # noqa: PLC0415 - the decoder is loaded when it is first needed

        return MeterInterpreter(plan.devices, key_file, is_json=is_json)

    session = session_of(document, config.id, source)
    return MqttPlan(config.id, session, topics, targets, make, settings=(key_file, is_json))


def _key_file(config: WmbusBusConfig) -> Path | None:
    return None if config.key_file is None else Path(config.key_file)


def _targets(document: Document, path: Path_, config: WmbusBusConfig) -> list[WmbusTarget]:
    targets: list[WmbusTarget] = []
    for index, device in enumerate(config.devices):
        at = (*path, "devices", index)
        names_no_maker = config.format == "wmbusmeters"
        for other in targets:
            if other.number == device.number.upper() and (
                names_no_maker or None in (other.maker, device.maker) or other.maker == device.maker
            ):
                found = f"{device.number}, which {other.id!r} has"
                rest = "wmbusmeters does not say whose" if names_no_maker else "of two makers, each with its 'maker'"
                raise document.error((*at, "number"), found, f"a meter of its own; {rest}")
        planned = planning.device_of(document, at, device, "wmbus", profiles.load)
        if names_no_maker and not planned.profile.wmbus.fields:
            raise document.error(
                (*at, "profile"), f"{device.profile!r}, which names no fields of wmbusmeters", "one that does"
            )
        targets.append(_target(device, planned))
    return targets


def _target(device: WmbusDevice, planned: Planned[WmbusProfile]) -> WmbusTarget:
    number = device.number.upper()
    return WmbusTarget(
        device.id,
        planned.interval_s,
        (number, device.maker, *planned.meaning),
        number=number,
        maker=device.maker,
        profile=planned.profile,
        parameters=tuple(sorted(planned.parameters.items())),
    )


DRIVER = WmbusDriver()
