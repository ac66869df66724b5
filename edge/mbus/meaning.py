"""What a record's number means: the value information field (VIF) of EN 13757-3 and its extensions (VIFE).

A code says quantity, unit and power of ten in one; its lowest bits are the power. Units are the norm's own, without
prefixes, spelled as in SenML where that has them; nothing is converted here but that.
"""

from __future__ import annotations

from typing import NamedTuple

EXTENSION = 0x80
"""Another byte follows."""
FIRST_TABLE, SECOND_TABLE, PLAIN_TEXT, ANYTHING, OF_MAKER = 0xFB, 0xFD, 0x7C, 0x7E, 0x7F


class Meaning(NamedTuple):
    """Quantity and unit of a number, which is to be multiplied by `factor` and ten to the power of `power`."""

    quantity: str
    unit: str = ""
    power: int = 0
    factor: int = 1
    is_signed: bool = True
    is_moment: bool = False


class Modified(NamedTuple):
    """What the extensions of a code add to it."""

    meaning: Meaning
    qualifiers: tuple[str, ...] = ()
    """Further words on it, such as `L1` or `per hour`: with one of these it is another quantity."""
    refusal: str = ""
    """Why the meter has no value here, in its own words; empty where it has."""
    offset: float = 0.0
    """To be added to the value, in the unit."""


def _scaled(table: dict[int, Meaning], first: int, count: int, meaning: Meaning) -> None:
    """Enter the codes of one quantity; the first has its lowest power."""
    for step in range(count):
        table[first + step] = meaning._replace(power=meaning.power + step)


def _durations(table: dict[int, Meaning], first: int, quantity: str, units: str = "smhd") -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    for step, unit in enumerate(units):
        table[first + step] = Meaning(quantity, "s", factor=seconds[unit])


def _bits(table: dict[int, Meaning], quantities: dict[int, str]) -> None:
    for code, quantity in quantities.items():
        table[code] = Meaning(quantity, is_signed=False)


def _primary() -> dict[int, Meaning]:
    table: dict[int, Meaning] = {}
    _scaled(table, 0x00, 8, Meaning("energy", "Wh", -3))
    _scaled(table, 0x08, 8, Meaning("energy", "J", 0))
    _scaled(table, 0x10, 8, Meaning("volume", "m3", -6))
    _scaled(table, 0x18, 8, Meaning("mass", "kg", -3))
    _durations(table, 0x20, "on_time")
    _durations(table, 0x24, "operating_time")
    _scaled(table, 0x28, 8, Meaning("power", "W", -3))
    _scaled(table, 0x30, 8, Meaning("power", "J/h", 0))
    _scaled(table, 0x38, 8, Meaning("volume_flow", "m3/h", -6))
    _scaled(table, 0x40, 8, Meaning("volume_flow", "m3/min", -7))
    _scaled(table, 0x48, 8, Meaning("volume_flow", "m3/s", -9))
    _scaled(table, 0x50, 8, Meaning("mass_flow", "kg/h", -3))
    _scaled(table, 0x58, 4, Meaning("flow_temperature", "Cel", -3))
    _scaled(table, 0x5C, 4, Meaning("return_temperature", "Cel", -3))
    _scaled(table, 0x60, 4, Meaning("temperature_difference", "K", -3))
    _scaled(table, 0x64, 4, Meaning("external_temperature", "Cel", -3))
    _scaled(table, 0x68, 4, Meaning("pressure", "bar", -3))
    table[0x6C] = Meaning("date", is_moment=True)
    table[0x6D] = Meaning("date_time", is_moment=True)
    table[0x6E] = Meaning("heat_cost_allocation", "units")
    _durations(table, 0x70, "averaging_duration")
    _durations(table, 0x74, "actuality_duration")
    _bits(table, {0x78: "fabrication_number", 0x79: "identification", 0x7A: "bus_address"})
    table[ANYTHING] = Meaning("anything")
    table[OF_MAKER] = Meaning("of_maker")
    return table


