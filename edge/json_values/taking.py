"""Takes readings out of JSON, as a checked profile says. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from edge.json_values import paths, units
from edge.plausibility.encoding import shortest
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge.json_values.value import Value

_NUMBER = re.compile(r"^\s*[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?\s*\Z")
_KINDS = {bool: "true or false", list: "a list", dict: "a mapping"}


class Taken(NamedTuple):
    """All that was measured at one time."""

    at_ms: int | None
    """The device's own time (Unix, ms); None: when the message came."""
    readings: tuple[Reading, ...]
    without_value: tuple[str, ...] = ()
    """Names of the readings for which the device says that it has no value."""


@dataclass(frozen=True)
class Field:
    """One reading, ready to be taken out of JSON."""

    template: Reading
    take: Callable[[Any], Any]
    """Returns a number, None (no value) or MISSING.

    Raises: ValueError, in words, for what cannot be that reading.
    """


def fields_of(values: Mapping[str, Value], parameters: Mapping[str, float]) -> tuple[Field, ...]:
    """Compile a mapping that was checked."""
    return tuple(_field(name, value, parameters) for name, value in values.items())


def taken_of(fields: tuple[Field, ...], data: Any, at_ms: int | None, faults: list[str]) -> Taken:  # noqa: ANN401 - JSON
    """Take readings out of what JSON holds; what cannot be one is said in `faults`."""
    readings, without = [], []
    for each in fields:
        template = each.template
        try:
            value = each.take(data)
        except ValueError as error:
            faults.append(f"{template.name}: {error}")
            continue
        if value is None:
            without.append(template.name)
        elif value is not paths.MISSING:
            readings.append(Reading(template.quantity, value, template.unit, template.channel))
    return Taken(at_ms, tuple(readings), tuple(without))


def _field(name: str, value: Value, parameters: Mapping[str, float]) -> Field:
    quantity, _, channel = name.partition("/")
    row = quantities()[quantity]
    find, unit = paths.parse(value.path), units.conversion(value.unit, row.unit)
    assert find is not None  # noqa: S101 - checked with the profile
    assert unit is not None  # noqa: S101 - likewise
    nothing = {paths.word(each) for each in value.no_value}
    factor = value.scale * (parameters[value.multiply_by] if value.multiply_by else 1.0)
    divisor = parameters[value.divide_by] if value.divide_by else 1.0
    added = parameters[value.add] if value.add else 0.0

    def take(data: Any) -> Any:  # noqa: ANN401 - values of JSON in, a number or MISSING out
        given = find(data)
        if given is paths.MISSING:
            return given
        if given is None or paths.word(given) in nothing:
            return None
        if row.kind == "state":
            return _state(given, value)
        number = (_number(given) * factor / divisor + added) * unit.factor + unit.offset + value.offset
        return shortest(_finite(number))

    return Field(Reading(quantity, 0.0, row.unit, channel), take)


def _state(given: object, value: Value) -> float:
    """Make 0 or 1 of what stands for a state."""
    known = value.states.get(paths.word(given)) if not isinstance(given, dict | list) else None
    if known is not None:
        return known
    if isinstance(given, bool):
        return float(given)
    if value.above is not None:
        return float(_number(given) > value.above)
    if value.states or isinstance(given, str):
        raise ValueError(f"{str(given)[:40]!r}, which the profile does not know")
    return _number(given)


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise ValueError(f"{_KINDS[type(given)]}, where a number should be")  # noqa: TRY004 - it is data
    if isinstance(given, str) and not (len(given) <= 40 and _NUMBER.match(given)):
        raise ValueError(f"{given[:40]!r}, which is no number")
    try:
        return _finite(float(given))
    except OverflowError as error:
        raise ValueError("a number too large") from error


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("a number too large")
    return number
