"""SunSpec's model definitions, as pysunspec2 brings them; read when they are first needed.

Only its JSON files are used. Its own loader looks into the working directory first, and its decoder takes a value
whose scale factor is "not implemented" as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import msgspec

from base.errors import PermanentError

HEADER = 2
"""Registers of a model's header: id and length. The length counts what is behind it."""


class Point(msgspec.Struct, frozen=True):
    """One point of a model: a value, a scale factor, a text."""

    name: str
    type: str
    size: int
    """In registers."""
    sf: str | int | None = None
    """Its power of ten, or the name of the point that has it."""
    units: str = ""


class _Group(msgspec.Struct, frozen=True):
    points: list[Point]


class _Model(msgspec.Struct, frozen=True):
    group: _Group


@dataclass(frozen=True)
class Definition:
    """One model: its points, and where each of them stands behind the model's address, in registers."""

    points: dict[str, Point]
    offsets: dict[str, int]

    def end(self, point: str) -> int:
        """Offset behind a point, in registers."""
        return self.offsets[point] + self.points[point].size


@cache
def definition(model: int) -> Definition | None:
    """Return the definition of a model; None where SunSpec has none. Points in repeated groups are left out.

    Raises: PermanentError where pysunspec2 is not installed.
    """
    try:
        file = resources.files("sunspec2") / "models" / "json" / f"model_{model}.json"
    except ModuleNotFoundError as error:
        raise PermanentError("SunSpec needs pysunspec2, which messnetz[gateway] brings") from error
    if not file.is_file():
        return None
    points = msgspec.json.decode(file.read_bytes(), type=_Model).group.points
    offsets: dict[str, int] = {}
    offset = 0
    for point in points:
        offsets[point.name] = offset
        offset += point.size
    return Definition({point.name: point for point in points}, offsets)
