"""The protocol half of a model whose registers a profile lists: where each value stands, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated

import msgspec

from base.errors import ConfigError
from edge.modbus.half import Address, FunctionCode, Half
from edge.modbus.model import Field, Limits, Model, templates
from edge.modbus.registers import (
    Order,
    Request,
    Type,
    bit_field,
    number,
    power_of_ten,
    raised,
    scaled,
    tidy,
    width,
)
from edge.plausibility.encoding import Encoding
from wire import profile as public

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from base.strict_yaml import Document, Path_
    from edge.modbus.model import Registers, Search


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where one value stands and how it is written there.

    value = raw * 10^scale_register * scale * multiply_by / divide_by + offset
    """

    address: Address
    type: Type
    function_code: FunctionCode | None = None
    """The profile's unless set."""
    word_order: Order | None = None
    byte_order: Order | None = None
    bits: (
        Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=63)]], msgspec.Meta(min_length=2, max_length=2)] | None
    ) = None
    """First and last bit of a bit field; 0 is the least significant."""
    scale: float = 1.0
    scale_register: Address | None = None
    """A register with the exponent of ten (int16), as SunSpec and some makers have it."""
    multiply_by: str | None = None
    """A parameter, such as the ratio of a current transformer."""
    divide_by: str | None = None
    """A parameter, such as pulses per unit."""
    offset: float = 0.0
    no_value: list[Annotated[int, msgspec.Meta(ge=0)]] = []
    """Bit patterns that mean that there is no value, as unsigned numbers."""
    no_value_high: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    """A most significant word that means that there is no value, whatever follows it."""


class Computed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reading made of others, where the device does not keep it itself."""

    sum: Annotated[list[str], msgspec.Meta(min_length=2)]
    """Names of readings; where one has no value, the sum has none."""


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A text that tells what the device is: serial number, firmware."""

    address: Address
    length: Annotated[int, msgspec.Meta(ge=1, le=64)]
    """In registers of two characters."""
    function_code: FunctionCode | None = None