def _first() -> dict[int, Meaning]:
    """Codes behind FBh: large numbers, electricity, and units that are not metric."""
    table: dict[int, Meaning] = {}
    _scaled(table, 0x00, 2, Meaning("energy", "Wh", 5))
    _scaled(table, 0x02, 2, Meaning("reactive_energy", "varh", 3))
    _scaled(table, 0x04, 2, Meaning("apparent_energy", "VAh", 3))
    _scaled(table, 0x08, 2, Meaning("energy", "J", 8))
    _scaled(table, 0x0C, 4, Meaning("energy", "cal", 5))
    _scaled(table, 0x10, 2, Meaning("volume", "m3", 2))
    _scaled(table, 0x14, 4, Meaning("reactive_power", "var", 0))
    _scaled(table, 0x18, 2, Meaning("mass", "kg", 5))
    _scaled(table, 0x1A, 2, Meaning("relative_humidity", "%RH", -1))
    table[0x20] = Meaning("volume", "ft3")
    table[0x21] = Meaning("volume", "ft3", -1)
    _scaled(table, 0x28, 2, Meaning("power", "W", 5))
    table[0x2A] = Meaning("phase_between_voltages", "deg", -1)
    table[0x2B] = Meaning("phase_of_current", "deg", -1)
    _scaled(table, 0x2C, 4, Meaning("frequency", "Hz", -3))
    _scaled(table, 0x30, 2, Meaning("power", "J/h", 8))
    _scaled(table, 0x34, 4, Meaning("apparent_power", "VA", 0))
    _scaled(table, 0x58, 4, Meaning("flow_temperature", "degF", -3))
    _scaled(table, 0x5C, 4, Meaning("return_temperature", "degF", -3))
    _scaled(table, 0x60, 4, Meaning("temperature_difference", "degF", -3))
    _scaled(table, 0x64, 4, Meaning("external_temperature", "degF", -3))
    _scaled(table, 0x74, 4, Meaning("temperature_limit", "Cel", -3))
    _scaled(table, 0x78, 8, Meaning("cumulated_maximum_power", "W", -3))
    return table


def _second() -> dict[int, Meaning]:
    """Codes behind FDh: what a device is, how it is set, and its electrical values."""
    table: dict[int, Meaning] = {}
    _scaled(table, 0x00, 4, Meaning("credit", "currency", -3))
    _scaled(table, 0x04, 4, Meaning("debit", "currency", -3))
    _bits(
        table,
        {
            0x08: "access_number",
            0x09: "medium",
            0x0A: "manufacturer",
            0x0B: "parameter_set",
            0x0C: "model_version",
            0x0D: "hardware_version",
            0x0E: "firmware_version",
            0x0F: "software_version",
            0x10: "customer_location",
            0x11: "customer",
            0x17: "error_flags",
            0x18: "error_mask",
            0x1A: "digital_output",
            0x1B: "digital_input",
            0x1C: "baud_rate",
            0x1D: "response_delay",
            0x1E: "retries",
            0x1F: "remote_control",
            0x20: "first_storage",
            0x21: "last_storage",
            0x22: "storage_block_size",
            0x60: "reset_counter",
            0x61: "cumulation_counter",
            0x62: "control_signal",
            0x63: "day_of_week",
            0x64: "week_number",
            0x66: "parameter_activation",
            0x67: "supplier_information",
            0x75: "stops",
        },
    )
    _durations(table, 0x24, "storage_interval")
    table[0x28] = Meaning("storage_interval", "months")
    table[0x29] = Meaning("storage_interval", "years")
    _durations(table, 0x2C, "since_last_readout")
    table[0x30] = Meaning("tariff_start", is_moment=True)
    _durations(table, 0x31, "tariff_duration", "mhd")
    _durations(table, 0x34, "tariff_period")
    table[0x3A] = Meaning("dimensionless")
    _durations(table, 0x3C, "transmission_interval")
    _scaled(table, 0x40, 16, Meaning("voltage", "V", -9))
    _scaled(table, 0x50, 16, Meaning("current", "A", -12))
    table[0x65] = Meaning("day_change", is_moment=True)
    _durations(table, 0x68, "since_last_cumulation", "hd")
    table[0x6A] = Meaning("since_last_cumulation", "months")
    table[0x6B] = Meaning("since_last_cumulation", "years")
    _durations(table, 0x6C, "battery_operating_time", "hd")
    table[0x6E] = Meaning("battery_operating_time", "months")
    table[0x6F] = Meaning("battery_operating_time", "years")
    table[0x70] = Meaning("battery_change", is_moment=True)
    table[0x71] = Meaning("signal_strength", "dBm")
    table[0x74] = Meaning("battery_left", "s", factor=86400)
    return table


_TABLES = {None: _primary(), FIRST_TABLE: _first(), SECOND_TABLE: _second()}

_REFUSALS = {
    0x01: "too many DIFE",
    0x02: "storage number not implemented",
    0x03: "unit number not implemented",
    0x04: "tariff not implemented",
    0x05: "function not implemented",
    0x06: "data class not implemented",
    0x07: "data size not implemented",
    0x0B: "too many VIFE",
    0x0C: "illegal VIF group",
    0x0D: "illegal VIF exponent",
    0x0E: "VIF and DIF do not fit",
    0x0F: "action not implemented",
    0x15: "no data available",
    0x16: "data overflow",
    0x17: "data underflow",
    0x18: "data error",
    0x1C: "premature end of record",
}
"""Record errors: in an answer these extensions say that there is no value, and why (EN 13757-3, 6.4.7)."""

