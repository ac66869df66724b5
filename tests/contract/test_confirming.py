"""The promise of confirming, over random schedules: nothing unstored is let go, everything is stored in the end.

Half of them are slow tests. `MESSNETZ_SCHEDULES=20000` plays more; a failure names its seed, and `MESSNETZ_SEED` plays
that one alone.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from gateway.spool import Spool

from confirming_world import TIMEOUT_S, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEDULES = int(os.environ.get("MESSNETZ_SCHEDULES", "240"))
ONLY = os.environ.get("MESSNETZ_SEED")
PARTS = 8
STEPS = 80
SEAL_S = 20.0
FRESH_WITHIN_S = 12 * TIMEOUT_S
"""Three collisions with batches that kill the collector, each with its time-out, and a turn in the probe slot."""
PATIENCE_S = 3_000.0
LONG_S = 2_000.0
MOST_DEATHS = 20
"""By one poisonous batch in `LONG_S`: three tries, probes with growing pauses, then one in 150 s or more."""


def _deal(world: World, queue: list[bytes], take: Callable[[bytes], None]) -> None:
    """Deliver any message of a queue, perhaps twice, perhaps never."""
    if queue:
        at = world.chance.randrange(len(queue))
        fate = world.chance.random()
        payload = queue[at] if fate < 0.2 else queue.pop(at)  # what stays is delivered again
        if fate < 0.9:
            take(payload)


def _one_thing_happens(world: World) -> None:
    chance = world.chance
    collector = chance.choice(world.collectors)
    rest: list[tuple[int, Callable[[], object]]] = [
        (10, lambda: world.seal(poisonous=chance.random() < 0.04, unstorable=chance.random() < 0.04)),
        (12, lambda: setattr(world, "now_s", world.now_s + chance.choice([0.1, 1, 5, 15, 60, 400]))),
        (20, lambda: _deal(world, world.to_collectors, collector.inbox.append)),
        (12, lambda: world.collect(collector, chance.randint(1, 5))),
        (12, lambda: world.say(collector)),
        (14, lambda: _deal(world, world.to_gateway, world.sender.confirmed)),
        (3, lambda: collector.die(world.now_s)),
        (4, world.forge),
        (4, world.mark),
        (8, world.reconnect),
        (1, world.sender.disconnected),
        (2, world.kill_agent),
        (2, world.evict),
        (2, lambda: setattr(world.store, "backup", dict(world.store.batches))),
        (1, world.restore),
        (1, world.resend),
        (3, lambda: _restore_and_resend(world)),
        (3, lambda: setattr(world, "is_refusing", not world.is_refusing)),
    ]
    chance.choices([act for _, act in rest], [weight for weight, _ in rest])[0]()


def _restore_and_resend(world: World) -> None:
    world.restore()
    world.resend()


def _interrupt(world: World) -> None:
    """What may happen while the spool is read: the agent's loop runs on."""
    if world.chance.random() < 0.2:
        world.chance.choice(
            [
                lambda: _deal(world, world.to_gateway, world.sender.confirmed),
                world.reconnect,
                world.sender.disconnected,
                world.forge,
            ]
        )()


def _play(world: World) -> None:
    world.meanwhile = lambda: _interrupt(world)
    for _ in range(STEPS):
        _one_thing_happens(world)
        world.step()
        world.check()


def _all_goes_well(world: World, seconds: float, *, until_done: bool) -> None:
    """From now on messages arrive, collectors come back, batches are sealed; a poisonous one still kills."""
    end_s, next_seal_s = world.now_s + seconds, world.now_s
    while world.now_s < end_s and not (until_done and not world.missing()):
        if world.now_s >= next_seal_s and not until_done:
            world.seal()
            next_seal_s = world.now_s + SEAL_S
        wait_s = world.step()
        while world.to_collectors or world.to_gateway:
            alive = [c for c in world.collectors if c.back_at_s <= world.now_s]
            for payload in world.to_collectors:
                if alive:
                    world.chance.choice(alive).inbox.append(payload)
            world.to_collectors.clear()
            for collector in alive:
                world.collect(collector, 64)
                world.say(collector)
            for payload in world.to_gateway:
                world.sender.confirmed(payload)
            world.to_gateway.clear()
            wait_s = world.step()
        world.mark()
        world.check()
        world.now_s += min(max(wait_s, 0.01), 1.0 if until_done else max(0.01, next_seal_s - world.now_s))


def _recover(world: World) -> None:
    """End what the schedule left half done: a restored database is covered, the link stands."""
    world.meanwhile = lambda: None
    world.is_refusing = False
    if world.store.owed:
        world.resend()
    world.reconnect()


def _story(directory: Path, seed: int) -> None:
    world = World(directory / f"{seed}.sqlite", seed)
    try:
        _play(world)
        _recover(world)
        _all_goes_well(world, PATIENCE_S, until_done=True)
        assert not world.missing(), f"never stored: {world.missing()}"
        if seed % 16 < 2:
            _assert_nobody_is_held_up(world)
    finally:
        world.close()


def _assert_nobody_is_held_up(world: World) -> None:
    before, old = sum(collector.deaths for collector in world.collectors), set(world.sealed)
    world.seal(poisonous=True)
    _all_goes_well(world, LONG_S, until_done=False)
    deaths = sum(collector.deaths for collector in world.collectors) - before
    assert deaths <= MOST_DEATHS * len(world.poisonous), f"{deaths} collectors killed by {len(world.poisonous)} batches"
    fresh = world.sealed.keys() - old - world.poisonous
    late = {k: s for k in fresh if (s := world.stored_at_s.get(k, world.now_s) - world.sealed[k]) > FRESH_WITHIN_S}
    assert not late, f"fresh batches that came late: {late}"


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[pytest.mark.slow] if part and not ONLY else []) for part in range(PARTS)]
)
def test_nothing_unstored_is_let_go_and_everything_is_stored(part: int, tmp_path: Path) -> None:
    """Whatever broker, collectors, database and agent do; and a batch that kills its reader delays nobody for long."""
    new = tmp_path / "new.sqlite"
    Spool(new, keep_confirmed_ms=0).close()
    for seed in [int(ONLY)] if ONLY else range(part, SCHEDULES, PARTS):
        shutil.copy(new, tmp_path / f"{seed}.sqlite")  # a new one would be waited for until it is on the disk
        try:
            _story(tmp_path, seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
