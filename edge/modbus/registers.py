"""From register words to values, and which registers to ask for. Pure."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

Type: TypeAlias = Literal[
    "bit", "int16", "uint16", "int32", "uint32", "int48", "uint48", "int64", "uint64", "float32", "float64"
]
Order: TypeAlias = Literal["big", "little"]
Words: TypeAlias = "Sequence[int]"

_WIDTHS: dict[Type, int] = {
    "bit": 1,
    "int16": 1,
    "uint16": 1,
    "int32": 2,
    "uint32": 2,
    "int48": 3,
    "uint48": 3,
    "int64": 4,
    "uint64": 4,
    "float32": 2,
    "float64": 4,
}
_FLOATS = {"float32": struct.Struct(">f"), "float64": struct.Struct(">d")}
_FLOAT32 = _FLOATS["float32"]
_MANTISSA_BITS = 24  # of a float32
_LEAST_EXPONENT = -125  # below it a float32 is subnormal


def width(kind: Type) -> int:
    """Return how many 16-bit registers a type fills."""
    return _WIDTHS[kind]


def number(
    kind: Type,
    *,
    word_order: Order = "big",
    byte_order: Order = "big",
    no_value: Collection[int] = (),
    no_value_high: int | None = None,
) -> Callable[[Words], float | None]:
    """Build the function that turns a value's registers into a number, or None where they hold no value.

    No value is NaN, infinity, and whatever the profile lists in `no_value`: the bit pattern, read as an unsigned
    number; or any pattern whose most significant word is `no_value_high`. A float32 that is no whole number becomes
    the shortest decimal that is the same float32: what the maker's firmware meant, and what its display shows, not
    230.10000610351562.
    """
    floating = _FLOATS.get(kind)
    signed = kind.startswith("int")
    nothing = frozenset(no_value)
    no_high = None if no_value_high is None else no_value_high.to_bytes(2, "big")
    pack = struct.Struct(f"{'>' if byte_order == 'big' else '<'}{width(kind)}H").pack
    is_reversed = word_order == "little"
    if floating is _FLOAT32 and not is_reversed and not nothing and no_high is None:
        return _plain_float32(pack)

    def decode(words: Words) -> float | None:
        data = pack(*(reversed(words) if is_reversed else words))
        if nothing and int.from_bytes(data, "big") in nothing:
            return None
        if data[:2] == no_high:
            return None
        if floating is None:
            return int.from_bytes(data, "big", signed=signed)
        value: float = floating.unpack(data)[0]
        if value - value != 0.0:  # NaN or infinity
            return None
        return _shortest(value) if floating is _FLOAT32 else value

    return decode


def _plain_float32(pack: Callable[..., bytes]) -> Callable[[Words], float | None]:
    """Build the decoder of what most meters send, without what it does not need."""
    unpack = _FLOAT32.unpack

    def decode(words: Words) -> float | None:
        value: float = unpack(pack(*words))[0]
        return _shortest(value) if value - value == 0.0 else None

    return decode


def bit_field(first: int, last: int) -> Callable[[float | None], float | None]:
    """Build the function that takes the bits `first` to `last` (0 is the least significant) out of a whole number."""
    mask = (1 << (last - first + 1)) - 1

    def extract(value: float | None) -> float | None:
        return None if value is None else (int(value) >> first) & mask

    return extract


def scaled(value: float, scale: float) -> float:
    """Multiply, exactly where that can be: 2301 with a scale of 0.1 is 230.1 and not 230.10000000000002."""
    if 0 < abs(scale) < 1:
        divisor = round(1 / scale)
        if math.isclose(divisor * scale, 1.0, rel_tol=1e-12):
            return value / divisor
    return value * scale


def power_of_ten(word: int) -> int | None:
    """Read a scale factor register: -10 to 10; None where it is "not implemented" (0x8000), or nonsense."""
    power = word - 65536 if word >= 32768 else word
    return power if -10 <= power <= 10 else None


def raised(value: float, power: int) -> float:
    """Multiply by a power of ten, exactly where that can be: divided by 10, not multiplied by 0.1."""
    return value * 10.0**power if power >= 0 else value / 10.0**-power


def tidy(value: float) -> float:
    """Drop the digits that binary arithmetic added: 12.3456 kW are 12345.6 W and not 12345.599999999999.

    Fifteen digits are what a float64 always keeps.
    """
    return float(f"{value:.15g}")


def text(words: Words) -> str:
    """Read a string, two characters a register, without what fills it up."""
    return struct.pack(f">{len(words)}H", *words).split(b"\0", 1)[0].decode("ascii", errors="replace").strip()


def _powers(exponent: int) -> tuple[float, ...]:
    """Return the powers of ten that leave six to eight significant digits before the point, fewest first.

    For numbers from 2^(exponent-1) to 2^exponent; those that cross a power of ten get one more to try.
    """
    digits = [math.floor(math.log10(math.ldexp(1.0, e))) + 1 for e in (exponent - 1, exponent)]
    return tuple(10.0 ** max(0, places) for places in range(6 - digits[1], 9 - digits[0]))


def _near(exponent: int) -> float:
    """Return half the distance between two float32 from 2^(exponent-1) to 2^exponent."""
    return math.ldexp(0.5, max(exponent, _LEAST_EXPONENT) - _MANTISSA_BITS)


_SCALES = {exponent: (_near(exponent), _powers(exponent)) for exponent in range(-20, 24)}
"""By binary exponent; all these powers are exact, and so is the decimal that dividing by them gives."""


def _shortest(value: float) -> float:
    """Return the shortest decimal that is the same float32; nine digits always suffice. A whole number stays.

    A decimal is the same float32 where it lies nearer than half the distance to the next one. (On the middle itself
    no decimal of up to eight digits can lie, unless it is whole.)
    """
    exponent = math.frexp(value)[1]
    if exponent in _SCALES:
        near, powers = _SCALES[exponent]
        for power in powers:
            candidate = round(value * power) / power
            if -near < candidate - value < near:
                return candidate
    elif not value.is_integer():
        near = _near(exponent)
        for digits in (6, 7, 8):
            candidate = float(f"{value:.{digits}g}")
            if -near < candidate - value < near:
                return candidate
    return value if value.is_integer() else float(f"{value:.9g}")


@dataclass(frozen=True, slots=True)
class Request:
    """One read request by one function code: `count` registers (or bits, for codes 1 and 2) from `address`."""

    function_code: int
    address: int
    count: int

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.address + self.count

    def is_within(self, other: Request) -> bool:
        """Whether another request covers this one."""
        return self.function_code == other.function_code and other.address <= self.address and self.end <= other.end

    def keys(self) -> tuple[tuple[int, int], ...]:
        """Return function code and address of every register of it."""
        return _keys(self.function_code, self.address, self.end)

    def __str__(self) -> str:
        return f"registers {self.address} to {self.end - 1}"


def octets_of(function_code: int, count: int) -> int:
    """Return how many bytes of values a reply carries: words, or eight bits a byte for codes 1 and 2."""
    return (count + 7) // 8 if function_code in (1, 2) else 2 * count


@lru_cache(4096)
def _keys(function_code: int, first: int, end: int) -> tuple[tuple[int, int], ...]:
    return tuple((function_code, address) for address in range(first, end))


def enclosing(spans: Sequence[Request]) -> Request:
    """Return the request that covers spans of one function code."""
    address = min(span.address for span in spans)
    return Request(spans[0].function_code, address, max(span.end for span in spans) - address)


def coalesce(spans: Iterable[Request], max_registers: int, max_gap: int) -> list[Request]:
    """Cover spans by the fewest requests.

    A request never exceeds `max_registers` (unless one span does), reads over at most `max_gap` unwanted
    registers in a row, and never splits a span.
    """
    requests: list[Request] = []
    for span in sorted(set(spans), key=lambda s: (s.function_code, s.address, s.count)):
        if requests:
            last = requests[-1]
            end = max(last.end, span.end)
            if (
                span.function_code == last.function_code
                and span.address - last.end <= max_gap
                and end - last.address <= max_registers
            ):
                requests[-1] = Request(last.function_code, last.address, end - last.address)
                continue
        requests.append(span)
    return requests
