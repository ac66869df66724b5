"""Profiles of meters that send by radio."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from base.errors import ConfigError
from edge import planning
from edge.mbus import mapping, units
from edge.mbus.mapping import Selector
from wire import profile as public
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from base.strict_yaml import Document

_FIELD = re.compile(r"^[a-z0-9_]+_(?P<unit>[a-z0-9]+)\Z")
FIELD_UNITS: dict[str, tuple[str, float]] = {
    "kwh": ("kWh", 1),
    "mj": ("J", 1e6),
    "gj": ("J", 1e9),
    "kvarh": ("kvarh", 1),
    "kvah": ("kVAh", 1),
    "m3": ("m3", 1),
    "l": ("m3", 1e-3),
    "m3h": ("m3/h", 1),
    "lh": ("m3/h", 1e-3),
    "c": ("Cel", 1),
    "f": ("degF", 1),
    "kw": ("W", 1000),
    "w": ("W", 1),
    "kvar": ("var", 1000),
    "kva": ("VA", 1000),
    "v": ("V", 1),
    "a": ("A", 1),
    "hz": ("Hz", 1),
    "h": ("h", 1),
    "s": ("s", 1),
    "rh": ("%RH", 1),
    "bar": ("bar", 1),
    "counter": ("", 1),
}
"""Last part of the name of a field of wmbusmeters -> unit, and factor to it."""


class WmbusHalf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the values of a model are: in its telegrams, and in what a wmbusmeters daemon makes of them."""

    records: dict[str, Selector | list[Selector]]
    """Reading -> its record; of a list the first one that the telegram has."""
    fields: dict[str, str | list[str]] = {}
    """Reading -> the field in the JSON of wmbusmeters, as `total_energy_consumption_kwh`: its end is the unit. Of a
    list the first one that is there."""

    def names_of(self, reading: str) -> list[str]:
        """Return the fields that may be a reading."""
        row = self.fields.get(reading, [])
        return [row] if isinstance(row, str) else row


class WmbusProfile(public.Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole profile of a meter that sends by radio."""

    wmbus: WmbusHalf


@cache
def load(name: str) -> WmbusProfile:
    """Read and check a profile, once for each process.

    Raises: ConfigError at the line that is wrong.
    """
    document, profile = planning.load_profile(name, "wmbus", WmbusProfile)
    mapping.check(document, ("wmbus", "records"), profile, profile.wmbus.records)
    _check_fields(document, profile)
    return profile


def field_unit(field: str) -> tuple[str, float] | None:
    """Return the unit of a field of wmbusmeters, and the factor to it; None where its name has none."""
    match = _FIELD.match(field)
    return FIELD_UNITS.get(match["unit"]) if match else None


def _check_fields(document: Document, profile: WmbusProfile) -> None:
    for name in profile.wmbus.fields:
        at = ("wmbus", "fields", name)
        if name not in profile.readings:
            raise ConfigError(document.key_at(*at), f"the reading {name!r}", "one of those listed under 'readings'")
        unit = quantities()[name.partition("/")[0]].unit
        for field in profile.wmbus.names_of(name):
            known = field_unit(field)
            if known is None or not units.can_convert(known[0], unit):
                raise document.error(at, repr(field), f"a field whose last part is a unit that can become {unit}")
