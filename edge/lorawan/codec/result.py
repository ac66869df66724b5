"""What a codec gave back, taken apart: TS013's form, or the bare result of the older forms. Pure."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from edge.lorawan.codec.errors import CodecError

MAX_DEPTH = 32
MAX_VALUES = 5000
MAX_TEXTS = 10
TEXT_CHARACTERS = 200
MAX_PAYLOAD = 242
"""Octets; no data rate of any region carries more."""
_TS013 = {"data", "errors", "warnings"}


class Decoded(NamedTuple):
    """What a codec read out of a message."""

    data: dict[str, Any]
    """Plain values of JSON; what was no number or no finite one is None."""
    warnings: tuple[str, ...] = ()


class Encoded(NamedTuple):
    """What a codec makes of settings: a message to the device."""

    f_port: int
    payload: bytes
    warnings: tuple[str, ...] = ()


def decoded(text: str) -> Decoded:
    """Take the result of `decodeUplink`, `decodeDownlink`, `Decode` or `Decoder` apart.

    Raises: CodecError where it tells of errors, or is none.
    """
    result = _parsed(text)
    data = result.get("data")
    if not isinstance(data, dict):
        is_empty = data is None and not result.keys() - _TS013
        data = {} if is_empty else {key: value for key, value in result.items() if key not in ("errors", "warnings")}
    return Decoded(data, _texts(result.get("warnings")))


def encoded(text: str) -> Encoded:
    """Take the result of `encodeDownlink` apart.

    Raises: CodecError where it tells of errors, or is no message.
    """
    result = _parsed(text)
    octets, f_port = result.get("bytes"), result.get("fPort", 1)
    if isinstance(octets, dict) and isinstance(octets.get("data"), list):  # a Buffer, as JSON has it
        octets = octets["data"]
    if not isinstance(octets, list) or not all(_is_octet(each) for each in octets) or len(octets) > MAX_PAYLOAD:
        raise CodecError(f"gave no message: `bytes` must be a list of at most {MAX_PAYLOAD} numbers from 0 to 255")
    if not _is_whole(f_port, 1, 223):
        raise CodecError("gave no message: `fPort` must be a number from 1 to 223")
    return Encoded(int(f_port), bytes(int(each) for each in octets), _texts(result.get("warnings")))


def _parsed(text: str) -> dict[str, Any]:
    try:
        result = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise CodecError("gave a result that cannot be read") from error
    if not isinstance(result, dict):
        raise CodecError("gave a result that is no object")
    _check_size(result)
    errors = _texts(result.get("errors"))
    if errors:
        raise CodecError(f"says: {'; '.join(errors)}")
    return result


def _check_size(result: object) -> None:
    """Refuse what nests too deep or holds too much; numbers that are none cannot come, JSON has no word for them."""
    level, depth, count = [result], 0, 0
    while level:
        depth += 1
        count += len(level)
        if depth > MAX_DEPTH or count > MAX_VALUES:
            raise CodecError(f"gave a result of over {MAX_VALUES} values or {MAX_DEPTH} levels")
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]


def _texts(value: object) -> tuple[str, ...]:
    """Return the sentences of `errors` or `warnings`; some codecs give one text in place of a list."""
    found = [value] if isinstance(value, str) and value else value
    if not isinstance(found, list):  # some codecs measure something of this name
        return ()
    return tuple((each if isinstance(each, str) else str(each))[:TEXT_CHARACTERS] for each in found[:MAX_TEXTS])


def _is_octet(value: object) -> bool:
    return _is_whole(value, 0, 255)


def _is_whole(value: object, low: int, high: int) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and low <= value <= high and float(value).is_integer()  # type: ignore[operator, arg-type]
