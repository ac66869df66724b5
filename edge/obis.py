"""OBIS: the codes under which electricity meters say their values, in SML, IEC 62056-21 and DSMR alike.

A code is `A-B:C.D.E*F`: medium, channel, quantity, kind of processing, tariff, stored value. `F` is 255 for what is
measured now; whatever else it is, the value is one of the past. Old meters leave `A-B:` out.

A profile says, under `registers`, which code becomes which reading:

    active_energy_import: {obis: ["1-0:1.8.0", "1-0:1.8.1 + 1-0:1.8.2"], unit: kWh, multiply_by: transformer_ratio}
    active_power: {obis: "1-0:1.7.0 - 1-0:2.7.0"}

Of several, the first that a telegram has whole is taken. The telegram's own unit counts; `unit` is for those without.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias

import msgspec

from wire.readings import Reading
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from base.strict_yaml import Document
    from edge.thinning import ThinnedProfile

_CODE = re.compile(r"^(?:(?P<a>[0-9]{1,3})-(?P<b>[0-9]{1,3}):)?(?P<rest>[0-9A-Z]{1,3}(?:\.[0-9A-Z]{1,3}){1,2})$")
_TERM = re.compile(r"\s+([+-])\s+")
PRESENT = "255"
MOST_DIGITS = 30
"""No meter says more; a number of a million digits would hold up everybody."""


class Value(NamedTuple):
    """What a telegram says under one code."""

    number: Decimal
    unit: str = ""
    """As the meter says it; empty where it says none."""
    status: int | None = None
    """The word that some meters say with a value (SML)."""
    bits: int = 0
    """How many bits the number took where it was written as a signed one (SML); else 0."""


_FACTORS: dict[tuple[str, str], Decimal] = {
    ("Wh", "kWh"): Decimal("0.001"),
    ("MWh", "kWh"): Decimal(1000),
    ("J", "kWh"): Decimal(1) / Decimal(3_600_000),
    ("MJ", "kWh"): Decimal(1) / Decimal("3.6"),
    ("GJ", "kWh"): Decimal(1000) / Decimal("3.6"),
    ("kW", "W"): Decimal(1000),
    ("MW", "W"): Decimal(1_000_000),
    ("kvar", "var"): Decimal(1000),
    ("kVA", "VA"): Decimal(1000),
    ("varh", "kvarh"): Decimal("0.001"),
    ("Mvarh", "kvarh"): Decimal(1000),
    ("VAh", "kVAh"): Decimal("0.001"),
    ("mA", "A"): Decimal("0.001"),
    ("kV", "V"): Decimal(1000),
    ("l", "m3"): Decimal("0.001"),
    ("m3/h", "m3/s"): Decimal(1) / Decimal(3600),
}
_SPELLED = {
    "W": "W",
    "KW": "kW",
    "MW": "MW",
    "WH": "Wh",
    "KWH": "kWh",
    "MWH": "MWh",
    "VAR": "var",
    "KVAR": "kvar",
    "VARH": "varh",
    "KVARH": "kvarh",
    "MVARH": "Mvarh",
    "VA": "VA",
    "KVA": "kVA",
    "VAH": "VAh",
    "KVAH": "kVAh",
    "V": "V",
    "KV": "kV",
    "A": "A",
    "HZ": "Hz",
    "M3": "m3",
    "M^3": "m3",
    "M³": "m3",
    "L": "l",
    "M3/H": "m3/h",
    "J": "J",
    "MJ": "MJ",
    "GJ": "GJ",
    "CEL": "Cel",
    "°C": "Cel",
    "C": "Cel",
    "/": "/",
}
"""Meters write units in capitals or not, as they like; where capitals tell two apart (mA, MW), see `unit_of`."""


def unit_of(text: str) -> str:
    """Return a unit as it is written here; as it came where it is none that we know."""
    if text == "mA":
        return text
    return _SPELLED.get(text.upper(), text)


def factor(said: str, wanted: str) -> Decimal | None:
    """Return what a number in one unit is times to be one in another; None where it cannot be."""
    return Decimal(1) if said == wanted else _FACTORS.get((said, wanted))


Key: TypeAlias = tuple[str, str]
"""Medium and channel (`1-0`; empty where left out), and the rest (`1.8.0`)."""


def parse(text: str) -> Key | None:
    """Read a code as a telegram has it; None where it is none, or one of the past (`1.8.0*01`, `1.8.0&03`)."""
    code, star, stored = text.partition("*")
    if (star and stored != PRESENT) or "&" in text:
        return None
    match = _CODE.match(code)
    if match is None:
        return None
    return (f"{match['a']}-{match['b']}" if match["a"] else "", match["rest"])


class Sign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a maker says, in the status of another value, which way power flows."""

    maker: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
    """As the meter names it (FLAG id): others are left as they are."""
    serials: list[tuple[int, int]] = []
    """First and last of the numbers that it concerns; all of the maker's unless given."""
    status_of: list[str]
    """The codes whose status may say it; the first that has one does."""
    bit: Annotated[int, msgspec.Meta(ge=0, le=63)]
    """Set: it flows out."""
    written: Literal["absolute", "unsigned"]
    """`absolute`: without its sign, so what flows out is negated. `unsigned`: what flows in is written without a sign,
    though typed with one, so what looks negative is read anew."""


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a reading stands."""

    obis: str | list[str]
    unit: str | None = None
    """Of a telegram that says none."""
    multiply_by: str | None = None
    """A parameter, such as the ratio of a transformer."""
    sign: list[Sign] = []


class Meter(NamedTuple):
    """Who speaks, as far as the telegram says it."""

    maker: str = ""
    """Three letters."""
    serial: int | None = None

    def is_meant(self, rule: Sign) -> bool:
        """Whether a rule is for this meter."""
        if rule.maker != self.maker:
            return False
        serial = self.serial
        return not rule.serials or (serial is not None and any(a <= serial <= b for a, b in rule.serials))


UNKNOWN = Meter()


class _Term(NamedTuple):
    key: Key
    sign: int


Values: TypeAlias = "Mapping[Key, Value]"


class Mapped(NamedTuple):
    """What a telegram becomes."""

    readings: tuple[Reading, ...]
    why: str = ""
    """Why a value was not taken, where one was not."""


class Map:
    """Makes readings of a telegram's values, by a profile's registers."""

    def __init__(self, registers: Mapping[str, Register], parameters: Mapping[str, float]) -> None:
        """`parameters`: a value for every one that the profile declares."""
        self._rows = [_row(name, register, parameters) for name, register in registers.items()]

    def readings(self, values: Values, meter: Meter = UNKNOWN) -> Mapped:
        """Make readings of values by their codes; what the telegram does not have is left out."""
        index = Index(values)
        readings: list[Reading] = []
        why = ""
        for row in self._rows:
            try:
                number = _number(row, index, meter)
            except _UnitError as error:
                why = why or str(error)
                continue
            if number is not None:
                quantity, _, channel = row.name.partition("/")
                readings.append(Reading(quantity, float(number * row.times), row.unit, channel))
        return Mapped(tuple(readings), why)


class _Row(NamedTuple):
    """A reading, ready to be made."""

    name: str
    unit: str
    assumed: str
    """Unit of a value that has none."""
    ways: list[list[_Term]]
    signs: list[Sign]
    times: Decimal


def _row(name: str, register: Register, parameters: Mapping[str, float]) -> _Row:
    wanted = quantities()[name.partition("/")[0]].unit
    times = Decimal(str(parameters[register.multiply_by])) if register.multiply_by else Decimal(1)
    ways = [_terms(text) or [] for text in _texts(register)]
    return _Row(name, wanted, register.unit or wanted, ways, register.sign, times)


class Index:
    """Values by code, where either side may leave out medium and channel."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._short: dict[str, Value] = {}
        for (_, rest), value in values.items():
            self._short.setdefault(rest, value)

    def get(self, key: Key) -> Value | None:
        """Find a value."""
        medium, rest = key
        if not medium:
            return self._short.get(rest)
        return self._values.get(key) or self._values.get(("", rest))


