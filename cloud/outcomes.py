"""What became of unregistered readings, or would: counted by gateway, device and reason, and shown as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from base.messages import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wire.readings import Sample

MOST_ROWS = 10_000
"""Of one table; a gateway gone wild may make up ids without end."""
MOST_QUANTITIES = 40
OTHERS = "..."


class Kind(Enum):
    """What became of a reading: the first three have a place, all others stay unregistered."""

    ADOPTED = Text(de="übernommen", en="adopted")
    TO_ADOPT = Text(de="kann übernommen werden", en="can be adopted")
    PRESENT = Text(de="lag schon an seinem Platz", en="was in its place already")
    TAKEN = Text(
        de="bleibt: an seinem Platz liegt ein anderer Wert", en="left: another value of that time is in its place"
    )
    UNKNOWN = Text(de="bleibt: nicht im Register", en="left: not in the registry")
    OTHER_GATEWAY = Text(
        de="bleibt: das Register hat es am Gateway {detail}", en="left: the registry has it at the gateway {detail}"
    )
    BEFORE = Text(
        de="bleibt: gemessen vor {detail}, dem ersten Tag seines Eintrags; schreibe `since: {day}` und baue das "
        "Register mit --backdate",
        en="left: measured before {detail}, the first day of its entry; write `since: {day}` and build the registry "
        "with --backdate",
    )
    AFTER = Text(
        de="bleibt: das Register hat es nur bis {detail}", en="left: the registry has it up to {detail} and no longer"
    )
    QUANTITY = Text(de="bleibt: nicht im Profil {detail}", en="left: not in the profile {detail}")
    UNIT = Text(de="bleibt: in {detail}", en="left: in {detail}")

    @property
    def has_place(self) -> bool:
        """Whether the reading counts where it belongs."""
        return self in (Kind.ADOPTED, Kind.TO_ADOPT, Kind.PRESENT)


class Outcome(NamedTuple):
    """What became of a reading, and what the reason depends on."""

    kind: Kind
    detail: str = ""


class _Key(NamedTuple):
    gateway: str
    device: str
    outcome: Outcome


@dataclass
class Count:
    """Readings of one device that had the same outcome; times in Unix milliseconds."""

    first_ms: int
    last_ms: int
    readings: int = 0
    quantities: set[str] = field(default_factory=set)


HEAD = (
    Text(de="Gateway", en="gateway"),
    Text(de="Gerät", en="device"),
    Text(de="Messwerte", en="readings"),
    Text(de="von (UTC)", en="from (UTC)"),
    Text(de="bis", en="to"),
    Text(de="was", en="what"),
    Text(de="Messgrößen", en="quantities"),
)
TOTAL = Text(
    de="{placed} Messwerte übernommen oder schon an ihrem Platz, {left} bleiben",
    en="{placed} readings adopted or in their place already, {left} left",
)
DRY_TOTAL = Text(
    de="{placed} Messwerte können übernommen werden, {left} bleiben; geschrieben wurde nichts",
    en="{placed} readings can be adopted, {left} are left; nothing was written",
)
NOTHING = Text(de="Nichts ist unregistriert.", en="Nothing is unregistered.")


class Tally:
    """Counts outcomes in bounded memory."""

    def __init__(self) -> None:
        self._counts: dict[_Key, Count] = {}

    def add(self, gateway: str, sample: Sample, outcome: Outcome) -> None:
        """Count a sample's one reading."""
        key = _Key(gateway, sample.device, outcome)
        if key not in self._counts and len(self._counts) >= MOST_ROWS:
            key = _Key(gateway, OTHERS, outcome)
        at_ms = sample.measured_at_ms
        count = self._counts.setdefault(key, Count(at_ms, at_ms))
        count.readings += 1
        count.first_ms, count.last_ms = min(count.first_ms, at_ms), max(count.last_ms, at_ms)
        if len(count.quantities) < MOST_QUANTITIES:
            count.quantities.add(sample.readings[0].name)

    def total(self, *kinds: Kind) -> int:
        """Return how many readings had one of these outcomes; all where none is named."""
        return sum(count.readings for key, count in self._counts.items() if not kinds or key.outcome.kind in kinds)

    def __iter__(self) -> Iterator[tuple[str, str, Outcome, Count]]:
        """Yield gateway, device, outcome and count, by gateway, device and time."""
        for key, count in sorted(self._counts.items(), key=lambda item: (item[0][:2], item[1].first_ms)):
            yield *key, count

    def table(self, *, is_dry: bool) -> Iterator[str]:
        """Yield the lines that a person reads."""
        if not self._counts:
            yield NOTHING.say()
            return
        rows = [tuple(title.say() for title in HEAD), *(_row(*line) for line in self)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD) - 1)]
        for row in rows:
            yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        placed = self.total(*(kind for kind in Kind if kind.has_place))
        yield (DRY_TOTAL if is_dry else TOTAL).say(placed=placed, left=self.total() - placed)


def _row(gateway: str, device: str, outcome: Outcome, count: Count) -> tuple[str, ...]:
    names = sorted(count.quantities)
    if len(names) >= MOST_QUANTITIES:
        names.append(OTHERS)
    what = outcome.kind.value.say(detail=outcome.detail, day=_moment(count.first_ms)[:10])
    return (
        gateway,
        device,
        str(count.readings),
        _moment(count.first_ms),
        _moment(count.last_ms),
        what,
        ", ".join(names),
    )


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
