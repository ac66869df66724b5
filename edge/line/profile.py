"""Profiles of sensors that write lines of text."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

from edge import planning
from edge.line.pattern import SKIP, Pattern, PatternError, Words
from edge.stream import LineSettings
from edge.thinning import ThinnedProfile

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_

PatternText: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a text means: number * scale * multiply_by / divide_by + offset + add, in the quantity's unit."""

    of: str | None = None
    """Another reading whose text this one is made of, too: a level from a distance."""
    scale: float = 1.0
    offset: float = 0.0
    multiply_by: str | None = None
    """A parameter; likewise below."""
    divide_by: str | None = None
    add: str | None = None
    no_value: list[str] = []
    """Texts that stand for no value: `---`, or a number such as `5000`, however it is written."""
    states: dict[str, float] = {}
    """Word -> value, where words stand instead of numbers: `{OPEN: 1, CLOSED: 0}`."""


class LineHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the driver must know of a model."""

    lines: Annotated[list[PatternText], msgspec.Meta(min_length=1, max_length=50)]
    """Patterns; the first that fits a line counts. Names in braces are readings."""
    ignores: Annotated[list[PatternText], msgspec.Meta(max_length=50)] = []
    """Patterns of lines without values that are no error."""
    values: dict[str, Value] = {}
    """By reading; a reading without an entry is the number as it stands."""
    decimal_comma: bool = False
    asks: Annotated[str, msgspec.Meta(max_length=100)] = ""
    """Put on the line every `ask_s`, with its end (`"M!\\r\\n"`): for sensors that wait to be asked."""
    ask_s: Annotated[float, msgspec.Meta(ge=0.5, le=3600)] = 10.0
    settings: LineSettings = LineSettings()
    """As the model leaves the factory."""

    @property
    def decimal_mark(self) -> str:
        """What stands before decimals."""
        return "," if self.decimal_comma else "."

    def words(self) -> dict[str, Words]:
        """What may stand for each value, beside a number."""
        return {name: Words(tuple(value.states), tuple(value.no_value)) for name, value in self.values.items()}

    def patterns(self) -> list[Pattern]:
        """Compile the patterns of lines with values."""
        return [Pattern(text, self.words(), self.decimal_mark) for text in self.lines]

    def ignored(self) -> list[Pattern]:
        """Compile the patterns of the others."""
        return [Pattern(text, {}, self.decimal_mark) for text in self.ignores]


class LineProfile(ThinnedProfile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of such a sensor."""

    line: LineHalf


@cache
def load(name: str) -> LineProfile:
    """Read and check a profile.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "line", LineProfile)
    check(document, profile)
    return profile


def check(document: Document, profile: LineProfile) -> None:
    """Check patterns, and that every reading stands in one.

    Raises: ConfigError at the line that is wrong.
    """
    found = _check_lines(document, profile)
    for name, value in profile.line.values.items():
        at = ("line", "values", name)
        if (value.of or name) not in found:
            raise document.error(at, repr(value.of or name), "a reading in one of the lines")
        if name not in profile.readings:
            raise document.error(at, repr(name), "one of those under 'readings'")
        _check_value(document, at, value, profile)
    found.update(name for name, value in profile.line.values.items() if value.of is not None)
    profile.check_sources(document, found, "it in one of 'line: lines'")


def _check_lines(document: Document, profile: LineProfile) -> set[str]:
    """Return the readings that stand in the patterns."""
    half = profile.line
    found: set[str] = set()
    for index, text in enumerate(half.lines):
        at = ("line", "lines", index)
        names = _names(document, at, text, half)
        if not names:
            raise document.error(at, repr(text), "a value in braces, or the line under 'ignores'")
        for name in names:
            if name not in profile.readings:
                raise document.error(at, f"{{{name}}}", "one of those under 'readings'")
        found.update(names)
    for index, text in enumerate(half.ignores):
        if _names(document, ("line", "ignores", index), text, half):
            raise document.error(("line", "ignores", index), repr(text), f"no value in braces but {{{SKIP}}}")
    return found


def _names(document: Document, at: Path_, text: str, half: LineHalf) -> tuple[str, ...]:
    try:
        return Pattern(text, half.words(), half.decimal_mark).names
    except PatternError as error:
        raise document.error(at, str(error), "text with values in braces, such as T={temp_air}") from error


def _check_value(document: Document, at: Path_, value: Value, profile: LineProfile) -> None:
    for key in ("multiply_by", "divide_by", "add"):
        name = getattr(value, key)
        if name is not None and name not in profile.parameters:
            raise document.error((*at, key), repr(name), "a parameter declared under 'parameters'")
    divisor = profile.parameters[value.divide_by] if value.divide_by else None
    if divisor is not None and divisor.minimum <= 0 <= divisor.maximum:
        raise document.error((*at, "divide_by"), f"{value.divide_by!r}, which may be 0", "bounds without 0")
    if value.scale == 0:
        raise document.error((*at, "scale"), "0", "another number: all values would be one")
    if "" in value.no_value or "" in value.states:
        raise document.error(at, "an empty text", "one that stands in the line")
