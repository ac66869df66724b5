"""The protocol half of a profile: where a model keeps its values, and what they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec

from base.errors import ConfigError, PermanentError
from edge.modbus.config import SerialSettings
from edge.modbus.registers import Order, Request, Type, bit_field, coalesce, number, scaled, text, tidy, width
from wire import profile as public
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from base.strict_yaml import Document, Path_

Address: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65535)]
FunctionCode: TypeAlias = Literal[1, 2, 3, 4]
Registers: TypeAlias = "Mapping[tuple[int, int], int]"
"""What was read: (function code, address) -> 16-bit word, or 0 and 1 for codes 1 and 2."""


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


class ModbusHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the Modbus driver must know of a model."""

    function_code: FunctionCode
    word_order: Order = "big"
    byte_order: Order = "big"
    max_registers: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125
    """Most registers in one request."""
    max_gap: Annotated[int, msgspec.Meta(ge=0, le=124)] = 0
    """Most registers that nobody asked for, read over to save a request; 0 where the model may refuse them."""
    turnaround_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.0
    """What the model needs after an answer before it hears the next request, beyond the 3.5 characters of the norm."""
    settings: SerialSettings = SerialSettings()
    registers: dict[str, Register]
    """By the name of the reading."""
    computed: dict[str, Computed] = {}
    identity: dict[str, Text] = {}


