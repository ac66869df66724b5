"""Checks a SunSpec profile at the desk, against its public half and against SunSpec's definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from base.errors import ConfigError
from edge.modbus.sunspec.definitions import definition
from edge.modbus.sunspec.points import TYPES
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from base.strict_yaml import Document, Path_
    from edge.modbus.sunspec.definitions import Definition, Point
    from edge.modbus.sunspec.profile import PointUse, SunSpecProfile

AT = ("modbus", "sunspec")
SCALES = {("Wh", "kWh"): 0.001, ("C", "Cel"): 1.0}
"""From SunSpec's unit to ours, where they differ in name or size."""


def check(document: Document, profile: SunSpecProfile) -> None:
    """Check models, points, units and parameters.

    Raises: ConfigError at the line that is wrong.
    """
    sunspec = profile.modbus.sunspec
    definitions = _definitions(document, profile)
    if sunspec.instance is not None:
        _check_parameter(document, (*AT, "instance"), profile, sunspec.instance)
    for name, use in sunspec.points.items():
        at = (*AT, "points", name)
        if name not in profile.readings:
            raise ConfigError(document.key_at(*at), f"the reading {name!r}", "one of those listed under 'readings'")
        _check_point(document, at, use, name, definitions)
        if use.sign is not None:
            _check_parameter(document, (*at, "sign"), profile, use.sign)
    for index, name in enumerate(profile.readings):
        if name not in sunspec.points:
            expected = "a row in 'modbus: sunspec: points:'"
            raise document.error(("readings", index), f"{name!r} without a point", expected)


def _definitions(document: Document, profile: SunSpecProfile) -> list[Definition]:
    found = []
    for index, model in enumerate(profile.modbus.sunspec.models):
        known = definition(model)
        if known is None:
            raise document.error((*AT, "models", index), str(model), "a model that SunSpec has defined")
        found.append(known)
    return found


def _check_point(document: Document, at: Path_, use: PointUse, name: str, definitions: list[Definition]) -> None:
    points = [known.points[use.point] for known in definitions if use.point in known.points]
    if not points:
        raise document.error((*at, "point"), repr(use.point), "a point of one of the models")
    for point in points:
        if point.type not in TYPES:
            raise document.error((*at, "point"), f"{use.point!r}, a {point.type}", "a point that is a number")
        _check_unit(document, at, use, point, quantities()[name.partition("/")[0]].unit)


def _check_unit(document: Document, at: Path_, use: PointUse, point: Point, unit: str) -> None:
    scale = 1.0 if point.units == unit else SCALES.get((point.units, unit))
    if scale is None:
        raise document.error((*at, "point"), f"{use.point!r} in {point.units or 'no unit'}", f"a point in {unit}")
    if use.scale != scale:
        where = (*at, "scale") if use.scale != 1.0 else at
        raise document.error(where, f"scale {use.scale:g}", f"scale {scale:g}, from {point.units} to {unit}")


def _check_parameter(document: Document, at: Path_, profile: SunSpecProfile, name: str) -> None:
    if name not in profile.parameters:
        raise document.error(at, repr(name), "a parameter declared under 'parameters'")
