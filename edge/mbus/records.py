"""The records of a telegram with variable data structure (EN 13757-3): data information, value information, data."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

from edge.mbus import values
from edge.mbus.errors import DamagedError
from edge.mbus.meaning import (
    EXTENSION,
    PLAIN_TEXT,
    Meaning,
    Modified,
    meaning_of,
    modified,
)
from edge.plausibility.encoding import shortest

Function: TypeAlias = Literal["instantaneous", "maximum", "minimum", "error"]
_FUNCTIONS: tuple[Function, ...] = ("instantaneous", "maximum", "minimum", "error")

OF_MAKER, OF_MAKER_MORE_FOLLOW, FILLER = 0x0F, 0x1F, 0x2F
MOST_EXTENSIONS = 10
"""Of a DIF, and of a VIF."""
SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 6, 7: 8, 8: 0, 9: 1, 10: 2, 11: 3, 12: 4, 14: 6}
"""Bytes of data by the DIF's lowest four bits; 13 says its length itself."""
REAL, VARIABLE = 5, 13
NO_DATA = (0, 8)


class Record(NamedTuple):
    """One record: a value with everything that says what it is."""

    quantity: str
    value: float | str | None
    """A number in `unit`; a text; a date or time (ISO 8601, the meter's own time); None where there is no value."""
    unit: str = ""
    function: Function = "instantaneous"
    storage: int = 0
    """0 is now; others are stored values, such as those of a key date."""
    tariff: int = 0
    """0 is the total."""
    subunit: int = 0
    qualifiers: tuple[str, ...] = ()
    note: str = ""
    """Why there is no value."""
    data: bytes = b""
    """The value's own bytes, as they came."""
    head: bytes = b""
    """DIF, DIFE, VIF and VIFE, as they came."""
    scale: Modified | None = None
    """How the number in `data` becomes the value."""


class Records(NamedTuple):
    """What a telegram's payload holds, in the order of the telegram."""

    records: tuple[Record, ...]
    of_maker: bytes = b""
    """What follows the records and only the maker can read."""
    more_follow: bool = False
    """Whether the device has further telegrams to tell."""
    damage: str = ""
    """Why the rest could not be read; empty where all could. The records before it stand."""


class _Head(NamedTuple):
    coding: int
    function: Function
    storage: int
    tariff: int
    subunit: int


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            left = len(self.data) - self.at
            raise DamagedError(f"a record that ends {count - left} bytes behind the telegram's end")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def extensions(self, last: int, what: str) -> list[int]:
        """Take the bytes that follow one whose extension bit is set, until one without it."""
        found: list[int] = []
        while last & EXTENSION:
            if len(found) == MOST_EXTENSIONS:
                raise DamagedError(f"more than {MOST_EXTENSIONS} {what}")
            last = self.byte()
            found.append(last)
        return found


def parse(payload: bytes) -> Records:
    """Read all records of a payload; where one is damaged, those before it, and what is wrong."""
    reader = _Reader(payload)
    records: list[Record] = []
    while reader.at < len(payload):
        start = reader.at
        dif = reader.byte()
        if dif == FILLER:
            continue
        if dif in (OF_MAKER, OF_MAKER_MORE_FOLLOW):
            return Records(tuple(records), payload[reader.at :], dif == OF_MAKER_MORE_FOLLOW)
        try:
            records.append(_record(reader, dif, start))
        except DamagedError as error:
            return Records(tuple(records), damage=f"{error}, in the record at byte {start}")
    return Records(tuple(records))


def _record(reader: _Reader, dif: int, start: int) -> Record:
    if dif & 0x0F == 0x0F:
        raise DamagedError(f"the DIF {dif:02X}h, which the norm does not define")
    head = _head(dif, reader.extensions(dif, "DIFE"))
    meaning = _meaning(reader)
    head_end = reader.at
    data, value = _value(reader, head.coding, meaning)
    note = meaning.refusal
    if note:
        value = None
    elif value is None:
        note = _why_none(head.coding, meaning.meaning, data)
    return Record(
        quantity=meaning.meaning.quantity,
        value=value,
        unit=meaning.meaning.unit if not isinstance(value, str) and not meaning.meaning.is_moment else "",
        function=head.function,
        storage=head.storage,
        tariff=head.tariff,
        subunit=head.subunit,
        qualifiers=meaning.qualifiers,
        note=note,
        data=data,
        head=reader.data[start:head_end],
        scale=meaning,
    )


