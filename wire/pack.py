"""The pack: samples as SenML JSON, and back.

Base name `<device>/`, name `<quantity>` or `<quantity>/<channel>`, base time in seconds with millisecond
decimals, unit, value, and `q_` where flags are set. A time is `round((bt + t) * 1000)` ms.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from wire import senml
from wire.bounds import MAX_FLAGS, MAX_NAME_BYTES, MAX_PACK_BYTES, MAX_PACK_READINGS, MAX_TIME_MS
from wire.errors import BadMessageError
from wire.ids import MAX_ID_CHARS, is_id
from wire.readings import Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def encode(samples: Iterable[Sample]) -> bytes:
    """Write samples as one pack.

    Raises: ValueError for a value that is not finite, which JSON would make null and the cloud reject, batch
    and all.
    """
    return senml.encode(_records(samples))


def _records(samples: Iterable[Sample]) -> Iterator[senml.Record]:
    version: int | None = senml.KNOWN_VERSION
    for sample in samples:
        device: str | None = f"{sample.device}/"
        time_s: float | None = sample.measured_at_ms / 1000
        for reading in sample.readings:
            if not math.isfinite(reading.value):
                raise ValueError(f"{sample.device}: {reading.name} is {reading.value}")
            yield senml.Record(
                bn=device,
                bt=time_s,
                bver=version,
                n=reading.name,
                u=reading.unit or None,
                v=reading.value,
                q=reading.flags or None,
            )
            device = time_s = version = None


def decode(data: bytes, *, earliest_s: float = senml.RELATIVE_BELOW_S) -> list[Sample]:
    """Read one pack. Records of one device and time that follow each other make one sample.

    `earliest_s`: a gateway that has no time yet allows its own packs any, for they count from its start; on the wire
    such a pack is none.

    Raises: BadMessageError for what is no pack of ours (relative or missing times, texts as values, no
    device in a name, over a bound); UnsupportedError for a newer version's.
    """
    if len(data) > MAX_PACK_BYTES:
        raise BadMessageError(f"a pack of {len(data)} bytes; at most {MAX_PACK_BYTES}")
    # Each record costs a brace and, decoded, 150 bytes: two megabytes of empty ones would take a hundred.
    count = data.count(b"{") - data.count(b":{")
    if count > MAX_PACK_READINGS:
        raise BadMessageError(f"a pack of {count} records; at most {MAX_PACK_READINGS}")
    samples = _decode_plain(data, earliest_s)
    return _decode_any(data, earliest_s) if samples is None else samples


class _Plain(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A record as `encode` writes it."""

    n: str
    v: float
    u: str = ""
    bn: str | None = None
    bt: float | None = None
    bver: Literal[26] = senml.KNOWN_VERSION
    q: Annotated[int, msgspec.Meta(ge=0, le=MAX_FLAGS)] = msgspec.field(default=0, name="q_")


_plain = msgspec.json.Decoder(list[_Plain])


class _NotPlainError(Exception):
    """The pack is not written as `encode` writes it; it may still be right."""


def _decode_plain(data: bytes, earliest_s: float) -> list[Sample] | None:
    """Read a pack that is written as `encode` writes it, at a third of the cost.

    Returns None for any other, be it right or wrong: `_decode_any` reads it, or says what is wrong with it.
    """
    try:
        records = _plain.decode(data)
        if not records or len(records) > MAX_PACK_READINGS:
            return None
        samples = _plain_samples(records, earliest_s)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _NotPlainError):
        return None
    if len({(sample.device, sample.measured_at_ms) for sample in samples}) != len(samples):
        return None  # parts of one sample that do not follow each other
    samples.sort(key=_time_of)
    return samples


def _plain_samples(records: list[_Plain], earliest_s: float) -> list[Sample]:
    """Cut records into samples: one begins wherever a base name and a base time stand, and nowhere else."""
    starts = [index for index, record in enumerate(records) if record.bt is not None or record.bn is not None]
    if not starts or starts[0] != 0:
        raise _NotPlainError
    samples = []
    for start, end in pairwise((*starts, len(records))):
        device, time_ms = _plain_base(records[start], earliest_s)
        readings = [
            Reading(name.quantity, record.v, record.u, name.channel, record.q)
            for record in records[start:end]
            for name in (_split(record.n),)
        ]
        samples.append(Sample(device, time_ms, tuple(readings)))
    return samples


def _plain_base(record: _Plain, earliest_s: float) -> tuple[str, int]:
    base, time_s = record.bn or "", record.bt or 0.0
    if base[-1:] != "/" or not is_id(base[:-1]) or not earliest_s <= time_s <= MAX_TIME_MS / 1000:
        raise _NotPlainError
    return base[:-1], round(time_s * 1000)


_time_of = attrgetter("measured_at_ms")


class _Name(NamedTuple):
    quantity: str
    channel: str


@lru_cache(4096)
def _split(name: str) -> _Name:
    """Split `<quantity>` or `<quantity>/<channel>`."""
    quantity, _, channel = name.partition("/")
    if not quantity or not senml.is_name(name) or len(name) > MAX_NAME_BYTES - MAX_ID_CHARS:
        raise _NotPlainError
    return _Name(quantity, channel)


def _decode_any(data: bytes, earliest_s: float) -> list[Sample]:
    """Read any pack, record by record."""
    records = senml.decode(data)
    if len(records) > MAX_PACK_READINGS:
        raise BadMessageError(f"a pack of {len(records)} records; at most {MAX_PACK_READINGS}")
    samples: list[Sample] = []
    device, time_ms = "", 0
    readings: list[Reading] = []
    for record in senml.resolve(records):
        name = record.n or ""
        at_ms = _time_ms(record, earliest_s)
        owner, _, rest = name.partition("/")
        if owner != device or at_ms != time_ms:
            if readings:
                samples.append(Sample(device, time_ms, tuple(readings)))
                readings = []
            if not is_id(owner):
                raise BadMessageError(f"record {name!r} names no device")
            device, time_ms = owner, at_ms
        readings.append(_reading(record, name, rest))
    if readings:
        samples.append(Sample(device, time_ms, tuple(readings)))
    return samples


def _time_ms(record: senml.Record, earliest_s: float) -> int:
    time_s = record.t or 0.0
    if time_s < earliest_s:
        raise BadMessageError(f"record {record.n!r} with the relative time {time_s} s; only absolute times are taken")
    if time_s > MAX_TIME_MS / 1000:
        raise BadMessageError(f"record {record.n!r} with the time {time_s} s, which no store can hold")
    return round(time_s * 1000)


def _reading(record: senml.Record, name: str, rest: str) -> Reading:
    quantity, _, channel = rest.partition("/")
    if not quantity:
        raise BadMessageError(f"record {name!r} names no quantity")
    if record.v is not None:
        value = record.v
    elif record.vb is not None:
        value = float(record.vb)
    else:
        raise BadMessageError(f"record {name!r} without a number")
    if record.q is not None and not 0 <= record.q <= MAX_FLAGS:
        raise BadMessageError(f"record {name!r} with flags that are no bit mask")
    return Reading(quantity, float(value), record.u or "", channel, record.q or 0)
