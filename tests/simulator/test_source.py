"""What the past and the fleet are made of."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from simulator import shapes, source
from simulator.source import Ramps, Shapes
from simulator.town import DEMO
from wire import batch as wire_batch
from wire.vocabulary import quantities

BEGIN_MS = 1_795_345_200_000
HOUR_MS = 3_600_000
STREAM = "0123456789abcdef"


@pytest.mark.parametrize("kind", [Shapes, Ramps])
def test_a_batch_holds_what_the_account_expects(kind: type[Shapes]) -> None:
    """Every device at every tick, every quantity with its unit and the value that is its truth."""
    made = kind(DEMO, 300)
    span = BEGIN_MS + 1, BEGIN_MS + HOUR_MS
    payload, count = source.payload(made, "demo-gw", STREAM, 7, span)
    header, packed = wire_batch.open_header(payload)
    samples = wire_batch.open_pack(header, packed)
    assert (header.stream, header.number, header.sealed_at_ms) == (STREAM, 7, span[1])
    found = {(s.device, r.name, s.measured_at_ms): (r.value, r.unit) for s in samples for r in s.readings}
    expected = {
        (poll.device, name, poll.polled_at_ms): (
            made.truth(poll.device, name, poll.polled_at_ms),
            quantities()[name.partition("/")[0]].unit,
        )
        for poll in source.polls(made, "demo-gw", *span)
        for name in DEMO.quantities[poll.device]
    }
    assert found == expected
    assert count == len(expected) == 12 * sum(len(names) for names in DEMO.quantities.values())


def test_stretches_of_time_that_meet_share_no_tick() -> None:
    """Every tick is in one of them."""
    made = Ramps(DEMO, 10)
    cuts = [BEGIN_MS, BEGIN_MS + 9_999, BEGIN_MS + 10_000, BEGIN_MS + 35_000, BEGIN_MS + 60_000]
    parts = [tick for after, until in pairwise(cuts) for tick in source.ticks(made, after, until)]
    assert parts == list(source.ticks(made, BEGIN_MS, BEGIN_MS + 60_000))
    assert parts == [BEGIN_MS + n * 10_000 for n in range(1, 7)]


def test_a_counter_goes_on_where_history_ends() -> None:
    """History never claims more than the live meter shows a moment later."""
    past = Shapes(DEMO, 300)
    for hours in range(0, 24 * 60, 7):
        at_ms = BEGIN_MS + hours * HOUR_MS
        for device in DEMO.devices:
            for energy in sorted(shapes.ENERGIES.intersection(device.model.names)):
                assert past.truth(device.id, energy, at_ms) <= DEMO.truth(device.id, energy, at_ms)


def _power(sector: str, *moment: int) -> float:
    """Mean over many devices, so that no single one's quick waves decide."""
    at_ms = round(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc] # numbers of a date
    return sum(shapes.value(f"d{n}", "active_power", at_ms, sector) for n in range(50)) / 50


@pytest.mark.parametrize(
    ("sector", "more", "less"),
    [
        ("buildings", (2026, 3, 11, 11), (2026, 3, 11, 23)),
        ("buildings", (2026, 3, 11, 11), (2026, 3, 15, 11)),
        ("industry", (2026, 3, 11, 11), (2026, 3, 15, 11)),
        ("heat", (2026, 1, 14, 8), (2026, 7, 15, 8)),
        ("climate", (2026, 7, 15, 13), (2026, 1, 14, 13)),
        ("traffic", (2026, 3, 11, 7), (2026, 3, 11, 1)),
    ],
    ids=["noon over midnight", "wednesday over sunday", "workday over sunday", "winter", "summer", "rush hour"],
)
def test_every_sector_has_its_rhythm(sector: str, more: tuple[int, ...], less: tuple[int, ...]) -> None:
    """By a quarter at least."""
    assert _power(sector, *more) > 1.25 * _power(sector, *less)


@pytest.mark.parametrize("sector", sorted(shapes.PATTERNS))
def test_power_never_falls_to_nothing(sector: str) -> None:
    """No sum of waves eats up the load, so no counter ever turns back."""
    quick = 0.12 + 0.05
    assert sum(abs(wave.share) for wave in shapes.PATTERNS[sector]) + quick < 1