class ModbusProfile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of a Modbus device."""

    modbus: ModbusHalf


@dataclass(frozen=True)
class Field:
    """One value, ready to be taken out of registers."""

    name: str
    spans: tuple[Request, ...]
    """The registers it needs."""
    decode: Callable[[Registers], float | None]


@dataclass(frozen=True)
class Model:
    """A profile compiled for one device: which requests to make, and what their answers mean."""

    profile: ModbusProfile
    fields: tuple[Field, ...]
    templates: dict[str, Reading]

    def spans(self) -> list[Request]:
        """Return the registers of each value, in the order of their addresses."""
        spans = {span for field in self.fields for span in field.spans}
        return sorted(spans, key=lambda span: (span.function_code, span.address, span.count))

    def requests(self) -> list[Request]:
        """Return the fewest requests for all values."""
        half = self.profile.modbus
        return coalesce(self.spans(), half.max_registers, half.max_gap)

    def decode(self, registers: Registers) -> tuple[Reading, ...]:
        """Turn registers into readings; one that holds no value, or was not read, is left out."""
        values: dict[str, float] = {}
        for field in self.fields:
            try:
                value = field.decode(registers)
            except KeyError:  # not read: the device does not have it
                continue
            if value is not None:
                values[field.name] = value
        for name, computed in self.profile.modbus.computed.items():
            parts = [values[part] for part in computed.sum if part in values]
            if len(parts) == len(computed.sum):
                values[name] = float(f"{math.fsum(parts):.12g}")
        return tuple(
            msgspec.structs.replace(self.templates[name], value=values[name])
            for name in self.profile.readings
            if name in values
        )

    def missing(self, registers: Registers) -> list[str]:
        """Return what a dump lacks for a whole decode, in words."""
        return [
            f"{field.name}: {span}"
            for field in self.fields
            for span in field.spans
            if any((span.function_code, address) not in registers for address in range(span.address, span.end))
        ]

    def identity(self) -> dict[str, Request]:
        """Return what to read to learn what the device is."""
        half = self.profile.modbus
        return {
            name: Request(entry.function_code or half.function_code, entry.address, entry.length)
            for name, entry in half.identity.items()
        }


def load(name: str) -> ModbusProfile:
    """Read and check a profile.

    Raises: ConfigError at the line that is wrong.
    """
    document = public.load_document(name)
    shown = document.convert(public.Profile)
    if shown.driver != "modbus":
        raise document.error(("driver",), repr(shown.driver), "'modbus'")
    profile = document.convert(ModbusProfile)
    public.check(document, profile, name)
    _check(document, profile)
    return profile


def _check(document: Document, profile: ModbusProfile) -> None:
    half = profile.modbus
    sources = half.registers.keys() | half.computed.keys()
    for name, register in half.registers.items():
        at = ("modbus", "registers", name)
        _check_name(document, at, profile, half.computed, name)
        _check_register(document, at, profile, register)
    for name, computed in half.computed.items():
        at = ("modbus", "computed", name)
        _check_name(document, at, profile, half.registers, name)
        for index, part in enumerate(computed.sum):
            if part not in half.registers:
                raise document.error((*at, "sum", index), repr(part), "a reading under 'registers'")
    for index, name in enumerate(profile.readings):
        if name not in sources:
            raise document.error(("readings", index), f"{name!r} without a register", "a row in 'modbus: registers:'")


def _check_name(
    document: Document, at: Path_, profile: ModbusProfile, elsewhere: Mapping[str, object], name: str
) -> None:
    if name not in profile.readings:
        raise ConfigError(document.key_at(*at), f"the reading {name!r}", "one of those listed under 'readings'")
    if name in elsewhere:
        raise ConfigError(document.key_at(*at), f"{name!r} both as register and computed", "one of them")


def _check_register(document: Document, at: Path_, profile: ModbusProfile, register: Register) -> None:
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
    for key, parameter in (("multiply_by", register.multiply_by), ("divide_by", register.divide_by)):
        if parameter is not None and parameter not in profile.parameters:
            raise document.error((*at, key), repr(parameter), "a parameter declared under 'parameters'")


def compile_model(profile: ModbusProfile, parameters: Mapping[str, float]) -> Model:
    """Compile a profile for a device with these parameters (all declared ones, checked)."""
    half = profile.modbus
    fields = tuple(_field(name, register, half, parameters) for name, register in half.registers.items())
    templates = {}
    for name in profile.readings:
        quantity, _, channel = name.partition("/")
        templates[name] = Reading(quantity, 0.0, quantities()[quantity].unit, channel)
    return Model(profile, fields, templates)


def _field(name: str, register: Register, half: ModbusHalf, parameters: Mapping[str, float]) -> Field:
    code = register.function_code or half.function_code
    span = Request(code, register.address, width(register.type))
    keys = [(code, address) for address in range(span.address, span.end)]
    raw = number(
        register.type,
        word_order=register.word_order or half.word_order,
        byte_order=register.byte_order or half.byte_order,
        no_value=register.no_value,
    )
    extract = bit_field(register.bits[0], register.bits[1]) if register.bits else None
    factor = parameters[register.multiply_by] if register.multiply_by else 1.0
    divisor = parameters[register.divide_by] if register.divide_by else 1.0
    exponent = _exponent(code, register.scale_register)
    as_it_stands = exponent is None and (register.scale, factor, divisor, register.offset) == (1.0, 1.0, 1.0, 0.0)

    def decode(registers: Registers) -> float | None:
        value = raw([registers[key] for key in keys])
        if extract is not None:
            value = extract(value)
        if value is None:
            return None
        if exponent is not None:
            power = exponent(registers)
            if power is None:
                return None
            value = value * 10**power if power >= 0 else value / 10**-power
        if as_it_stands:
            return value
        value = scaled(value, register.scale) * factor / divisor + register.offset
        return tidy(value) if math.isfinite(value) else None

    spans = (span,) if register.scale_register is None else (span, Request(code, register.scale_register, 1))
    return Field(name, spans, decode)


def _exponent(code: int, address: int | None) -> Callable[[Registers], int | None] | None:
    """Build the function that reads a scale factor: a power of ten from -10 to 10, or "not implemented" (0x8000)."""
    if address is None:
        return None

    def read(registers: Registers) -> int | None:
        word = registers[code, address]
        power = word - 65536 if word >= 32768 else word
        return power if -10 <= power <= 10 else None

    return read


def decode_dump(model: Model, registers: Registers) -> tuple[Reading, ...]:
    """Turn a whole dump into readings.

    Raises: PermanentError where it lacks registers that the profile needs.
    """
    missing = model.missing(registers)
    if missing:
        raise PermanentError(f"the dump lacks {len(missing)} of the profile's values, first {missing[0]}")
    return model.decode(registers)


__all__ = ["ModbusProfile", "Model", "Registers", "compile_model", "decode_dump", "load", "text"]
