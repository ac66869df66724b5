"""The protocol half of a SunSpec device: which models to look for, and which of their points are which reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge.modbus.half import FunctionCode, Half
from edge.modbus.model import Limits, Model, templates
from edge.modbus.registers import Request
from edge.modbus.sunspec import chain, points
from edge.modbus.sunspec.check import check
from edge.modbus.sunspec.definitions import HEADER, definition
from wire import profile as public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from base.strict_yaml import Document
    from edge.modbus.model import Search
    from edge.modbus.sunspec.chain import Block, Found
    from edge.plausibility.encoding import Encoding

IDENTITY = {"manufacturer": "Mn", "model": "Md", "version": "Vr", "serial_number": "SN"}
"""Points of the common model."""
USUAL_ADDRESS = 40070
"""Where a model stands behind the marker and a common model of the usual length."""
WHOLE_BLOCK = 124
"""A model's registers stand side by side, asked for or not: no gap within one is too large to read over."""


class PointUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The point that holds a reading."""

    point: str
    """Its name in SunSpec's model; integer and float models share names. Models that lack it go without."""
    scale: float = 1.0
    """From the point's unit to the quantity's: 0.001 from Wh to kWh."""
    sign: str | None = None
    """A parameter; where it is negative, the value's sign is turned round."""
    magnitude: bool = False
    """Leave out the sign, where makers put the direction of power into a quantity that has none."""


class SunSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to look for on a SunSpec device."""

    models: Annotated[list[int], msgspec.Meta(min_length=1)]
    """Ids of the models that will do; the first in the device's chain is taken."""
    instance: str | None = None
    """A parameter: which of several such models is meant, counted from 1 in the order of the chain."""
    points: dict[str, PointUse]
    """By the name of the reading."""


class SunSpecHalf(Half, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the Modbus driver must know of a SunSpec device."""

    function_code: FunctionCode = 3
    """SunSpec stands in holding registers."""
    sunspec: SunSpec


class SunSpecProfile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """A whole profile of SunSpec devices."""

    modbus: SunSpecHalf

    def check(self, document: Document) -> None:
        """Check the protocol half against the public one and against SunSpec's definitions.

        Raises: ConfigError at the line that is wrong.
        """
        check(document, self)

    def compile(self, parameters: Mapping[str, float]) -> SunSpecDevice:
        """Compile the profile for a device with these parameters (all declared ones, checked)."""
        sunspec = self.modbus.sunspec
        uses = {
            name: points.Use(use.point, use.scale, -1 if use.sign and parameters[use.sign] < 0 else 1, use.magnitude)
            for name, use in sunspec.points.items()
        }
        instance = int(parameters[sunspec.instance]) if sunspec.instance else 1
        return SunSpecDevice(self.modbus, self.readings, uses, instance)

    def encodings(self, _parameters: Mapping[str, float]) -> dict[str, Encoding]:
        """Say nothing: the device itself tells how its values are written, and which of them are none."""
        return {}


@dataclass(frozen=True)
class SunSpecDevice:
    """A SunSpec profile compiled for one device, which is asked where its models are."""

    half: SunSpecHalf
    readings: list[str]
    uses: Mapping[str, points.Use]
    instance: int

    def locate(self) -> Search:
        """Search for the model; the header is its landmark: elsewhere after an update, it is found anew.

        Raises: SearchError where there is no SunSpec, or none of the models.
        """
        code = self.half.function_code
        found = yield from chain.find(code, self.half.sunspec.models, self.instance)
        return self._model(found, code)

    def expected(self) -> list[Model]:
        """Return the models of the profile, as long as SunSpec defines them, behind a common model."""
        code = self.half.function_code
        blocks = (chain.Block(model, USUAL_ADDRESS, _length(model)) for model in self.half.sunspec.models)
        return [self._model(chain.Found(block, None), code) for block in blocks]

    def _model(self, found: Found, code: int) -> Model:
        block = found.block
        known = definition(block.model)
        placed = (
            points.field(name, use, known, block, code) if known is not None else None
            for name, use in self.uses.items()
        )
        return Model(
            templates(self.readings),
            tuple(field for field in placed if field is not None),
            Limits(self.half.max_registers, WHOLE_BLOCK),
            identity=_identity(found.common, code),
            landmarks={(code, block.address): block.model, (code, block.address + 1): block.length},
            lists_all=True,  # a model of three phases serves devices of one, too
        )


def _length(model: int) -> int:
    known = definition(model)
    return 0 if known is None else max(map(known.end, known.points)) - HEADER


def _identity(common: Block | None, code: int) -> dict[str, Request]:
    known = definition(chain.COMMON)
    if common is None or known is None:
        return {}
    return {
        name: Request(code, common.address + known.offsets[point], known.points[point].size)
        for name, point in IDENTITY.items()
        if known.end(point) <= common.size
    }
