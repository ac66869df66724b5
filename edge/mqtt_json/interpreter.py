"""What messages of JSON say, and of whom."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.hearing import Said
from edge.interface import Measured
from edge.mqtt_json.driver import JsonTarget
from edge.thinning import Thinner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.mqtt_bus import MqttTarget
    from edge.mqtt_source import Message


class JsonInterpreter:
    """Understands the messages of one bus."""

    def __init__(self, devices: Sequence[MqttTarget]) -> None:
        self._targets: dict[str, JsonTarget] = {}
        self._thinners: dict[str, Thinner] = {}
        self._by_topic: dict[str, list[JsonTarget]] = {}
        self.follow(devices)

    async def understand(self, message: Message) -> Sequence[Said] | None:
        """Return what a message says."""
        targets = self._by_topic.get(message.topic)
        if targets is None:
            return None
        now_ms = time.time_ns() // 1_000_000
        return [said for target in targets if (said := self._said(target, message, now_ms)) is not None]

    def _said(self, target: JsonTarget, message: Message, now_ms: int) -> Said | None:
        if message.is_retained and not target.model.has_time:
            return None  # of any age
        try:
            said = target.model.said(message.payload, now_ms, message.topic)
        except ValueError as error:
            return Said(target.id, garbled=str(error))
        if message.is_retained and not 0 <= now_ms - (said.at_ms or 0) <= target.patience_s * 1000:
            return None
        if not (said.readings or said.without_value):
            return Said(target.id, garbled=said.fault, is_beside_the_point=True)
        thinner = self._thinners.get(target.id)
        if thinner is not None:
            thinner.add(said.readings, message.arrived_s, said.without_value)
            return Said(target.id, garbled=said.fault)
        measured = Measured(said.readings, message.arrived_s, said.without_value, said.at_ms)
        return Said(target.id, measured, said.fault)

    def take(self, device: str) -> Measured | None:
        """Return the sample of an interval."""
        thinner = self._thinners.get(device)
        return None if thinner is None else thinner.take()

    def follow(self, devices: Sequence[MqttTarget]) -> None:
        """Go on with other devices; those that did not change keep what they said in this interval."""
        before, thinners = self._targets, self._thinners
        self._targets = {target.id: target for target in devices if isinstance(target, JsonTarget)}
        self._thinners, self._by_topic = {}, {}
        for target in self._targets.values():
            if target.rules is not None:
                is_same = target.id in before and before[target.id].meaning == target.meaning
                self._thinners[target.id] = thinners[target.id] if is_same else Thinner(target.rules)
            for topic in target.model.topics:
                self._by_topic.setdefault(topic, []).append(target)

    async def close(self) -> None:
        """Nothing is held."""
