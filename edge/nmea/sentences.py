"""What sentences of NMEA 0183 say, in units of the town's vocabulary.

A value has a name: the sentence, what tells its kinds apart, and the value, such as `MWV.T.speed` or `XDR.TEMP`.
pynmea2 knows which field is which; numbers are read here, strictly.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pynmea2 import NMEASentence

LONGEST = 160
"""Bytes in a line. The norm allows 82; XDR of weather stations is longer."""
KNOT = 1852 / 3600
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?\Z")
_SENTENCE = re.compile(rb"\$(?P<body>[A-Za-z0-9]{4,7},[\x20-\x29\x2b-\x7e]*)\*(?P<sum>[0-9A-Fa-f]{2})\s*\Z")

Values = dict[str, float | None]
"""Name -> value; None where the device says that it has none."""


class BadSentenceError(ValueError):
    """A line that is no whole sentence."""


class Sentence(NamedTuple):
    """What one sentence says."""

    talker: str
    """Two letters, such as `WI` for weather instruments; empty for a maker's own sentences."""
    kind: str
    values: Values


def read(line: bytes) -> Sentence | None:
    """Read a line; None where it is no sentence at all, such as an empty one or one of AIS (`!`).

    Raises: BadSentenceError where it began as a sentence and is none: cut off, without a checksum, or with a wrong one.
    """
    start = line.find(b"$")
    if start < 0:
        return None
    found = _SENTENCE.match(line[line.rfind(b"$") :])
    if found is None:
        raise BadSentenceError("a sentence that is cut off, or has no checksum")
    total = 0
    for byte in found["body"]:
        total ^= byte
    if total != int(found["sum"], 16):
        raise BadSentenceError("a sentence with a wrong checksum")
    return _parsed(line[line.rfind(b"$") :].decode("ascii"))


def _parsed(text: str) -> Sentence:
    import pynmea2  # noqa: PLC0415 - loaded with the first sentence

    try:
        parsed = pynmea2.parse(text, check=True)
    except pynmea2.SentenceTypeError:
        return Sentence(text[1:3], text[3:6].upper(), {})
    except (pynmea2.ParseError, ValueError, TypeError, ArithmeticError, IndexError) as error:
        raise BadSentenceError("a sentence that cannot be taken apart") from error
    if not isinstance(parsed, pynmea2.TalkerSentence):
        return Sentence("", text[1:].partition(",")[0].upper(), {})
    meaning = _MEANINGS.get(parsed.sentence_type)
    return Sentence(parsed.talker, parsed.sentence_type, dict(meaning(parsed)) if meaning is not None else {})


class _Field(NamedTuple):
    """One field of a sentence that is always in the same unit."""

    name: str
    field: str
    scale: float = 1.0
    offset: float = 0.0


def _text(sentence: NMEASentence, field: str) -> str:
    """Return a field as it stands; empty where the sentence ends before it."""
    at = sentence.name_to_idx[field]
    return str(sentence.data[at]).strip() if at < len(sentence.data) else ""


def _number(text: str, scale: float = 1.0, offset: float = 0.0) -> float | None:
    return float(text) * scale + offset if _NUMBER.match(text) else None


def _plain(kind: str, *fields: _Field) -> Callable[[NMEASentence], Iterator[tuple[str, float | None]]]:
    def values(sentence: NMEASentence) -> Iterator[tuple[str, float | None]]:
        for each in fields:
            yield f"{kind}.{each.name}", _number(_text(sentence, each.field), each.scale, each.offset)

    return values


_SPEEDS = {"K": 1 / 3.6, "M": 1.0, "N": KNOT, "S": 1609.344 / 3600}


def _wind(sentence: NMEASentence) -> Iterator[tuple[str, float | None]]:
    """MWV: relative (R) and true (T) are two measurements; status V is none."""
    reference = _text(sentence, "reference").upper()
    if reference not in ("R", "T"):
        return
    scale = _SPEEDS.get(_text(sentence, "wind_speed_units").upper())
    is_valid = _text(sentence, "status").upper() == "A"
    speed = _number(_text(sentence, "wind_speed"), scale) if is_valid and scale else None
    yield f"MWV.{reference}.speed", speed
    yield f"MWV.{reference}.angle", _number(_text(sentence, "wind_angle")) if is_valid else None


def _water_temperature(sentence: NMEASentence) -> Iterator[tuple[str, float | None]]:
    unit = _text(sentence, "units").upper()
    text = _text(sentence, "temperature")
    yield "MTW.temp", _number(text) if unit in ("C", "") else _number(text, 5 / 9, -160 / 9) if unit == "F" else None