class _UnitError(Exception):
    """A value in a unit that cannot be the quantity's."""


def _number(row: _Row, index: Index, meter: Meter) -> Decimal | None:
    for way in row.ways:
        values = [value for term in way if (value := index.get(term.key)) is not None]
        if len(values) != len(way):
            continue
        total = Decimal(0)
        for term, value in zip(way, values, strict=True):
            unit = value.unit or row.assumed
            times = factor(unit, row.unit)
            if times is None:
                raise _UnitError(f"{term.key[1]} in {unit!r}, which is no {row.name}")
            total += term.sign * times * _signed(value, row.signs, index, meter)
        return total
    return None


def _signed(value: Value, rules: list[Sign], index: Index, meter: Meter) -> Decimal:
    for rule in rules:
        status = next((s for code in rule.status_of if (s := _status(index, code)) is not None), None)
        if status is None or not meter.is_meant(rule):
            continue
        flows_out = bool(status >> rule.bit & 1)
        if rule.written == "absolute" and flows_out:
            return -abs(value.number)
        if rule.written == "unsigned" and not flows_out and value.number < 0 and value.bits:
            exponent = value.number.as_tuple().exponent
            return value.number + Decimal(1 << value.bits).scaleb(int(exponent))
    return value.number


def _status(index: Index, code: str) -> int | None:
    key = parse(code)
    value = index.get(key) if key else None
    return value.status if value else None


def _texts(register: Register) -> list[str]:
    return [register.obis] if isinstance(register.obis, str) else register.obis


def _terms(text: str) -> list[_Term] | None:
    parts = _TERM.split(text.strip())
    terms = []
    for sign, code in zip(["+", *parts[1::2]], parts[::2], strict=True):
        key = parse(code)
        if key is None:
            return None
        terms.append(_Term(key, 1 if sign == "+" else -1))
    return terms


def check(document: Document, profile: ThinnedProfile, registers: Mapping[str, Register], driver: str) -> None:
    """Check a profile's registers against its readings and their units.

    Raises: ConfigError at the line that is wrong.
    """
    profile.check_sources(document, registers, f"a row under '{driver}: registers'")
    for name, register in registers.items():
        at = (driver, "registers", name)
        if name not in profile.readings:
            raise document.error(at, f"the reading {name!r}", "one of those listed under 'readings'")
        codes = [code for rule in register.sign for code in rule.status_of]
        for text in (*_texts(register), *codes):
            if not _terms(text):
                raise document.error(at, f"the code {text!r}", "such as 1-0:1.8.0, or a sum of them")
        wanted = quantities()[name.partition("/")[0]].unit
        if register.multiply_by is not None and register.multiply_by not in profile.parameters:
            raise document.error(
                (*at, "multiply_by"), repr(register.multiply_by), "a parameter declared under 'parameters'"
            )
        if register.unit is not None and factor(register.unit, wanted) is None:
            raise document.error((*at, "unit"), repr(register.unit), f"a unit that can be turned into {wanted}")


def decimal(text: str) -> Decimal | None:
    """Read a number as meters write it, blanks before it allowed; None where it is none."""
    text = text.strip(" ")
    if len(text) > MOST_DIGITS or not _NUMBER.match(text):
        return None
    return Decimal(text)


_NUMBER = re.compile(r"^[+-]?[0-9]+(?:\.[0-9]+)?$")
