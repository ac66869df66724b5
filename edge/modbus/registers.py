"""From register words to values, and which registers to ask for. Pure."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Type: TypeAlias = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
WordOrder: TypeAlias = Literal["big", "little"]

_FORMATS: dict[Type, struct.Struct] = {
    "int16": struct.Struct(">h"),
    "uint16": struct.Struct(">H"),
    "int32": struct.Struct(">i"),
    "uint32": struct.Struct(">I"),
    "int64": struct.Struct(">q"),
    "uint64": struct.Struct(">Q"),
    "float32": struct.Struct(">f"),
    "float64": struct.Struct(">d"),
}
_FLOAT32 = _FORMATS["float32"]


def width(kind: Type) -> int:
    """Return how many 16-bit registers a type fills."""
    return _FORMATS[kind].size // 2


def decoder(kind: Type, word_order: WordOrder, scale: float) -> Callable[[Sequence[int]], float | None]:
    """Build the function that turns a value's registers into the value, None where they hold none (NaN, infinity).

    A float32 that is no whole number becomes the shortest decimal that is the same float32: what the maker's
    firmware meant, and what its display shows, not 230.10000610351562. Where 1/scale is whole, it is divided by, so
    that 2301 with a scale of 0.1 is 230.1 and not 230.10000000000002.
    """
    form = _FORMATS[kind]
    words = struct.Struct(f">{form.size // 2}H")
    reverse = word_order == "little"
    divisor = round(1 / scale)
    divide = divisor > 1 and math.isclose(divisor * scale, 1.0, rel_tol=1e-12)

    def decode(registers: Sequence[int]) -> float | None:
        data = words.pack(*(reversed(registers) if reverse else registers))
        value: float = form.unpack(data)[0]
        if isinstance(value, float):
            if not math.isfinite(value):
                return None
            if form is _FLOAT32:
                value = _shortest(value, data)
        return value / divisor if divide else value * scale

    return decode


def _shortest(value: float, data: bytes) -> float:
    """Return the shortest decimal that is the same float32; nine digits always suffice. A whole number stays."""
    if value.is_integer():
        return value
    for digits in range(6, 9):
        candidate = float(f"{value:.{digits}g}")
        try:
            if _FLOAT32.pack(candidate) == data:
                return candidate
        except OverflowError:  # rounded up beyond the largest float32
            continue
    return float(f"{value:.9g}")


@dataclass(frozen=True, slots=True)
class Request:
    """One read request: `count` registers from `address`."""

    address: int
    count: int


def coalesce(spans: Iterable[tuple[int, int]], max_registers: int, max_gap: int) -> list[Request]:
    """Cover spans of (address, count) by the fewest requests.

    A request never exceeds `max_registers`, reads over at most `max_gap` unwanted registers in a row, and
    never splits a value.
    """
    requests: list[Request] = []
    for address, count in sorted(set(spans)):
        end = address + count
        if requests:
            last = requests[-1]
            last_end = last.address + last.count
            if address - last_end <= max_gap and max(end, last_end) - last.address <= max_registers:
                requests[-1] = Request(last.address, max(end, last_end) - last.address)
                continue
        requests.append(Request(address, count))
    return requests
