"""Where a device keeps its values, and how that is learned. Pure.

A profile compiled for one device is a `Compiled`: it locates the device's `Model`, by asking the device where it
must. A register map knows its model beforehand and asks nothing; SunSpec asks, since every device lays out its
models as it likes. The search is a generator of requests, so it runs over a line and over a dump alike. Whatever
comes after it (`DeviceReader`, `decode_dump`) sees only models.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from edge.modbus.registers import Request, coalesce
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge.modbus.half import Half

Registers: TypeAlias = Mapping[tuple[int, int], int]
"""What was read: (function code, address) -> 16-bit word, or 0 and 1 for codes 1 and 2."""
Search: TypeAlias = "Generator[Request, Sequence[int] | None, Model]"
"""Yields what it wants to read, is sent the words, or None where there are none; returns the model."""


class SearchError(Exception):
    """The device is not what its profile says; whoever knows the device turns it into a PermanentError."""


class Limits(NamedTuple):
    """How requests may be formed."""

    max_registers: int
    max_gap: int


@dataclass(frozen=True)
class Field:
    """One value, ready to be taken out of registers."""

    name: str
    spans: tuple[Request, ...]
    """The registers it needs."""
    decode: Callable[[Registers], float | None]


@dataclass(frozen=True)
class Model:
    """Which requests to make to a device, and what their answers mean."""

    templates: Mapping[str, Reading]
    """All readings that the profile knows, without values, in its order."""
    fields: tuple[Field, ...]
    limits: Limits
    computed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Readings that are sums of others."""
    identity: Mapping[str, Request] = field(default_factory=dict)
    """Texts that tell what the device is."""
    landmarks: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """Words that stand where they stood when the model was located, as long as it is right."""
    lists_all: bool = False
    """Whether it lists more than the device has: then what holds no value is nothing to speak of."""

    def spans(self) -> list[Request]:
        """Return the registers of each value, in the order of their addresses."""
        spans = {span for field in self.fields for span in field.spans}
        spans |= {Request(code, address, 1) for code, address in self.landmarks}
        return sorted(spans, key=lambda span: (span.function_code, span.address, span.count))

    def requests(self) -> list[Request]:
        """Return the fewest requests for all values."""
        return list(self._requests)

    @cached_property
    def _requests(self) -> tuple[Request, ...]:
        """Once for all devices of a kind: they share the model."""
        return tuple(coalesce(self.spans(), *self.limits))

    def identity_requests(self) -> list[Request]:
        """Return the fewest requests for all texts of the identity."""
        return coalesce(self.identity.values(), self.limits.max_registers, 0)

    def holds(self, registers: Registers) -> bool:
        """Whether the device is still laid out as it was when this model was located."""
        return all(registers.get(key) == word for key, word in self.landmarks.items())

    def values(self, registers: Registers) -> dict[str, float | None]:
        """Decode registers, by the names of the readings.

        Returns: None for a reading whose registers hold no value; nothing for one that was not read.
        """
        values: dict[str, float | None] = {}
        for field_ in self.fields:
            try:  # not `suppress`, which costs as much as the decoding
                values[field_.name] = field_.decode(registers)
            except KeyError:  # not read: the device does not have it
                continue
        for name, parts in self.computed.items():
            if all(part in values for part in parts):
                known = [value for part in parts if (value := values[part]) is not None]
                values[name] = float(f"{math.fsum(known):.12g}") if len(known) == len(parts) else None
        return values

    def readings(self, values: Mapping[str, float | None]) -> tuple[Reading, ...]:
        """Turn decoded values into readings, in the profile's order; what has no value is left out."""
        return tuple(
            [  # a list: half the price of a generator
                Reading(template.quantity, value, template.unit, template.channel)
                for name, template in self.templates.items()
                if (value := values.get(name)) is not None
            ]
        )

    def without_value(self, values: Mapping[str, float | None]) -> tuple[str, ...]:
        """Return the names of the readings for which the device says that it has no value."""
        if self.lists_all or None not in values.values():
            return ()
        return tuple(name for name in self.templates if name in values and values[name] is None)

    def missing(self, registers: Registers) -> dict[str, str]:
        """Return the readings that a dump lacks registers for, with the first that is missing, in words."""
        lacking: dict[str, str] = {}
        for field_ in self.fields:
            for span in field_.spans:
                if any(key not in registers for key in span.keys()):  # noqa: SIM118 - a request's, no mapping's
                    lacking.setdefault(field_.name, str(span))
        for name, parts in self.computed.items():
            for part in parts:
                if part in lacking:
                    lacking.setdefault(name, lacking[part])
        return {name: lacking[name] for name in self.templates if name in lacking}


class Compiled(Protocol):
    """A profile compiled for one device."""

    @property
    def half(self) -> Half:
        """How the device is talked to."""

    def locate(self) -> Search:
        """Search for the device's model.

        Raises: SearchError where the device is not what the profile says.
        """

    def expected(self) -> list[Model]:
        """Return the models that the device may turn out to have, for estimates at the desk; one at least."""


def templates(names: Iterable[str]) -> dict[str, Reading]:
    """Return readings without values, by their names."""
    parts = [(name, *name.partition("/")[::2]) for name in names]
    return {name: Reading(quantity, 0.0, quantities()[quantity].unit, channel) for name, quantity, channel in parts}