def _head(dif: int, extensions: list[int]) -> _Head:
    storage, tariff, subunit = dif >> 6 & 1, 0, 0
    for index, each in enumerate(extensions):
        storage |= (each & 0x0F) << (1 + 4 * index)
        tariff |= (each >> 4 & 0b11) << (2 * index)
        subunit |= (each >> 6 & 1) << index
    return _Head(dif & 0x0F, _FUNCTIONS[dif >> 4 & 0b11], storage, tariff, subunit)


def _meaning(reader: _Reader) -> Modified:
    vif = reader.byte()
    if vif & ~EXTENSION == PLAIN_TEXT:
        unit = values.text(reader.take(reader.byte()))
        return modified(Meaning("plain_text", unit), reader.extensions(vif, "VIFE"))
    return modified(*meaning_of(vif, reader.extensions(vif, "VIFE")))


def _value(reader: _Reader, coding: int, modified_by: Modified) -> tuple[bytes, float | str | None]:
    if coding == VARIABLE:
        return _variable(reader, modified_by)
    data = reader.take(SIZES[coding])
    meaning = modified_by.meaning
    if meaning.is_moment:
        return data, values.moment(data) if coding in (2, 3, 4, 6) else None
    return data, _scaled(_number(coding, data, meaning), modified_by)


def _number(coding: int, data: bytes, meaning: Meaning) -> float | None:
    if coding in NO_DATA:
        return None
    if coding == REAL:
        return values.real(data)
    if coding > 8:
        return values.bcd(data)
    return values.signed(data) if meaning.is_signed else values.unsigned(data)


def _variable(reader: _Reader, modified_by: Modified) -> tuple[bytes, float | str | None]:
    """Read a field that says its own length and kind (LVAR)."""
    kind = reader.byte()
    if kind < 0xC0:
        data = reader.take(kind)
        return data, values.text(data)
    if kind < 0xE0:
        digits = 2 * (kind & 0x0F)
        if kind & 0x0F > 9:
            raise DamagedError(f"a field of the kind {kind:02X}h, which the norm does not define")
        data = reader.take(digits // 2)
        number = values.bcd(data)
        if number is not None and kind >= 0xD0:
            number = -number
        return data, _scaled(number, modified_by) if digits else None
    if kind < 0xF0:
        data = reader.take(kind - 0xE0)
        if modified_by.meaning.is_moment or len(data) > 8:
            return data, data[::-1].hex(" ").upper()
        number = values.signed(data) if modified_by.meaning.is_signed else values.unsigned(data)
        return data, _scaled(number, modified_by)
    if kind <= 0xF6:
        sizes = {0xF5: 48, 0xF6: 64}
        data = reader.take(sizes.get(kind, 4 * (kind - 0xEC)))
        return data, data[::-1].hex(" ").upper()
    raise DamagedError(f"a field of the kind {kind:02X}h, which the norm does not define")


def _scaled(number: float | None, modified_by: Modified) -> float | None:
    """Apply factor, power of ten and offset; a whole number stays one where it can."""
    if number is None:
        return None
    meaning = modified_by.meaning
    value = number * meaning.factor
    # divided rather than multiplied by a fraction: 227 / 10 is 22.7, 227 * 0.1 is not
    value = value * 10**meaning.power if meaning.power >= 0 else value / 10**-meaning.power
    if modified_by.offset:
        value += modified_by.offset
    if isinstance(value, int):
        return value
    return shortest(value) if math.isfinite(value) else None


def _why_none(coding: int, meaning: Meaning, data: bytes) -> str:
    if coding in NO_DATA:
        return "no data"
    if meaning.is_moment:
        if values.is_marked_invalid(data):
            return "the meter says that its clock is not set"
        return f"no date: {data.hex(' ')}"
    if coding == REAL:
        return "not a number"
    return f"no number: {data.hex(' ')}"


def unsigned_value(record: Record) -> float | None:
    """Return the value of a record whose binary integer is read without a sign, whatever the norm says.

    Some meters count up into the top bit, and send 2147483649 as what the norm reads as -2147483647.
    """
    is_binary = bool(record.head) and record.head[0] & 0x0F in (1, 2, 3, 4, 6, 7)
    if record.scale is None or not is_binary or record.scale.refusal or record.scale.meaning.is_moment:
        return None if isinstance(record.value, str) else record.value
    return _scaled(values.unsigned(record.data), record.scale)


__all__ = ["Function", "Record", "Records", "parse", "unsigned_value"]
