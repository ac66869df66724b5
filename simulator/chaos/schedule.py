"""What goes wrong, when, and for how long: a pure function of the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

FAMILIES: dict[str, tuple[str, ...]] = {
    "kill": ("agent", "agent", "collector", "broker", "store"),
    "pause": ("agent", "collector", "broker", "store"),
    "cut": ("uplink", "intake", "write"),
    "refuse": ("uplink", "intake", "write"),
    "blackhole": ("uplink", "intake", "write"),
    "silent": ("device",),
    "garbage": ("device",),
    "slow": ("device",),
    "full": ("disk",),
    "eio": ("card",),
    "corrupt": ("agent",),
    "restore": ("store",),
    "clock": ("clock",),
}
"""Kind of a fault -> what it may strike. `uplink`: agent to broker, `intake`: broker to collector, `write`: collector
to store. One that is named twice is struck twice as often."""
KINDS = tuple(FAMILIES)
LONGEST_S = {"kill": 8.0, "pause": 12.0, "refuse": 10.0, "blackhole": 15.0, "full": 12.0, "eio": 12.0, "clock": 15.0}
MOST_S = 10.0
LEAST_S = 0.5
CALM_S = 3.0
"""At the beginning, while everything starts."""
EVERY_S = 2.5
"""From one fault to the next, in the mean."""
ROUND_S = 600.0
"""At least one backup and one restored database in each such stretch."""
BACKUP_S = 3.0
RESTORE_S = 8.0
COVERED_S = 20.0
"""After a database was restored: until the gateways have been asked to send again."""
COSTS_COPIES = ("corrupt", "full")
"""What makes a spool give up or lose batches that the database has."""
STARTS = ("corrupt",)
"""What may make an agent start without the memory of its spool."""
STARTED_S = 30.0
"""It then believes the clock with which it starts, as `clock: trusted` says: by then
it knows the time again, whatever is done to the clock."""
TO_1970 = 0
"""Where a Pi's clock begins."""
STEPS_S = (TO_1970, -86_400, -3_600, -90, -5, 5, 90, 3_600, 86_400, 30 * 86_400)
"""Of a wall clock."""


class Fault(NamedTuple):
    """One fault. Seconds since the beginning."""

    at_s: float
    for_s: float
    kind: str
    target: str
    seed: int
    """For what it does by chance."""

    @property
    def until_s(self) -> float:
        """When it ends."""
        return self.at_s + self.for_s


@dataclass(frozen=True)
class Targets:
    """What there is to strike, by family, in the names that the plant knows."""

    names: dict[str, tuple[str, ...]]
    restoring: tuple[str, ...] = ()
    """What must be left in peace while the database is restored: the store and all collectors."""


@dataclass
class _Plan:
    targets: Targets
    seconds: float
    chance: random.Random
    faults: list[Fault] = field(default_factory=list)
    fragile: list[tuple[float, float]] = field(default_factory=list)
    """From a backup until the restored database is whole again: meanwhile the spools are its only copy."""

    def add(self, kind: str, target: str, at_s: float, for_s: float) -> None:
        self.faults.append(Fault(round(at_s, 2), round(for_s, 2), kind, target, self.chance.randrange(2**32)))

    def is_free(self, target: str, since_s: float, until_s: float) -> bool:
        def concerns(fault: Fault) -> bool:
            is_store = fault.kind in ("backup", "restore") and target in self.targets.restoring
            return fault.target == target or is_store

        return not any(concerns(f) and f.at_s < until_s and since_s < f.until_s for f in self.faults)

    def has_started(self, target: str, at_s: float) -> bool:
        return not any(f.target == target and f.kind in STARTS and f.until_s > at_s - STARTED_S for f in self.faults)


def plan(seed: int, seconds: float, targets: Targets, kinds: Collection[str] = KINDS) -> list[Fault]:
    """Deal out faults over so many seconds; every kind that has a target gets its turn, in an order of chance.

    A target has one fault at a time. No spool loses what is confirmed (corrupt, or on a full disk) between a backup and
    the end of what restores it: then two copies of the same reading would be lost, and nothing could be promised.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    made = _Plan(targets, seconds, chance)
    if "restore" in kinds and targets.restoring:
        _restores(made)
    deal = _deck(chance, targets, [kind for kind in KINDS if kind in kinds and kind != "restore"])
    at_s = CALM_S
    for kind, family in deal:
        at_s += chance.uniform(0.2, 2 * EVERY_S - 0.2)
        if at_s >= seconds - LEAST_S:
            break
        _place(made, kind, family, at_s)
    return sorted(made.faults)


def _restores(made: _Plan) -> None:
    begin_s = 0.0
    while begin_s < made.seconds:
        length_s = min(ROUND_S, made.seconds - begin_s)
        backup_s = begin_s + length_s * made.chance.uniform(0.15, 0.25)
        restore_s = begin_s + length_s * made.chance.uniform(0.5, 0.65)
        if restore_s - backup_s > BACKUP_S and restore_s < made.seconds - LEAST_S:
            made.add("backup", "store", backup_s, BACKUP_S)
            made.add("restore", "store", restore_s, min(RESTORE_S, made.seconds - restore_s))
            made.fragile.append((backup_s, restore_s + RESTORE_S + COVERED_S))
        begin_s += ROUND_S


def _deck(chance: random.Random, targets: Targets, kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Deal kinds and families, each once before any comes again; nothing where there is nothing to strike."""
    deck = [(kind, family) for kind in kinds for family in FAMILIES[kind] if targets.names.get(family)]
    while deck:
        yield from chance.sample(deck, len(deck))


def _place(made: _Plan, kind: str, family: str, at_s: float) -> None:
    """Choose a target that is whole at that time; none where all are struck already."""
    length_s = made.chance.uniform(LEAST_S, LONGEST_S.get(kind, MOST_S))
    for_s = 0.1 if kind == "cut" else min(length_s, made.seconds - at_s)
    if kind in COSTS_COPIES and any(since_s - for_s < at_s < until_s for since_s, until_s in made.fragile):
        return
    free = [name for name in made.targets.names[family] if made.is_free(name, at_s, at_s + for_s)]
    if kind == "clock":
        free = [name for name in free if made.has_started(name, at_s)]
    if free:
        made.add(kind, made.chance.choice(free), at_s, for_s)
