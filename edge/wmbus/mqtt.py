"""Meters whose telegrams, or what a wmbusmeters daemon made of them, come by MQTT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.wmbus.keys import KeyFile
from edge.wmbus.meters import Meters, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge.hearing import Said
    from edge.interface import Measured
    from edge.mqtt_bus import MqttTarget
    from edge.mqtt_source import Message


def wanted(devices: Sequence[MqttTarget]) -> list[Wanted]:
    """Return the meters that a plan's devices are."""
    from edge.wmbus.driver import WmbusTarget  # noqa: PLC0415 - which imports this when it opens a bus

    return [
        Wanted(each.id, each.number, each.maker, each.interval_s, each.profile, dict(each.parameters))
        for each in devices
        if isinstance(each, WmbusTarget) and each.profile is not None
    ]


class MeterInterpreter:
    """Understands the messages of one bus."""

    def __init__(self, devices: Sequence[MqttTarget], key_file: Path | None, *, is_json: bool) -> None:
        self._meters = Meters(wanted(devices), KeyFile(key_file))
        self._is_json = is_json

    async def understand(self, message: Message) -> Sequence[Said]:
        """Return what a message says; nothing where it is of no wanted meter."""
        if self._is_json:
            return self._meters.report(message.payload, message.arrived_s)
        return self._meters.message(message.payload, message.arrived_s, is_old=message.is_retained)

    def follow(self, devices: Sequence[MqttTarget]) -> None:
        """Go on with other meters."""
        self._meters.follow(wanted(devices))

    def take(self, device: str) -> Measured | None:
        """None: each telegram that is taken is a sample of its own."""
        del device
        return None

    async def close(self) -> None:
        """Nothing is held."""
