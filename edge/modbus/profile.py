"""Profiles of Modbus devices: their protocol half lists registers, or says which SunSpec models to look for."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from base.errors import PermanentError
from edge import planning
from edge.modbus.model import SearchError
from edge.modbus.register_map import RegisterProfile
from wire import profile as public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from base.strict_yaml import Document
    from edge.modbus.model import Compiled, Model, Registers
    from edge.modbus.sunspec.profile import SunSpecProfile
    from wire.readings import Reading

ModbusProfile: TypeAlias = "RegisterProfile | SunSpecProfile"


@cache
def load(name: str) -> ModbusProfile:
    """Read and check a profile, once for each process.

    Raises: ConfigError at the line that is wrong.
    """
    document = planning.load_document(name, "modbus")
    profile = document.convert(_kind(document))
    public.check(document, profile, name)
    profile.check(document)
    return profile


def _kind(document: Document) -> type[ModbusProfile]:
    if document.lookup(("modbus", "sunspec")) is None:
        return RegisterProfile
    from edge.modbus.sunspec.profile import SunSpecProfile  # noqa: PLC0415 - for the few devices that have it

    return SunSpecProfile


def compile_model(profile: ModbusProfile, parameters: Mapping[str, float]) -> Compiled:
    """Compile a profile for devices with these parameters (all declared ones, checked).

    What is compiled never changes, and devices of one kind share it: a hundred meters cost the memory of one.
    """
    return _compiled(profile, tuple(sorted(parameters.items())))


@lru_cache(1024)
def _compiled(profile: ModbusProfile, parameters: tuple[tuple[str, float], ...]) -> Compiled:
    return profile.compile(dict(parameters))


class Decoded(NamedTuple):
    """What a dump of registers means."""

    readings: tuple[Reading, ...]
    without_value: tuple[str, ...]
    """Names of the readings for which the device says that it has no value."""
    missing: dict[str, str]
    """Names of the readings that the dump lacks registers for, with the first that it lacks, in words."""


def decode_dump(compiled: Compiled, registers: Registers) -> Decoded:
    """Turn a dump, whole or in part, into readings.

    Raises: PermanentError where the device is not what its profile says.
    """
    model = locate_in(compiled, registers)
    values = model.values(registers)
    return Decoded(model.readings(values), model.without_value(values), model.missing(registers))


def locate_in(compiled: Compiled, registers: Registers) -> Model:
    """Locate a device's model in a dump of its registers.

    Raises: PermanentError where the device is not what its profile says.
    """
    search = compiled.locate()
    try:
        request = next(search)
        while True:
            keys = [(request.function_code, address) for address in range(request.address, request.end)]
            is_there = all(key in registers for key in keys)
            request = search.send([registers[key] for key in keys] if is_there else None)
    except StopIteration as found:
        model: Model = found.value
        return model
    except SearchError as error:
        raise PermanentError(f"the dump has {error}") from error


__all__ = ["Decoded", "ModbusProfile", "compile_model", "decode_dump", "load", "locate_in"]
