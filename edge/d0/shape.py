"""The shape of a telegram: what stays the same from one to the next, where no checksum proves either.

Meters fill numbers with zeros to a fixed width: a digit that was lost or added, or a line, shows as another shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.d0.lines import Line

Shape: TypeAlias = tuple[tuple[str, ...], ...]


def of(lines: Iterable[Line]) -> Shape:
    """Return the shape of a telegram: its codes, and of each value the unit and the width, where it is a fixed one."""
    return tuple((line.code, *(_group(text) for text in line.groups)) for line in lines)


def _group(text: str) -> str:
    number, star, unit = text.partition("*")
    whole, point, rest = number.partition(".")
    digits = "0" * len(whole) if whole.startswith("0") else "n"
    return f"{digits}{point}{len(rest) if point else ''}{star}{unit}"
