"""What a profile says of a value that stands in JSON, and its check at the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from base.errors import ConfigError
from edge.json_values import paths, units
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from base.strict_yaml import Document, Path_
    from wire.profile import Parameter


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where one value stands in JSON, and what it means.

    value = (given * scale * multiply_by / divide_by + add), converted from `unit`, + offset
    """

    path: str
    """`battery`, `sensors[0].value`, `registers[unit=Wh].last`: see edge/json_values/paths.py."""
    unit: str | None = None
    """In which it stands there; the quantity's own unless set."""
    scale: float = 1.0
    multiply_by: str | None = None
    """A parameter, such as the ratio of a current transformer."""
    divide_by: str | None = None
    """A parameter, such as pulses per unit."""
    add: str | None = None
    """A parameter in that unit, such as the height at which a level sensor hangs."""
    offset: float = 0.0
    states: dict[str, float] = {}
    """What words mean: `{open: 1, closed: 0}`; `true` and `false` need none."""
    above: float | None = None
    """Of a state: it is 1 where the number is greater than this, else 0."""
    no_value: list[float | str] = []
    """Numbers and words that mean that there is no value."""


def check_values(
    document: Document,
    at: Path_,
    values: Mapping[str, Value],
    readings: Iterable[str],
    parameters: Mapping[str, Parameter],
) -> None:
    """Check a mapping against the readings and parameters of a profile.

    Raises: ConfigError at the line that is wrong.
    """
    known = set(readings)
    for name, value in values.items():
        if name not in known:
            found = f"the reading {name!r}"
            raise ConfigError(document.key_at(*at, name), found, "one of those listed under 'readings'")
        _check_value(document, (*at, name), name.partition("/")[0], value)
        for key, parameter in (("multiply_by", value.multiply_by), ("divide_by", value.divide_by), ("add", value.add)):
            if parameter is None:
                continue
            if parameter not in parameters:
                raise document.error((*at, name, key), repr(parameter), "a parameter declared under 'parameters'")
            declared = parameters[parameter]
            if key == "divide_by" and declared.minimum <= 0 <= declared.maximum:
                raise document.error((*at, name, key), f"{parameter!r}, which may be 0", "bounds without 0")


def _check_value(document: Document, at: Path_, quantity: str, value: Value) -> None:
    row = quantities()[quantity]
    if paths.parse(value.path) is None:
        raise document.error((*at, "path"), repr(value.path), "names joined by dots, such as 'sensors[0].value'")
    if units.conversion(value.unit, row.unit) is None:
        known = ", ".join(units.known(row.unit))
        raise document.error((*at, "unit"), repr(value.unit), f"a unit that {quantity!r} can be made of: {known}")
    if value.scale == 0:
        raise document.error((*at, "scale"), "0", "a factor that leaves something of the value")
    for key in ("states", "above"):
        if getattr(value, key) not in ({}, None) and row.kind != "state":
            raise document.error((*at, key), f"{key!r} of a {row.kind}", "it with states only")
    for text, state in value.states.items():
        if state not in (0, 1):
            raise document.error((*at, "states", text), f"{state:g}", "0 or 1")
