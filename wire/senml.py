"""SenML JSON (RFC 8428): records, and their resolution.

Resolution makes every record stand by itself: base fields are joined into it, its time becomes absolute.
Source: RFC 8428 sections 4 to 4.6; RFC 9100 for what `bver` says about features.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import msgspec

from wire.bounds import MAX_NAME_BYTES
from wire.errors import BadMessageError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEFAULT_VERSION = 10
SECONDARY_UNITS = 1 << 4
"""RFC 9100: feature code 4; a pack that uses units of RFC 8798's secondary table says so in `bver`."""
KNOWN_VERSION: Final = 26
"""DEFAULT_VERSION | SECONDARY_UNITS."""
RELATIVE_BELOW_S = 2**28
"""RFC 8428 section 4.5.3: a smaller time is relative to now."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")


def is_name(text: str) -> bool:
    """Whether a text may be a name (RFC 8428 section 4.5.1), or follow a base name in one."""
    return _NAME.fullmatch(text) is not None


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
_members = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_encoder = msgspec.json.Encoder()


def encode(records: Iterable[Record]) -> bytes:
    """Write records as SenML JSON."""
    return _encoder.encode(list(records))


def decode(data: bytes) -> list[Record]:
    """Read SenML JSON. An unknown member is skipped.

    Raises: BadMessageError where it is none; UnsupportedError for an unknown member that ends in an
    underscore, which by RFC 8428 section 4.4 a reader must understand.
    """
    try:
        # a member's name that ends in an underscore, and is not ours, or may be hidden behind an escape
        if data.count(b'_"') != data.count(b'"q_"') or b"\\" in data:
            _check_members(data)
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessageError(f"no SenML: {error}") from error


def _check_members(data: bytes) -> None:
    for record in _members.decode(data):
        for member in record:
            if member.endswith("_") and member != "q_":
                raise UnsupportedError(f"SenML member {member!r} must be understood")


def resolve(records: Iterable[Record], *, now_s: float = 0.0) -> list[Record]:
    """Resolve records (RFC 8428 section 4.6): each stands by itself, and all are in the order of time.

    A base field holds from the record that sets it until one that sets it again. Times of absolute records
    stay absolute; relative ones become `now_s` + t. A record with neither value nor sum is left out: it only
    sets base fields. Records of one time keep their order.

    Raises: BadMessageError for a name that is none, a number that is not finite, more than one value, no
    value at all; UnsupportedError for a version or feature that is not known.
    """
    resolved = list(_resolve(records, now_s))
    resolved.sort(key=lambda record: record.t or 0.0)
    return resolved


def _resolve(records: Iterable[Record], now_s: float) -> Iterator[Record]:
    base = _Base()
    for record in records:
        base.take(record)
        if base.holds_all_of(record):
            continue
        name = base.name if record.n is None else base.name + record.n
        if len(name) > MAX_NAME_BYTES:
            raise BadMessageError(f"a SenML name of {len(name)} characters; at most {MAX_NAME_BYTES}")
        if not _NAME.fullmatch(name):
            raise BadMessageError(f"SenML name {name!r} is none")
        value, total = base.value_and_sum(record, name)
        time = base.time if record.t is None else base.time + record.t
        if time < RELATIVE_BELOW_S:
            time += now_s
        _check_finite(name, value, total, time)
        yield Record(
            bver=base.version_shown(),
            n=name,
            u=base.unit if record.u is None else (record.u or None),
            v=value,
            vs=record.vs,
            vb=record.vb,
            vd=record.vd,
            s=total,
            t=time,
            ut=record.ut,
            q=record.q,
        )


class _Base:
    """The base fields in force; each holds from the record that sets it until one that sets it again."""

    __slots__ = ("name", "sum", "time", "unit", "value", "version")

    def __init__(self) -> None:
        self.name = ""
        self.time = 0.0
        self.unit: str | None = None
        self.value: float | None = None
        self.sum: float | None = None
        self.version: int | None = None

    def take(self, record: Record) -> None:
        """Take over the base fields that a record sets."""
        if record.bn is not None:
            self.name = record.bn
        if record.bt is not None:
            self.time = record.bt
        if record.bu is not None:
            self.unit = record.bu or None
        if record.bv is not None:
            self.value = record.bv
        if record.bs is not None:
            self.sum = record.bs
        if record.bver is not None and record.bver != self.version:
            _check_version(record.bver, self.version)
            self.version = record.bver

    def holds_all_of(self, record: Record) -> bool:
        """Whether a record does nothing but set base fields."""
        return (
            record.n is None
            and (record.v is None and record.vs is None and record.vb is None and record.vd is None)
            and record.s is None
            and (self.value is None and self.sum is None)
        )

    def value_and_sum(self, record: Record, name: str) -> tuple[float | None, float | None]:
        """Value and sum of a record, each with its base added; a missing one of the two counts as zero."""
        value, total = record.v, record.s
        if self.sum is not None:
            total = self.sum + (total or 0.0)
        others = (record.vs is not None) + (record.vb is not None) + (record.vd is not None)
        if others + (value is not None) > 1:
            raise BadMessageError(f"SenML record {name!r} with more than one value")
        if self.value is not None and not others:
            value = self.value + (value or 0.0)
        if value is None and total is None and not others:
            raise BadMessageError(f"SenML record {name!r} without a value")
        return value, total

    def version_shown(self) -> int | None:
        """Version for a resolved record, which leaves the default out (RFC 8428 section 4.6)."""
        return None if self.version == DEFAULT_VERSION else self.version


def _check_version(version: int, before: int | None) -> None:
    if before is not None:
        raise BadMessageError(f"SenML pack of version {before} and {version}")
    if not 0 < version <= DEFAULT_VERSION and version != KNOWN_VERSION:
        raise UnsupportedError(f"SenML version {version}")


def _check_finite(name: str, value: float | None, total: float | None, time: float) -> None:
    for number in (value, total, time):
        if number is not None and not math.isfinite(number):
            raise BadMessageError(f"SenML record {name!r} with a number that is not finite")
