"""The protocol half of a profile: where a model keeps its values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from base.errors import PermanentError
from edge.modbus.config import SerialSettings
from edge.modbus.registers import Request, Type, WordOrder, coalesce, decoder, width
from wire import profile as public
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from base.strict_yaml import Document

Address = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one value stands and how it is written there."""

    address: Address
    type: Type
    scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """The register's number times this is the value in the quantity's unit."""


class ModbusHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the Modbus driver must know of a model."""

    function_code: Literal[3, 4]
    word_order: WordOrder = "big"
    max_registers: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125
    """Most registers in one request."""
    max_gap: Annotated[int, msgspec.Meta(ge=0, le=124)] = 0
    """Most registers that nobody asked for, read over to save a request; 0 where the model may refuse them."""
    settings: SerialSettings = SerialSettings()
    registers: dict[str, Register]
    """By the name of the reading."""


class ModbusProfile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of a Modbus device."""

    modbus: ModbusHalf


@dataclass(frozen=True)
class Field:
    """One reading, ready to be decoded from the registers at `address`."""

    reading: Reading
    address: int
    count: int
    decode: Callable[[Sequence[int]], float | None]


@dataclass(frozen=True)
class Model:
    """A profile compiled for reading: which requests to make, and what their answers mean."""

    profile: ModbusProfile
    requests: tuple[Request, ...]
    fields: tuple[Field, ...]

    def decode(self, registers: Mapping[int, int]) -> tuple[Reading, ...]:
        """Turn registers (address -> 16-bit word) into readings; one that holds no value (NaN) is left out.

        Raises: PermanentError where a register is missing.
        """
        return tuple(reading for field in self.fields if (reading := _decode(field, registers)) is not None)


def _decode(field: Field, registers: Mapping[int, int]) -> Reading | None:
    try:
        words = [registers[address] for address in range(field.address, field.address + field.count)]
    except KeyError as error:
        raise PermanentError(
            f"{field.reading.name}: register {error.args[0]} (0x{error.args[0]:04X}) is missing"
        ) from error
    value = field.decode(words)
    return None if value is None else msgspec.structs.replace(field.reading, value=value)


@cache
def load(name: str) -> Model:
    """Read, check and compile a profile.

    Raises: ConfigError at the line that is wrong.
    """
    document = public.load_document(name)
    shown = document.convert(public.Profile)
    if shown.driver != "modbus":
        raise document.error(("driver",), repr(shown.driver), "'modbus'")
    for reading in shown.readings:  # one by one: an error in a mapping of structs does not name its key
        at = ("modbus", "registers", reading)
        if document.lookup(at) is not None:
            document.convert(Register, at)
    profile = document.convert(ModbusProfile)
    public.check(document, profile, name)
    _check_registers(document, profile)
    return _compile(profile)


def _check_registers(document: Document, profile: ModbusProfile) -> None:
    half = profile.modbus
    for name, register in half.registers.items():
        at = ("modbus", "registers", name)
        if name not in profile.readings:
            raise document.error(at, f"the reading {name!r}", "one of those listed under 'readings'")
        count = width(register.type)
        if register.address + count > 65536 or count > half.max_registers:
            raise document.error(at, f"{register.type} at {register.address}", "what can be read in one request")
    for index, name in enumerate(profile.readings):
        if name not in half.registers:
            raise document.error(("readings", index), f"{name!r} without a register", "a row in 'modbus: registers:'")


def _compile(profile: ModbusProfile) -> Model:
    half = profile.modbus
    fields = []
    for name in profile.readings:
        register = half.registers[name]
        quantity, _, channel = name.partition("/")
        reading = Reading(quantity, 0.0, quantities()[quantity].unit, channel)
        decode = decoder(register.type, half.word_order, register.scale)
        fields.append(Field(reading, register.address, width(register.type), decode))
    requests = coalesce(((f.address, f.count) for f in fields), half.max_registers, half.max_gap)
    return Model(profile, tuple(requests), tuple(fields))