_TRANSDUCERS: dict[tuple[str, str], tuple[float, float]] = {
    ("C", "C"): (1.0, 0.0),
    ("C", "F"): (5 / 9, -160 / 9),
    ("C", "K"): (1.0, -273.15),
    ("P", "B"): (1000.0, 0.0),
    ("P", "P"): (0.01, 0.0),
    ("P", "H"): (1.0, 0.0),
    ("H", "P"): (1.0, 0.0),
    ("A", "D"): (1.0, 0.0),
    ("D", "M"): (1.0, 0.0),
    ("S", "M"): (1.0, 0.0),
    ("S", "K"): (1 / 3.6, 0.0),
    ("S", "N"): (KNOT, 0.0),
    ("V", "M"): (1.0, 0.0),
    ("R", "M"): (1.0, 0.0),
    ("U", "V"): (1.0, 0.0),
    ("G", ""): (1.0, 0.0),
}
"""Type and unit of a transducer -> factor and summand: temperature in °C, pressure in hPa, humidity in %, angle in
degrees, distance in m, wind speed in m/s, voltage in V. Vaisala's rain (`V`, `R`) is in mm."""


def _transducers(sentence: NMEASentence) -> Iterator[tuple[str, float | None]]:
    """XDR: groups of four; one that is incomplete, or in a unit that nobody knows, is left out."""
    data = [str(each).strip() for each in sentence.data]
    for at in range(0, len(data) - 3, 4):
        kind, text, unit, name = data[at : at + 4]
        rule = _TRANSDUCERS.get((kind.upper(), unit.upper()))
        if rule is not None:
            yield f"XDR.{(name or kind).upper()}", _number(text, *rule)


def _degrees(text: str, side: str, digits: int) -> float | None:
    """`ddmm.mmm` or `dddmm.mmm` in degrees; south and west are negative."""
    if not _NUMBER.match(text) or len(text.partition(".")[0]) != digits + 2 or side not in ("N", "S", "E", "W"):
        return None
    minutes = float(text[digits:])
    value = int(text[:digits]) + minutes / 60
    if minutes >= 60 or value > (90 if digits == 2 else 180):
        return None
    return round(-value if side in ("S", "W") else value, 7)


def _position(kind: str, sentence: NMEASentence, *, is_valid: bool) -> Iterator[tuple[str, float | None]]:
    latitude = _degrees(_text(sentence, "lat"), _text(sentence, "lat_dir").upper(), 2)
    longitude = _degrees(_text(sentence, "lon"), _text(sentence, "lon_dir").upper(), 3)
    yield f"{kind}.latitude", latitude if is_valid else None
    yield f"{kind}.longitude", longitude if is_valid else None


def _fix(sentence: NMEASentence) -> Iterator[tuple[str, float | None]]:
    quality = _number(_text(sentence, "gps_qual"))
    is_valid = bool(quality) and quality not in (6, 7, 8)  # estimated, put in by hand, simulated
    yield from _position("GGA", sentence, is_valid=is_valid)
    yield "GGA.altitude", _number(_text(sentence, "altitude")) if is_valid else None
    yield "GGA.satellites", _number(_text(sentence, "num_sats"))
    yield "GGA.hdop", _number(_text(sentence, "horizontal_dil")) if is_valid else None
    yield "GGA.fix", float(is_valid)


def _recommended(sentence: NMEASentence) -> Iterator[tuple[str, float | None]]:
    is_valid = _text(sentence, "status").upper() == "A"
    yield from _position("RMC", sentence, is_valid=is_valid)
    yield "RMC.speed", _number(_text(sentence, "spd_over_grnd"), KNOT) if is_valid else None
    yield "RMC.course", _number(_text(sentence, "true_course")) if is_valid else None


_MEANINGS: dict[str, Callable[[NMEASentence], Iterator[tuple[str, float | None]]]] = {
    "MWV": _wind,
    "MWD": _plain("MWD", _Field("direction", "direction_true"), _Field("speed", "wind_speed_meters")),
    "MDA": _plain(
        "MDA",
        _Field("pressure", "b_pressure_bar", 1000.0),
        _Field("temp_air", "air_temp"),
        _Field("temp_water", "water_temp"),
        _Field("humidity", "rel_humidity"),
        _Field("dew_point", "dew_point"),
        _Field("direction", "direction_true"),
        _Field("speed", "wind_speed_meters"),
    ),
    "MTW": _water_temperature,
    "XDR": _transducers,
    "DBT": _plain("DBT", _Field("depth", "depth_meters")),
    "DPT": _plain("DPT", _Field("depth", "depth"), _Field("offset", "offset")),
    "GGA": _fix,
    "RMC": _recommended,
}
NAMES = (
    "MWV.R.speed",
    "MWV.R.angle",
    "MWV.T.speed",
    "MWV.T.angle",
    "MWD.direction",
    "MWD.speed",
    *(f"MDA.{name}" for name in ("pressure", "temp_air", "temp_water", "humidity", "dew_point", "direction", "speed")),
    "MTW.temp",
    "DBT.depth",
    "DPT.depth",
    "DPT.offset",
    *(f"GGA.{name}" for name in ("latitude", "longitude", "altitude", "satellites", "hdop", "fix")),
    *(f"RMC.{name}" for name in ("latitude", "longitude", "speed", "course")),
)
"""Of all values but those of XDR, whose names are the device's own."""
