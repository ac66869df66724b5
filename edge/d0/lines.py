"""The data lines of IEC 62056-21 and of P1, which are the same: a code, and values in brackets.

    1-0:1.8.0*255(00032549.5061662*kWh)      1.8.0(000123.4)      0.0.0( 20000)      1.8.0*01(000100.0)
    0-1:24.2.1(161129200000W)(00981.443*m3)  1-0:99.97.0(3)(0-0:96.7.19)(000104180320W)(0000237126*s)

DSMR 2.2 says gas on two lines: `0-1:24.3.0(121030140000)(00)(60)(1)(0-1:24.2.1)(m3)`, then `(00001.001)`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from edge.obis import Value, decimal, parse, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.obis import Key

_LINE = re.compile(r"^(?P<code>[0-9A-Z.:*&-]{0,24})(?P<groups>(?:\([^()]*\))+)$")
_TIME = re.compile(r"^[0-9]{12}[SW]?$")
MOST_LINES = 1000
PROFILE_OF_GAS = "24.3.0"
NUMBER = ("96.1.0", "0.0.0", "C.1.0", "0.0.9", "96.1.255", "96.1.1")
"""Where meters say their number, the likeliest first."""


class Line(NamedTuple):
    """One line, as it came."""

    code: str
    groups: tuple[str, ...]


class BadLineError(Exception):
    """The text is no data line."""


class Timed(NamedTuple):
    """A value with a time of its own."""

    value: Value
    time: str
    """`YYMMDDhhmmss`, with `S` or `W` (summer, winter) since DSMR 4; empty where it has none."""


class Lines(NamedTuple):
    """The values of a telegram."""

    lines: tuple[Line, ...]
    values: dict[Key, Value]
    timed: dict[Key, Timed]
    """Those among them that were measured at times of their own."""
    number: str
    """The meter's; empty where it says none."""


def read(texts: Iterable[str], *, is_proved: bool = False) -> Lines:
    """Read the lines between the first and the last of a telegram; empty ones are passed over.

    `is_proved`: a checksum says that it came as it was sent, so a line that is none is the maker's, and passed over.

    Raises: BadLineError for one that is none, where nothing proves it.
    """
    lines: list[Line] = []
    for text in texts:
        if not text.strip():
            continue
        match = _LINE.match(text.strip(" \r"))
        if match is None and is_proved:
            continue
        if match is None or len(lines) >= MOST_LINES:
            raise BadLineError(f"a line {text[:40]!r} that is none")
        groups = tuple(match["groups"][1:-1].split(")("))
        if match["code"]:
            lines.append(Line(match["code"], groups))
        elif lines:
            lines[-1] = Line(lines[-1].code, (*lines[-1].groups, *groups))
        elif not is_proved:
            raise BadLineError("a value without a code")
    return _sorted(tuple(lines))


def _sorted(lines: tuple[Line, ...]) -> Lines:
    values: dict[Key, Value] = {}
    timed: dict[Key, Timed] = {}
    numbers: dict[str, str] = {}
    for line in lines:
        key = parse(line.code)
        if key is None:
            continue
        if key[1] in NUMBER and key[0] in ("", "0-0", "1-0"):
            numbers.setdefault(key[1], line.groups[0].strip())
        if key[1] == PROFILE_OF_GAS:
            key, found, time = _gas(line) or (key, None, "")
        else:
            found, time = _value(line)
        if found is not None and key not in values:
            values[key] = found
            if time:
                timed[key] = Timed(found, time)
    number = next((numbers[code] for code in NUMBER if numbers.get(code)), "")
    return Lines(lines, values, timed, number)


def _value(line: Line) -> tuple[Value | None, str]:
    """Return the number of a line, and its own time; a list of numbers is none."""
    groups = line.groups
    if len(groups) == 2 and _TIME.match(groups[0]):
        return _number(groups[1]), groups[0]
    if len(groups) == 1 or (len(groups) == 2 and groups[1].isdigit()):  # a greatest value, and when it was
        return _number(groups[0]), ""
    return None, ""


def _gas(line: Line) -> tuple[Key, Value | None, str] | None:
    if len(line.groups) != 7:
        return None
    time, code, unit, text = line.groups[0], line.groups[4], line.groups[5], line.groups[6]
    key, number = parse(code), decimal(text)
    if key is None or not _TIME.match(time):
        return None
    return key, Value(number, unit_of(unit)) if number is not None else None, time


def _number(text: str) -> Value | None:
    digits, star, unit = text.partition("*")
    number = decimal(digits)
    if number is None or (star and not unit.strip()):
        return None
    return Value(number, unit_of(unit.strip()) if star else "")
