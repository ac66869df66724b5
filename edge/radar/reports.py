"""What a radar says in a line, as JSON or comma-separated values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

Direction: TypeAlias = Literal["in", "out"]
"""Towards the radar, and away from it."""
Column: TypeAlias = Literal["speed", "direction", "length", "unit", "other"]
Unit: TypeAlias = Literal["m/s", "km/h", "mph", "ft/s", "cm/s"]

KMH: dict[str, float] = {"m/s": 3.6, "km/h": 1.0, "mph": 1.609344, "ft/s": 1.09728, "cm/s": 0.036}
_SPELT: dict[str, Unit] = {
    "m/s": "m/s",
    "mps": "m/s",
    "m-per-sec": "m/s",
    "km/h": "km/h",
    "kmh": "km/h",
    "kph": "km/h",
    "kmph": "km/h",
    "km-per-hr": "km/h",
    "mph": "mph",
    "ft/s": "ft/s",
    "fps": "ft/s",
    "ft-per-sec": "ft/s",
    "cm/s": "cm/s",
    "cmps": "cm/s",
    "cm-per-sec": "cm/s",
}
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?\Z")
_WHOLE_PASSAGE: dict[str, Unit] = {"max_speed_mps": "m/s", "max_speed_kmph": "km/h", "max_speed_mph": "mph"}
FASTEST_KMH = 250.0


class Report(NamedTuple):
    """One line about something that moves."""

    speed_kmh: float
    """Above 0."""
    direction: Direction
    length_m: float | None = None
    is_sure: bool = False
    """The radar itself has seen it more than once."""
    is_passage: bool = False
    """All of one passage is in it."""


class UnreadableError(ValueError):
    """A line that is none of a radar's. The message never holds what stood in it: that would be a single passage."""


class ReportReader:
    """Reads lines."""

    def __init__(self, unit: Unit, columns: Sequence[Column] = ("speed",)) -> None:
        """`unit`: of speeds, where a line does not say it; `columns`: of lines that are no JSON."""
        self._unit, self._columns = unit, tuple(columns)

    def read(self, line: bytes) -> Report | None:
        """Read a line; None where nothing moves in it: an empty one, the answer to a question, a speed of 0.

        Raises: UnreadableError.
        """
        text = line.strip(b" \t\0")
        if not text:
            return None
        return self._json(text) if text.startswith(b"{") else self._columns_of(text)

    def _json(self, text: bytes) -> Report | None:
        try:
            found = msgspec.json.decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise UnreadableError("a line that begins as JSON and is none") from error
        if not isinstance(found, dict):
            raise UnreadableError("JSON that is no object")
        for key, unit in _WHOLE_PASSAGE.items():
            if key in found:
                heading = found.get("direction") or str(found.get("classifier", "")).removeprefix("object_")
                report = _report(found[key], unit, heading, found.get("length_m"))
                return report and report._replace(is_sure=True, is_passage=True)
        if "DetectedObjectVelocity" not in found and "speed" not in found:
            return None  # a range, say, whose unit is none of a speed
        unit = self._named(found.get("unit", found.get("Units")))
        if "DetectedObjectVelocity" in found:
            report = _report(found["DetectedObjectVelocity"], unit, found.get("direction"), None)
            return report and report._replace(is_sure=True)
        return _report(found["speed"], unit, found.get("direction"), None)

    def _columns_of(self, text: bytes) -> Report | None:
        try:
            fields = [field.strip(' "\t') for field in text.decode("ascii").split(",")]
        except UnicodeDecodeError as error:
            raise UnreadableError("a line that is no text") from error
        unit = self._unit
        if fields[0].lower() in _SPELT and len(fields) == len(self._columns) + 1:
            unit = self._named(fields.pop(0))
        if len(fields) != len(self._columns):
            raise UnreadableError(f"a line of {len(fields)} values, where {len(self._columns)} were expected")
        named = dict(zip(self._columns, fields, strict=True))
        unit = self._named(named["unit"]) if "unit" in named else unit
        return _report(named["speed"], unit, named.get("direction"), named.get("length"))

    def _named(self, name: object) -> Unit:
        if name is None:
            return self._unit
        unit = _SPELT.get(str(name).lower())
        if unit is None:
            raise UnreadableError("a speed in an unknown unit")
        return unit


def _report(speed: Any, unit: Unit, heading: object, length: object) -> Report | None:  # noqa: ANN401 - JSON
    if isinstance(speed, list):  # several reports at once, the strongest first
        if not speed:
            return None
        speed = speed[0]
    signed_kmh = _number(speed) * KMH[unit]
    if signed_kmh == 0:
        return None
    if abs(signed_kmh) > FASTEST_KMH:
        raise UnreadableError(f"a speed above {FASTEST_KMH:g} km/h")
    direction = _direction(heading) or ("in" if signed_kmh > 0 else "out")
    length_m = None if length in (None, "") else _number(length)
    return Report(abs(signed_kmh), direction, length_m)


def _number(found: object) -> float:
    """Read a number, or a text that is one."""
    text = str(found) if isinstance(found, int | float) and not isinstance(found, bool) else found
    if not isinstance(text, str) or not _NUMBER.match(text.strip()):
        raise UnreadableError("a speed or length that is no number")
    return float(text)


def _direction(heading: object) -> Direction | None:
    words = str(heading).lower() if heading else ""
    if words.startswith(("in", "approach", "toward")):
        return "in"
    return "out" if words.startswith(("out", "reced", "away")) else None
