"""SenML JSON (RFC 8428): records, and their resolution.

Resolution makes every record stand by itself: base fields are joined into it, its time becomes absolute.
Source: RFC 8428 sections 4 to 4.6; RFC 9100 for what `bver` says about features.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgspec

from wire.errors import BadMessageError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEFAULT_VERSION = 10
SECONDARY_UNITS = 1 << 4
"""RFC 9100: feature code 4; a pack that uses units of RFC 8798's secondary table says so in `bver`."""
KNOWN_VERSION = DEFAULT_VERSION | SECONDARY_UNITS
RELATIVE_BELOW_S = 2**28
"""RFC 8428 section 4.5.3: a smaller time is relative to now."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9:./_-]*$")
_MUST_UNDERSTAND = re.compile(rb'"((?:[^"\\]|\\.)*_)"\s*:')
_ESCAPED_KEY = re.compile(rb'"[^"\\]*\\(?:[^"\\]|\\.)*"\s*:')


class Record(msgspec.Struct, omit_defaults=True, gc=False):
    """One SenML record; fields as in RFC 8428 section 4.3, `q` is our `q_` (flags, a bit mask)."""

    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    bv: float | None = None
    bs: float | None = None
    bver: int | None = None
    n: str | None = None
    u: str | None = None
    v: float | None = None
    vs: str | None = None
    vb: bool | None = None
    vd: str | None = None
    s: float | None = None
    t: float | None = None
    ut: float | None = None
    q: int | None = msgspec.field(default=None, name="q_")


_decoder = msgspec.json.Decoder(list[Record])
_encoder = msgspec.json.Encoder()


def encode(records: Iterable[Record]) -> bytes:
    """Write records as SenML JSON."""
    return _encoder.encode(list(records))


def decode(data: bytes) -> list[Record]:
    """Read SenML JSON. An unknown member is skipped.

    Raises: BadMessageError where it is none; UnsupportedError for an unknown member that ends in an
    underscore, which by RFC 8428 section 4.4 a reader must understand.
    """
    for match in _MUST_UNDERSTAND.finditer(data):
        if match[1] != b"q_":
            raise UnsupportedError(f"SenML member {match[1].decode(errors='replace')!r} must be understood")
    if _ESCAPED_KEY.search(data):
        raise BadMessageError("SenML with an escaped member name")
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessageError(f"no SenML: {error}") from error


def resolve(records: Iterable[Record], *, now_s: float = 0.0) -> Iterator[Record]:
    """Resolve records in their order (RFC 8428 section 4.6); a base field holds until it is set again.

    Times of absolute records stay absolute; relative ones become `now_s` + t. A record with neither value
    nor sum is left out: it only sets base fields.

    Raises: BadMessageError for a name that is none, a number that is not finite, more than one value, no
    value at all; UnsupportedError for a version or feature that is not known.
    """
    base_name, base_unit = "", None
    base_time = 0.0
    base_value = base_sum = None
    version = None
    for record in records:
        base_name = base_name if record.bn is None else record.bn
        base_time = base_time if record.bt is None else record.bt
        base_unit = base_unit if record.bu is None else (record.bu or None)
        base_value = base_value if record.bv is None else record.bv
        base_sum = base_sum if record.bs is None else record.bs
        if record.bver is not None and record.bver != version:
            _check_version(record.bver, version)
            version = record.bver
        name = base_name if record.n is None else base_name + record.n
        value, total = record.v, record.s
        values = (value is not None) + (record.vs is not None) + (record.vb is not None) + (record.vd is not None)
        if values == 0 and total is None:
            if record.n is None and base_value is None and base_sum is None:
                continue  # only base fields
            if base_value is None and base_sum is None:
                raise BadMessageError(f"SenML record {name!r} without a value")
        if values > 1:
            raise BadMessageError(f"SenML record {name!r} with more than one value")
        if not _NAME.match(name):
            raise BadMessageError(f"SenML name {name!r} is none")
        if base_value is not None and (value is not None or values == 0):
            value = base_value + (value or 0.0)
        if base_sum is not None:
            total = base_sum + (total or 0.0)
        time = base_time if record.t is None else base_time + record.t
        if time < RELATIVE_BELOW_S:
            time += now_s
        _check_finite(name, value, total, time)
        yield Record(
            bver=None if version in (None, DEFAULT_VERSION) else version,
            n=name,
            u=base_unit if record.u is None else (record.u or None),
            v=value,
            vs=record.vs,
            vb=record.vb,
            vd=record.vd,
            s=total,
            t=time,
            ut=record.ut,
            q=record.q,
        )


def _check_version(version: int, before: int | None) -> None:
    if before is not None:
        raise BadMessageError(f"SenML pack of version {before} and {version}")
    if version < DEFAULT_VERSION or version & ~KNOWN_VERSION:
        raise UnsupportedError(f"SenML version {version}")


def _check_finite(name: str, value: float | None, total: float | None, time: float) -> None:
    for number in (value, total, time):
        if number is not None and not math.isfinite(number):
            raise BadMessageError(f"SenML record {name!r} with a number that is not finite")