_WORDS = {
    0x20: "per second",
    0x21: "per minute",
    0x22: "per hour",
    0x23: "per day",
    0x24: "per week",
    0x25: "per month",
    0x26: "per year",
    0x27: "per measurement",
    0x28: "per pulse on input 0",
    0x29: "per pulse on input 1",
    0x2A: "per pulse on output 0",
    0x2B: "per pulse on output 1",
    0x2C: "per litre",
    0x2D: "per m3",
    0x2E: "per kg",
    0x2F: "per K",
    0x30: "per kWh",
    0x31: "per GJ",
    0x32: "per kW",
    0x33: "per K l",
    0x34: "per V",
    0x35: "per A",
    0x36: "times s",
    0x37: "times s per V",
    0x38: "times s per A",
    0x3A: "uncorrected",
    0x3B: "forward",
    0x3C: "backward",
    0x3D: "not metric",
    0x3E: "at base conditions",
    0x3F: "OBIS declaration",
    0x40: "lower limit",
    0x41: "exceeds of lower limit",
    0x48: "upper limit",
    0x49: "exceeds of upper limit",
    0x68: "while below lower limit",
    0x69: "leakage",
    0x6C: "while above upper limit",
    0x6D: "overflow",
    0x7E: "future",
}

_MORE_WORDS = {
    0x01: "L1",
    0x02: "L2",
    0x03: "L3",
    0x04: "N",
    0x05: "L1-L2",
    0x06: "L2-L3",
    0x07: "L3-L1",
    0x08: "Q1",
    0x09: "Q2",
    0x0A: "Q3",
    0x0B: "Q4",
    0x0C: "import minus export",
    0x0D: "not metric",
    0x10: "absolute",
    0x13: "to meter",
    0x14: "from meter",
}
"""Behind a further FCh (EN 13757-3, table 16)."""
_UNSIGNED, _SIGNED_BITS = 0x11, 0x12


def meaning_of(vif: int, following: list[int]) -> tuple[Meaning, list[int]]:
    """Return what a code and those that follow it mean, and which of these are left as extensions.

    A code that the norm keeps for later has the quantity `unknown`, and its number in it.
    """
    if vif in (FIRST_TABLE, SECOND_TABLE):
        if not following:
            return Meaning(f"unknown {vif:02X}"), []
        code = following[0] & ~EXTENSION
        return _TABLES[vif].get(code, Meaning(f"unknown {vif:02X} {code:02X}")), following[1:]
    code = vif & ~EXTENSION
    if vif & EXTENSION and code == OF_MAKER:
        return _TABLES[None][OF_MAKER], [OF_MAKER | EXTENSION, *following]
    return _TABLES[None].get(code, Meaning(f"unknown {vif:02X}")), following


def modified(meaning: Meaning, extensions: list[int]) -> Modified:
    """Return what a meaning becomes with its extensions."""
    qualifiers: list[str] = []
    refusal = ""
    offset = 0.0
    codes = iter(extensions)
    for each in codes:
        code = each & ~EXTENSION
        if code == 0x7C:
            meaning = _with_more(meaning, next(codes, 0) & ~EXTENSION, qualifiers)
        elif 0x70 <= code <= 0x77:
            meaning = meaning._replace(power=meaning.power + code - 0x76)
        elif 0x78 <= code <= 0x7B:
            offset += 10.0 ** (code - 0x7B)
        elif code == 0x7D:
            meaning = meaning._replace(power=meaning.power + 3)
        elif code < 0x20:
            refusal = refusal or _REFUSALS.get(code, f"record error {code}" if code else "")
        elif code == OF_MAKER:
            qualifiers.append(f"of maker {bytes(codes).hex(' ')}".rstrip())  # what follows only the maker can read
        else:
            meaning = _with_word(meaning, code, qualifiers)
    return Modified(meaning, tuple(qualifiers), refusal, offset)


def _with_more(meaning: Meaning, code: int, qualifiers: list[str]) -> Meaning:
    if code in (_UNSIGNED, _SIGNED_BITS):
        return meaning._replace(is_signed=False)
    qualifiers.append(_MORE_WORDS.get(code, f"unknown FC {code:02X}"))
    return meaning


def _with_word(meaning: Meaning, code: int, qualifiers: list[str]) -> Meaning:
    """Apply an extension that makes a date, a duration or a count of a value, or that adds a word to it."""
    limit = "upper limit" if code & 0x08 else "lower limit"
    if code == 0x39:
        qualifiers.append("start")
        return meaning._replace(is_moment=True)
    if 0x50 <= code <= 0x5F or 0x60 <= code <= 0x67:
        word = f"duration of exceeding {limit}" if code < 0x60 else "duration"
        qualifiers.append(word)
        return Meaning(meaning.quantity, "s", factor=(1, 60, 3600, 86400)[code & 0b11], is_signed=False)
    if code & 0x72 == 0x42 and code < 0x50:
        qualifiers.append(f"{'end' if code & 1 else 'begin'} of exceeding {limit}")
        return meaning._replace(is_moment=True)
    if 0x6A <= code <= 0x6F and code & 0b10:
        qualifiers.append("end" if code & 1 else "begin")
        return meaning._replace(is_moment=True)
    qualifiers.append(_WORDS.get(code, f"unknown {code:02X}"))
    if code in (0x41, 0x49):
        return Meaning(meaning.quantity, is_signed=False)
    return meaning
