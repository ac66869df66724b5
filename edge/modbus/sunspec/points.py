"""From a SunSpec point to a value.

A point that is not implemented holds its type's sentinel, and so does one whose value is not known now: no value,
never 0. Source: pysunspec2 1.3.7, mb.py, SUNS_UNIMPL_*.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from edge.modbus.model import Field
from edge.modbus.registers import Request, Type, number, power_of_ten

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.modbus.model import Registers
    from edge.modbus.sunspec.chain import Block
    from edge.modbus.sunspec.definitions import Definition

TYPES: dict[str, tuple[Type, int | None]] = {
    "int16": ("int16", 0x8000),
    "uint16": ("uint16", 0xFFFF),
    "acc16": ("uint16", 0),
    "enum16": ("uint16", 0xFFFF),
    "bitfield16": ("uint16", 0xFFFF),
    "int32": ("int32", 0x80000000),
    "uint32": ("uint32", 0xFFFFFFFF),
    "acc32": ("uint32", 0),
    "enum32": ("uint32", 0xFFFFFFFF),
    "bitfield32": ("uint32", 0xFFFFFFFF),
    "int64": ("int64", 0x8000000000000000),
    "uint64": ("uint64", 0xFFFFFFFFFFFFFFFF),
    "acc64": ("uint64", 0),
    "float32": ("float32", None),
    "float64": ("float64", None),
}
"""Types that are numbers, and the bit pattern that means "no value"; a float has NaN for that."""


class Use(NamedTuple):
    """What becomes of a point's value: (magnitude of) value * scale * sign."""

    point: str
    scale: float
    sign: int
    magnitude: bool


def field(name: str, use: Use, definition: Definition, block: Block, code: int) -> Field | None:
    """Place a point on a device; None where its model has no such point, or the block ends before it."""
    span = _span(use.point, definition, block, code)
    if span is None:
        return None
    factor = definition.points[use.point].sf
    factor_span = _span(factor, definition, block, code) if isinstance(factor, str) else None
    if isinstance(factor, str) and factor_span is None:
        return None
    kind, no_value = TYPES[definition.points[use.point].type]
    raw = number(kind, no_value=() if no_value is None else (no_value,))
    power = _power(factor_span, factor if isinstance(factor, int) else 0)

    def decode(registers: Registers) -> float | None:
        value = raw([registers[code, address] for address in range(span.address, span.end)])
        exponent = power(registers)
        if value is None or exponent is None:
            return None
        return _scaled(value, exponent, use)

    return Field(name, (span,) if factor_span is None else (span, factor_span), decode)


def _span(point: str, definition: Definition, block: Block, code: int) -> Request | None:
    if point not in definition.points or definition.end(point) > block.size:
        return None
    span = Request(code, block.address + definition.offsets[point], definition.points[point].size)
    return span if span.end <= 65536 else None


def _power(span: Request | None, fixed: int) -> Callable[[Registers], int | None]:
    """Build the function that finds the power of ten; it may change from reading to reading."""
    if span is None:
        return lambda _: fixed
    key = (span.function_code, span.address)
    return lambda registers: power_of_ten(registers[key])


def _scaled(value: float, power: int, use: Use) -> float | None:
    """Scale in decimals, right to the digit: 12345678 with power -2 and scale 0.001 is 123.45678."""
    scaled = float(Decimal(repr(value)).scaleb(power) * Decimal(repr(use.scale))) * use.sign
    if not math.isfinite(scaled):
        return None
    return abs(scaled) if use.magnitude else scaled + 0.0  # + 0.0: a sign makes 0 no -0
