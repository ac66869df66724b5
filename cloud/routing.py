"""Where each reading of a batch goes: a pure function of the batch and the registry's dated history.

Writing the same batch twice gives the same points. All readings of one device and time that share a series make one
point, and share its `q`: the flags of any of them. A gap (`gap_until/<reason>`, `gap_readings/<reason>`) goes to the
measurement `gap`, for the reasons that this release knows. What the registry does not know as the gateway's own goes to
`unregistered`, whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud.points import Fields, Point, Series
from wire import gaps
from wire.bounds import MAX_PACK_READINGS
from wire.readings import is_suspect
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud.registry import Placement, Registry
    from wire.readings import Reading, Sample

NS_PER_MS = 1_000_000
MS_PER_S = 1_000
UNREGISTERED = "unregistered"
"""The measurement of what has no other place."""
_GAPS = frozenset({gaps.UNTIL, gaps.READINGS})
NS_PER_S = 1_000_000_000
TIME_MS = "time_ms"
"""The field that says when an unregistered reading was measured; Unix time in milliseconds."""
_BATCHES_APART = NS_PER_S // MAX_PACK_READINGS


def route(gateway: str, number: int, samples: Sequence[Sample], registry: Registry) -> list[Point]:
    """Turn the samples of one batch into points."""
    points: list[Point] = []
    placed: dict[tuple[str, int], dict[object, Fields]] = {}  # what a pack says of one device and time in parts
    index = 0  # of the reading in its pack
    for sample in samples:
        placement = registry.find(sample.device, sample.measured_at_ms)
        if placement is not None and placement.gateway != gateway:
            placement = None
        key = sample.device, sample.measured_at_ms
        by_series = placed.get(key)
        if by_series is None:
            by_series = placed[key] = {}
        for position, reading in _place(sample, placement, by_series, points):
            points.append(_unregistered(gateway, number, index + position, sample, reading))
        index += len(sample.readings)
    return points


def _place(
    sample: Sample, placement: Placement | None, by_series: dict[object, Fields], points: list[Point]
) -> list[tuple[int, Reading]]:
    """Give the readings of one sample their points; returns those that have no place, with their position.

    `by_series`: fields by channel and whether they are suspect, or by the reason of a gap.
    """
    if placement is None:
        return list(enumerate(sample.readings))
    strangers: list[tuple[int, Reading]] = []
    time_ns = sample.measured_at_ms * NS_PER_MS
    slots, series = placement.slots, placement.series
    for position, reading in enumerate(sample.readings):
        slot = slots.get((reading.quantity, reading.channel))
        flags = reading.flags
        if slot is not None and slot[0] == reading.unit:
            channel = slot[1]
            is_apart = flags != 0 and is_suspect(flags)
            key: object = ~channel if is_apart else channel
            fields = by_series.get(key)
            if fields is None:
                fields = by_series[key] = {}
                points.append(Point(placement.suspect(channel) if is_apart else series[channel], time_ns, fields))
        elif slot is None and _is_gap(reading):
            fields = by_series.get(reading.channel)
            if fields is None:
                fields = by_series[reading.channel] = {}
                points.append(Point(placement.gap(reading.channel), time_ns, fields))
        else:
            strangers.append((position, reading))
            continue
        if reading.quantity in fields:  # a name twice at one time: the second has no place of its own
            strangers.append((position, reading))
            continue
        fields[reading.quantity] = reading.value
        if flags:
            fields["q"] = float(int(fields.get("q", 0)) | flags)
    return strangers


def _is_gap(reading: Reading) -> bool:
    """Whether it says that readings are missing, for a reason that this release knows."""
    return (
        reading.quantity in _GAPS
        and reading.channel in gaps.REASONS
        and reading.unit == quantities()[reading.quantity].unit
    )


def _unregistered(gateway: str, number: int, index: int, sample: Sample, reading: Reading) -> Point:
    """Keep a reading whole where only its gateway is known.

    Many devices share that one series, so what lies below the second keeps their readings apart: the batch's number
    and the reading's index in its pack. Two meet only where batches a hundred thousand numbers apart, weeks of seals,
    hold readings of the same second. When the reading was measured stands beside it, to the millisecond.
    """
    apart_ns = (number % _BATCHES_APART) * MAX_PACK_READINGS + index
    return Point(
        Series.of(UNREGISTERED, gateway=gateway),
        sample.measured_at_ms // MS_PER_S * NS_PER_S + apart_ns,
        {
            TIME_MS: float(sample.measured_at_ms),
            "device": sample.device,
            "quantity": reading.quantity,
            "channel": reading.channel,
            "unit": reading.unit,
            "value": reading.value,
            "flags": float(reading.flags),
        },
    )
