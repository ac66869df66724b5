"""Which record of a telegram is which reading: the protocol half that wired and radio meters have in common."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from base.errors import ConfigError
from edge.mbus import units
from edge.mbus.records import Function, Record, unsigned_value
from edge.plausibility.encoding import shortest
from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from base.strict_yaml import Document, Path_
    from wire.profile import Profile


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Which record of a telegram a reading is."""

    record: str
    """What it measures, as `messnetz device decode mbus` names it: `energy`, `flow_temperature`."""
    function: Function = "instantaneous"
    storage: Annotated[int, msgspec.Meta(ge=0)] = 0
    """0 is now; others are stored values, such as those of a key date."""
    tariff: Annotated[int, msgspec.Meta(ge=0)] = 0
    """0 is the total."""
    subunit: Annotated[int, msgspec.Meta(ge=0)] = 0
    qualifiers: list[str] = []
    """Exactly these extensions, such as `L1` or `backward`."""
    unit: str | None = None
    """The record's unit, where there are two that differ in nothing else."""
    index: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of records that differ in nothing, which one; 0 is the first in the telegram."""
    taken_as: str | None = None
    """The unit that the record truly has, where the meter sends none or another."""
    scale: float = 1.0
    """What the value must be multiplied by, where the meter's own power of ten is wrong."""
    unsigned: bool = False
    """Whether the meter counts into the top bit of a binary integer."""
    multiply_by: str | None = None
    """A parameter, such as a transformer's ratio."""
    divide_by: str | None = None
    """A parameter, such as pulses per unit."""

    def finds(self, record: Record) -> bool:
        """Whether a record is one of those meant, whatever its place among them."""
        return (
            record.quantity == self.record
            and record.function == self.function
            and (record.storage, record.tariff, record.subunit) == (self.storage, self.tariff, self.subunit)
            and list(record.qualifiers) == self.qualifiers
            and (self.unit is None or record.unit == self.unit)
        )


class Mapped(NamedTuple):
    """What a telegram says in the town's words."""

    readings: tuple[Reading, ...]
    without_value: tuple[str, ...]
    """Names of the readings for which the meter says that it has no value."""
    missing: tuple[str, ...]
    """Names of the readings whose record the telegram lacks."""


class Readings(NamedTuple):
    """The records of one kind of device, with its parameters."""

    templates: Mapping[str, Reading]
    selectors: Mapping[str, tuple[Selector, ...]]
    parameters: Mapping[str, float]

    def apply(self, records: Sequence[Record]) -> Mapped:
        """Take the readings out of records, in the profile's order."""
        readings: list[Reading] = []
        without_value: list[str] = []
        missing: list[str] = []
        for name, template in self.templates.items():
            found = self._find(name, records)
            if found is None:
                missing.append(name)
                continue
            value = self._value(*found, template.unit)
            if value is None:
                without_value.append(name)
            else:
                readings.append(Reading(template.quantity, value, template.unit, template.channel))
        return Mapped(tuple(readings), tuple(without_value), tuple(missing))

    def _find(self, name: str, records: Sequence[Record]) -> tuple[Selector, Record] | None:
        for selector in self.selectors[name]:
            unit = self.templates[name].unit
            alike = [
                record
                for record in records
                if selector.finds(record) and units.can_convert(selector.taken_as or record.unit, unit)
            ]
            if selector.index < len(alike):
                return selector, alike[selector.index]
        return None

    def _value(self, selector: Selector, record: Record, unit: str) -> float | None:
        value = unsigned_value(record) if selector.unsigned else record.value
        if value is None or isinstance(value, str):
            return None
        value = value * selector.scale if selector.scale != 1.0 else value
        if selector.multiply_by:
            value *= self.parameters[selector.multiply_by]
        if selector.divide_by:
            value /= self.parameters[selector.divide_by]
        converted = units.convert(value, selector.taken_as or record.unit, unit)
        return shortest(converted) if converted is not None and math.isfinite(converted) else None


def check(document: Document, path: Path_, profile: Profile, rows: Mapping[str, Selector | list[Selector]]) -> None:
    """Check the records of a protocol half against its public half.

    Raises: ConfigError at the line that is wrong.
    """
    for name, row in rows.items():
        if name not in profile.readings:
            expected = "one of those listed under 'readings'"
            raise ConfigError(document.key_at(*path, name), f"the reading {name!r}", expected)
        if isinstance(row, list) and not row:
            raise document.error((*path, name), "no record", "one at least")
        for index, selector in enumerate(row if isinstance(row, list) else [row]):
            at = (*path, name, index) if isinstance(row, list) else (*path, name)
            _check_selector(document, at, profile, name, selector)
    for index, name in enumerate(profile.readings):
        if name not in rows:
            raise document.error(("readings", index), f"{name!r} without a record", f"a row in '{path[0]}: records:'")


def _check_selector(document: Document, at: Path_, profile: Profile, name: str, selector: Selector) -> None:
    unit = quantities()[name.partition("/")[0]].unit
    if selector.taken_as is not None and not units.can_convert(selector.taken_as, unit):
        raise document.error((*at, "taken_as"), repr(selector.taken_as), f"a unit that can become {unit}")
    if selector.scale == 0 or not math.isfinite(selector.scale):
        raise document.error((*at, "scale"), f"{selector.scale:g}", "a factor that leaves something of the value")
    for key in ("multiply_by", "divide_by"):
        parameter = getattr(selector, key)
        if parameter is not None and parameter not in profile.parameters:
            raise document.error((*at, key), repr(parameter), "a parameter declared under 'parameters'")
    divisor = profile.parameters.get(selector.divide_by or "")
    if divisor is not None and divisor.minimum <= 0 <= divisor.maximum:
        raise document.error((*at, "divide_by"), f"{selector.divide_by!r}, which may be 0", "bounds without 0")


def compiled(
    profile: Profile, rows: Mapping[str, Selector | list[Selector]], parameters: Mapping[str, float]
) -> Readings:
    """Compile the checked records of a profile for a device with these parameters."""
    parts = [(name, *name.partition("/")[::2]) for name in profile.readings]
    templates = {
        name: Reading(quantity, 0.0, quantities()[quantity].unit, channel) for name, quantity, channel in parts
    }
    selectors = {name: tuple(row) if isinstance(row, list) else (row,) for name, row in rows.items()}
    return Readings(templates, selectors, parameters)