class RegisterHalf(Half, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the Modbus driver must know of a model whose registers are listed."""

    word_order: Order = "big"
    byte_order: Order = "big"
    max_gap: Annotated[int, msgspec.Meta(ge=0, le=124)] = 0
    """Most registers that nobody asked for, read over to save a request; 0 where the model may refuse them."""
    registers: dict[str, Register]
    """By the name of the reading."""
    computed: dict[str, Computed] = msgspec.field(default_factory=dict)
    identity: dict[str, Text] = msgspec.field(default_factory=dict)


class RegisterProfile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """A whole profile of a Modbus device whose registers are listed."""

    modbus: RegisterHalf

    def check(self, document: Document) -> None:
        """Check the protocol half against the public one.

        Raises: ConfigError at the line that is wrong.
        """
        half = self.modbus
        for name, register in half.registers.items():
            at = ("modbus", "registers", name)
            _check_name(document, at, self, half.computed, name)
            _check_register(document, at, self, register)
        for name, computed in half.computed.items():
            at = ("modbus", "computed", name)
            _check_name(document, at, self, half.registers, name)
            for index, part in enumerate(computed.sum):
                if part not in half.registers:
                    raise document.error((*at, "sum", index), repr(part), "a reading under 'registers'")
        for index, name in enumerate(self.readings):
            if name not in half.registers and name not in half.computed:
                expected = "a row in 'modbus: registers:'"
                raise document.error(("readings", index), f"{name!r} without a register", expected)

    def compile(self, parameters: Mapping[str, float]) -> RegisterMap:
        """Compile the profile for a device with these parameters (all declared ones, checked)."""
        half = self.modbus
        identity = {
            name: Request(entry.function_code or half.function_code, entry.address, entry.length)
            for name, entry in half.identity.items()
        }
        model = Model(
            templates(self.readings),
            tuple(_field(name, register, half, parameters) for name, register in half.registers.items()),
            Limits(half.max_registers, half.max_gap),
            {name: entry.sum for name, entry in half.computed.items()},
            identity,
        )
        return RegisterMap(half, model)

    def encodings(self, parameters: Mapping[str, float]) -> dict[str, Encoding]:
        """Say how values are written down, where one register tells it."""
        return {
            name: Encoding(entry.type, entry.scale * _ratio(entry, parameters), entry.offset)
            for name, entry in self.modbus.registers.items()
            if entry.scale_register is None and entry.bits is None
        }


@dataclass(frozen=True)
class RegisterMap:
    """A compiled profile whose registers are listed: there is nothing to search for."""

    half: RegisterHalf
    model: Model

    def locate(self) -> Search:
        """Return the model, without a question to the device."""
        yield from ()
        return self.model

    def expected(self) -> list[Model]:
        """Return the model."""
        return [self.model]


def _check_name(
    document: Document, at: Path_, profile: RegisterProfile, elsewhere: Mapping[str, object], name: str
) -> None:
    if name not in profile.readings:
        raise ConfigError(document.key_at(*at), f"the reading {name!r}", "one of those listed under 'readings'")
    if name in elsewhere:
        raise ConfigError(document.key_at(*at), f"{name!r} both as register and computed", "one of them")


def _check_register(document: Document, at: Path_, profile: RegisterProfile, register: Register) -> None:
    half = profile.modbus
    count = width(register.type)
    code = register.function_code or half.function_code
    if register.address + count > 65536 or count > half.max_registers:
        raise document.error(at, f"{register.type} at {register.address}", "what can be read in one request")
    if (register.type == "bit") != (code in (1, 2)):
        raise document.error((*at, "type"), f"{register.type} with function code {code}", "bits with 1 and 2 alone")
    if register.bits and not (register.bits[0] <= register.bits[1] < 16 * count and "float" not in register.type):
        raise document.error((*at, "bits"), str(register.bits), f"[first, last] within a {register.type}")
    if register.scale == 0:
        raise document.error((*at, "scale"), "0", "a factor that leaves something of the value")
    too_wide = [pattern for pattern in register.no_value if pattern >= 1 << 16 * count]
    if too_wide:
        raise document.error((*at, "no_value"), hex(too_wide[0]), f"a pattern of {16 * count} bits")
    divisor = profile.parameters.get(register.divide_by or "")
    if divisor is not None and divisor.minimum <= 0 <= divisor.maximum:
        raise document.error((*at, "divide_by"), f"{register.divide_by!r}, which may be 0", "bounds without 0")
    for key, parameter in (("multiply_by", register.multiply_by), ("divide_by", register.divide_by)):
        if parameter is not None and parameter not in profile.parameters:
            raise document.error((*at, key), repr(parameter), "a parameter declared under 'parameters'")


def _field(name: str, register: Register, half: RegisterHalf, parameters: Mapping[str, float]) -> Field:
    code = register.function_code or half.function_code
    span = Request(code, register.address, width(register.type))
    take = itemgetter(*span.keys()) if span.count > 1 else _only(span.keys()[0])
    raw = number(
        register.type,
        word_order=register.word_order or half.word_order,
        byte_order=register.byte_order or half.byte_order,
        no_value=register.no_value,
        no_value_high=register.no_value_high,
    )
    extract = bit_field(register.bits[0], register.bits[1]) if register.bits else None
    factor, divisor = _factors(register, parameters)
    exponent = _exponent(code, register.scale_register)

    as_it_stands = exponent is None and (register.scale, factor, divisor, register.offset) == (1.0, 1.0, 1.0, 0.0)

    def plain(registers: Registers) -> float | None:
        return raw(take(registers))

    def decode(registers: Registers) -> float | None:
        value = raw(take(registers))
        if extract is not None:
            value = extract(value)
        if value is None:
            return None
        if exponent is not None:
            power = exponent(registers)
            if power is None:
                return None
            value = raised(value, power)
        value = scaled(value, register.scale) * factor / divisor + register.offset
        return tidy(value) if math.isfinite(value) else None

    spans = (span,) if register.scale_register is None else (span, Request(code, register.scale_register, 1))
    return Field(name, spans, plain if as_it_stands and extract is None else decode)


def _factors(register: Register, parameters: Mapping[str, float]) -> tuple[float, float]:
    factor = parameters[register.multiply_by] if register.multiply_by else 1.0
    return factor, parameters[register.divide_by] if register.divide_by else 1.0


def _ratio(register: Register, parameters: Mapping[str, float]) -> float:
    factor, divisor = _factors(register, parameters)
    return factor / divisor


def _only(key: tuple[int, int]) -> Callable[[Registers], tuple[int]]:
    return lambda registers: (registers[key],)


def _exponent(code: int, address: int | None) -> Callable[[Registers], int | None] | None:
    """Build the function that reads a scale factor out of its register."""
    return None if address is None else lambda registers: power_of_ten(registers[code, address])
