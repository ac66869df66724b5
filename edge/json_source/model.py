"""What a message of one device means. Pure, but for the time of arrival that it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from edge.json_source.profile import PLAIN, filled
from edge.json_source.times import Clock
from edge.json_values.taking import fields_of, taken_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.json_source.profile import JsonProfile
    from edge.json_values.taking import Field
    from wire.readings import Reading

MAX_WORD = 64
_decode = msgspec.json.Decoder().decode


class Said(NamedTuple):
    """What a message says."""

    readings: tuple[Reading, ...]
    without_value: tuple[str, ...] = ()
    """Names of the readings for which the source says that it has no value."""
    at_ms: int | None = None
    """When it was measured (Unix, ms), where the source says so."""
    fault: str = ""
    """What of it cannot be read, as the end of a sentence; the rest of it is there."""


class Model:
    """A profile with the parts and parameters of one device."""

    def __init__(self, profile: JsonProfile, parameters: Mapping[str, float], parts: Mapping[str, str]) -> None:
        half = profile.json
        self._by_topic: dict[str | None, tuple[Field, ...]] = {}
        values = {
            name: msgspec.structs.replace(value, path=filled(value.path, parts)) for name, value in half.values.items()
        }
        for topic in {value.topic or half.topic for value in values.values()}:
            here = {name: value for name, value in values.items() if (value.topic or half.topic) == topic}
            self._by_topic[filled(topic, parts) if topic else None] = fields_of(here, parameters)
        self._all = fields_of(values, parameters)
        self._is_plain = any(value.path == PLAIN for value in values.values())
        self._clock = Clock(half.time) if half.time is not None else None

    @property
    def topics(self) -> list[str]:
        """Where a broker has its messages."""
        return [topic for topic in self._by_topic if topic is not None]

    @property
    def has_time(self) -> bool:
        """Whether its messages say when they were measured."""
        return self._clock is not None

    def said(self, payload: bytes, now_ms: int, topic: str | None = None) -> Said:
        """Read a message: under one of its topics, or the whole answer of a server.

        Raises: ValueError, in words, where nothing of it can be read.
        """
        data = self._decoded(payload)
        at_ms = self._clock.read(data, now_ms) if self._clock is not None else None
        faults: list[str] = []
        found = taken_of(self._all if topic is None else self._by_topic[topic], data, at_ms, faults)
        return Said(found.readings, found.without_value, at_ms, faults[0] if faults else "")

    def _decoded(self, payload: bytes) -> Any:  # noqa: ANN401 - whatever JSON holds
        try:
            data = _decode(payload)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            data = _word(payload)
            if data is None or not self._is_plain:
                raise ValueError(f"no JSON ({_why(error)})") from error
        return data if isinstance(data, dict | list) else {PLAIN: data}


def _word(payload: bytes) -> str | None:
    """Read a payload that is a word alone."""
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return text if 0 < len(text) <= MAX_WORD and text.isprintable() else None


def _why(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error)
