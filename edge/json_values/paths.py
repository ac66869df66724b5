"""Where a value stands in JSON: `battery`, `sensors[0].value`, `registers[unit=Wh,valid=true].last`.

Names are joined by dots; a number in brackets counts entries of a list from 0 (from its end where negative);
`key=value` in brackets takes the first entry of a list for which all of these hold; a name that has dots or brackets
itself stands quoted in brackets: `data["a.b"]`. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP = re.compile(
    r"\.?(?P<name>[^.\[\]=,]+)|\[\"(?P<key>[^\"]{1,200})\"\]|\[(?P<index>-?[0-9]{1,4})\]|\[(?P<where>[^\[\]]+)\]"
)
_CONDITION = re.compile(r"^(?P<key>[^=,\[\]]+)=(?P<value>[^=,\[\]]*)\Z")
MAX_STEPS = 12


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""There is nothing at the path: the message does not say it."""
Path: TypeAlias = "Callable[[Any], Any]"


def parse(text: str) -> Path | None:
    """Read a path; None where it is none. The function returns the value at it, or MISSING."""
    steps: list[Path] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or (match["name"] and (at == 0) == match[0].startswith(".")):
            return None
        step = _step(match)
        if step is None:
            return None
        steps.append(step)
        at = match.end()
    if not 0 < len(steps) <= MAX_STEPS:
        return None
    return _walk(steps)


def _step(match: re.Match[str]) -> Path | None:
    if match["name"] or match["key"]:
        return _named(match["name"] or match["key"])
    if match["index"]:
        return _indexed(int(match["index"]))
    conditions = [_CONDITION.match(part.strip()) for part in match["where"].split(",")]
    found = {condition["key"]: condition["value"] for condition in conditions if condition is not None}
    return _chosen(found) if None not in conditions else None


def _walk(steps: list[Path]) -> Path:
    def walk(value: Any) -> Any:  # noqa: ANN401 - values of JSON
        for step in steps:
            value = step(value)
            if value is MISSING:
                return MISSING
        return value

    return walk


def _named(name: str) -> Path:
    return lambda value: value.get(name, MISSING) if isinstance(value, dict) else MISSING


def _indexed(index: int) -> Path:
    def indexed(value: Any) -> Any:  # noqa: ANN401 - values of JSON
        is_there = isinstance(value, list) and -len(value) <= index < len(value)
        return value[index] if is_there else MISSING

    return indexed


def _chosen(conditions: dict[str, str]) -> Path:
    def chosen(value: Any) -> Any:  # noqa: ANN401 - values of JSON
        for entry in value if isinstance(value, list) else ():
            if isinstance(entry, dict) and all(word(entry.get(key)) == wanted for key, wanted in conditions.items()):
                return entry
        return MISSING

    return chosen


def word(value: object) -> str:
    """Write a value as a profile does: `true`, `3` (3.0 likewise), `open`; None is `null`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float):
        return str(value)
    return str(int(value)) if value.is_integer() else f"{value:.15g}"
