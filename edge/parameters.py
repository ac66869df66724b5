"""Parameters: what a profile leaves to the place where its device is mounted, such as a current transformer's ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wire.profile import Parameter


class ParameterError(Exception):
    """A parameter that is missing, unknown or out of bounds; whoever knows the file turns it into a ConfigError."""

    def __init__(self, name: str, found: str, expected: str) -> None:
        super().__init__(f"{found}; expected {expected}")
        self.name = name
        self.found = found
        self.expected = expected


def check(given: Mapping[str, float], declared: Mapping[str, Parameter]) -> dict[str, float]:
    """Return a value for every declared parameter: the given one, or its default.

    Raises: ParameterError for one that is missing, unknown, or out of its bounds.
    """
    for name in given:
        if name not in declared:
            expected = f"one of: {', '.join(declared)}" if declared else "none: this profile has no parameters"
            raise ParameterError(name, f"the unknown parameter {name!r}", expected)
    return {name: _value(name, given.get(name), parameter) for name, parameter in declared.items()}


def _value(name: str, value: float | None, parameter: Parameter) -> float:
    if value is None:
        if parameter.default is None:
            what = f"{parameter.label.en}, in {parameter.unit}" if parameter.unit else parameter.label.en
            raise ParameterError(name, f"no parameter {name!r}", f"a number ({what})")
        return parameter.default
    if not parameter.fits(value):
        raise ParameterError(name, f"{value:g}", parameter.expected())
    return value
