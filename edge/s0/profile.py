"""Profiles of meters with a pulse output: what a pulse is worth."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from edge import planning
from edge.plausibility.encoding import Encoding
from wire import profile as public
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from base.strict_yaml import Document


class Worth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A counter's value: pulses * scale * multiply_by / divide_by + start, in the quantity's unit."""

    scale: float = 1.0
    multiply_by: str | None = None
    """A parameter, such as litres per pulse."""
    divide_by: str | None = None
    """A parameter, such as pulses per kWh."""
    start: str | None = None
    """A parameter: what the meter showed when counting began."""


class S0Half(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the driver must know of a meter."""

    values: dict[str, Worth]
    """By reading."""


class S0Profile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of such a meter."""

    s0: S0Half

    def encodings(self, parameters: Mapping[str, float]) -> dict[str, Encoding]:
        """Return what a number of pulses means, by the names of the readings."""
        return {name: _encoding(worth, parameters) for name, worth in self.s0.values.items()}

    def start(self, parameters: Mapping[str, float]) -> float:
        """Return what the meter showed when counting began."""
        return sum(parameters[worth.start] for worth in self.s0.values.values() if worth.start is not None)


def _encoding(worth: Worth, parameters: Mapping[str, float]) -> Encoding:
    factor = worth.scale
    if worth.multiply_by is not None:
        factor *= parameters[worth.multiply_by]
    if worth.divide_by is not None:
        factor /= parameters[worth.divide_by]
    return Encoding("uint64", factor, parameters[worth.start] if worth.start is not None else 0.0)


@cache
def load(name: str) -> S0Profile:
    """Read and check a profile.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "s0", S0Profile)
    check(document, profile)
    return profile


def check(document: Document, profile: S0Profile) -> None:
    """Check that every reading is a counter of pulses.

    Raises: ConfigError at the line that is wrong.
    """
    for index, name in enumerate(profile.readings):
        if name not in profile.s0.values:
            raise document.error(("readings", index), f"{name!r} without a worth", "one under 's0: values'")
        if quantities()[name.partition("/")[0]].kind != "counter":
            raise document.error(("readings", index), repr(name), "a counter: pulses make nothing else")
    for name, worth in profile.s0.values.items():
        at = ("s0", "values", name)
        if name not in profile.readings:
            raise document.error(at, repr(name), "one of those under 'readings'")
        for key in ("multiply_by", "divide_by", "start"):
            parameter = getattr(worth, key)
            if parameter is not None and parameter not in profile.parameters:
                raise document.error((*at, key), repr(parameter), "a parameter declared under 'parameters'")
        if worth.divide_by is not None and profile.parameters[worth.divide_by].minimum <= 0:
            raise document.error((*at, "divide_by"), f"{worth.divide_by!r}, which may be 0", "bounds above 0")
        if worth.scale <= 0:
            raise document.error((*at, "scale"), f"{worth.scale:g}", "a number above 0")
