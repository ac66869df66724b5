"""The agent's own time: what is believed, what is followed, and what readings say of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from clocks import START_MS, Clocks

from gateway.spool_records import EARLIEST_MS
from gateway.stamps import GRID_MS, SAME_MS, Past, Stamps, Timing
from gateway.timekeeper import ASK_AGAIN_MS, GATHER_MS, LATE_MS, PATIENCE_MS, SETTLED_MS, Timekeeper
from wire.readings import Flag, Reading, Sample

HOUR_MS = 3_600_000
UNSYNCED = Flag.CLOCK_UNSYNCED.value
NOTHING = Past()


@dataclass
class Machine:
    """A machine, its agent's time, and collectors that answer after a while."""

    kind: str = "kernel"
    clocks: Clocks = field(default_factory=Clocks)
    is_connected: bool = True
    answers_ahead_ms: tuple[int, ...] = ()
    """By how much each collector's clock is ahead."""
    round_trip_ms: int = 0
    asked: int = 0
    past: Past = NOTHING

    def __post_init__(self) -> None:
        self.keeper = Timekeeper("trusted" if self.kind == "trusted" else "kernel", self.clocks, self.past)

    def run(self, duration_ms: int) -> None:
        """Let time pass, a second at a time."""
        for _ in range(duration_ms // 1000):
            self.clocks.true_ms += 1000
            if not self.keeper.turn(is_connected=self.is_connected).asks:
                continue
            self.asked += 1
            self.clocks.true_ms += self.round_trip_ms // 2
            said = [self.clocks.true_ms + ahead_ms for ahead_ms in self.answers_ahead_ms]
            self.clocks.true_ms += self.round_trip_ms - self.round_trip_ms // 2
            for now_ms in said:
                self.keeper.told(now_ms)

    def now(self) -> tuple[int, int]:
        """Return by how much a stamp of now is ahead of true time, and its flags."""
        at_ms, flags = self.keeper.stamp(self.clocks.monotonic_s)
        return at_ms - self.clocks.true_ms, flags


def _exact(machine: Machine) -> bool:
    ahead_ms, flags = machine.now()
    return -GRID_MS < ahead_ms <= GRID_MS and flags == 0


def test_without_time_a_stamp_counts_from_the_start_of_the_machine() -> None:
    """Whatever the wall clock says: nobody vouches for it."""
    machine = Machine()
    machine.run(60_000)
    assert machine.keeper.stamp(machine.clocks.monotonic_s) == (60_000, 0)
    assert machine.keeper.timing is None


def test_the_kernels_word_places_all_of_the_boot() -> None:
    """What was read before gets the time that it had, without a flag."""
    machine = Machine()
    machine.run(30_000)
    sample = Sample("main", machine.keeper.stamp(machine.clocks.monotonic_s).at_ms, (Reading("voltage", 1.0, "V"),))
    measured_ms = machine.clocks.true_ms
    machine.run(60_000)
    machine.clocks.synchronised = True
    machine.run(1000)
    assert _exact(machine)
    assert machine.keeper.timing is not None
    placed = machine.keeper.timing.place(sample)
    assert abs(placed.measured_at_ms - measured_ms) < GRID_MS
    assert placed.readings == sample.readings
    assert machine.keeper.timing.place(placed) == placed


def test_the_kernels_word_holds_for_the_boot_and_over_restarts() -> None:
    """Its flag returns by itself after hours without NTP."""
    machine = Machine(clocks=Clocks(synchronised=True))
    machine.run(10_000)
    machine.clocks.synchronised = False
    machine.run(HOUR_MS)
    assert _exact(machine)
    restarted = Machine(clocks=machine.clocks, past=Past(machine.keeper.timing))
    assert _exact(restarted)
    assert restarted.keeper.timing == machine.keeper.timing


def test_another_boot_begins_without_time() -> None:
    """The clock of a Pi that was off is as wrong as ever."""
    machine = Machine(clocks=Clocks(synchronised=True))
    machine.run(10_000)
    machine.clocks.reboot("boot-2")
    machine.clocks.synchronised = False
    assert Machine(clocks=machine.clocks, past=Past(None, 0, START_MS + 10_000)).keeper.timing is None


@pytest.mark.parametrize("kind", ["kernel", "trusted"])
def test_a_machine_that_believes_it_is_1970_is_not_believed(kind: str) -> None:
    """Not even where its clock is trusted."""
    machine = Machine(kind, clocks=Clocks(wall_ahead_ms=-START_MS, synchronised=True))
    machine.run(60_000)
    assert machine.keeper.stamp(0.0).at_ms < EARLIEST_MS
    machine.clocks.wall_ahead_ms = 0
    machine.run(1000)
    assert _exact(machine)


@pytest.mark.parametrize("step_ms", [-HOUR_MS, -2000, 2000, HOUR_MS])
def test_a_step_of_a_synchronised_clock_is_followed_at_once(step_ms: int) -> None:
    """What NTP sets is true; what was before was not."""
    machine = Machine(clocks=Clocks(synchronised=True, wall_ahead_ms=-step_ms))
    machine.run(10_000)
    machine.clocks.wall_ahead_ms = 0
    machine.run(1000)
    assert _exact(machine)


@pytest.mark.parametrize("kind", ["kernel", "trusted"])
@pytest.mark.parametrize("step_ms", [-START_MS, -HOUR_MS, -1500, 1500, HOUR_MS])
def test_a_step_that_nobody_vouches_for_is_not_followed(kind: str, step_ms: int) -> None:
    """The time goes on; readings carry flag 16 until both clocks agree again."""
    machine = Machine(kind, clocks=Clocks(synchronised=True), is_connected=False)
    machine.run(10_000)
    timing = machine.keeper.timing
    machine.clocks.wall_ahead_ms, machine.clocks.synchronised = step_ms, False
    machine.run(2 * PATIENCE_MS)
    ahead_ms, flags = machine.now()
    assert abs(ahead_ms) <= GRID_MS
    assert flags == UNSYNCED
    machine.clocks.wall_ahead_ms = 0
    machine.run(1000)
    assert _exact(machine)
    assert machine.keeper.timing == timing


def test_a_restart_between_two_steps_does_not_believe_the_wrong_clock() -> None:
    """The boot has a time already, and keeps it."""
    machine = Machine("trusted")
    machine.run(10_000)
    machine.clocks.wall_ahead_ms = HOUR_MS
    restarted = Machine("trusted", clocks=machine.clocks, past=Past(machine.keeper.timing))
    assert abs(restarted.now()[0]) <= GRID_MS
    assert restarted.now()[1] == UNSYNCED


def test_the_collector_is_asked_after_ten_minutes_and_only_with_an_uplink() -> None:
    """Half the round trip is added; readings carry flag 16 until the kernel says yes."""
    machine = Machine(clocks=Clocks(wall_ahead_ms=-START_MS), answers_ahead_ms=(0,), round_trip_ms=800)
    machine.run(PATIENCE_MS - 1000)
    assert machine.asked == 0
    machine.is_connected = False
    machine.run(PATIENCE_MS)
    assert machine.asked == 0
    machine.is_connected = True
    machine.run(10_000)
    ahead_ms, flags = machine.now()
    assert abs(ahead_ms) <= GRID_MS
    assert (flags, machine.asked) == (UNSYNCED, 1)
    assert machine.keeper.timing is not None
    assert machine.keeper.timing.placing_flags == UNSYNCED
    placing_ms = machine.keeper.timing.placing_ms
    machine.clocks.wall_ahead_ms, machine.clocks.synchronised = 0, True
    machine.run(1000)
    assert _exact(machine)
    assert machine.keeper.timing.placing_ms == placing_ms, "placed once, with what was known then"
    assert machine.keeper.timing.placing_flags == UNSYNCED


def test_nobody_answers_and_the_agent_asks_again() -> None:
    """At a bounded rate."""
    machine = Machine()
    machine.run(PATIENCE_MS + 10 * ASK_AGAIN_MS)
    assert 10 <= machine.asked <= 11
    assert machine.keeper.wants_time


@pytest.mark.parametrize("ahead_ms", [-START_MS, -START_MS + 10**12])
def test_a_collector_before_the_build_date_is_refused(ahead_ms: int, caplog: pytest.LogCaptureFixture) -> None:
    """There cannot have been this release then."""
    machine = Machine(answers_ahead_ms=(ahead_ms,))
    machine.run(PATIENCE_MS + 60_000)
    assert machine.keeper.timing is None
    assert "ignored" in caplog.text


def test_a_word_that_nobody_asked_for_or_that_is_late_is_ignored() -> None:
    """It may be an old one that a broker has kept."""
    machine = Machine()
    machine.keeper.told(START_MS)
    machine.run(PATIENCE_MS)
    machine.clocks.true_ms += LATE_MS + 1
    machine.keeper.told(machine.clocks.true_ms)
    machine.run(GATHER_MS)
    assert machine.keeper.timing is None


@pytest.mark.parametrize(
    ("answers_ahead_ms", "ahead_ms"),
    [((0, 50), 0), ((-HOUR_MS * 24 * 60, 0), 0), ((0, 0, HOUR_MS), 0), ((0, HOUR_MS), 0)],
    ids=["agree", "one before the last known time", "three", "two: the earlier"],
)
def test_collectors_that_disagree(
    answers_ahead_ms: tuple[int, ...], ahead_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    """None before the last known time; else the middle one; of two the earlier, since the future is refused."""
    machine = Machine(answers_ahead_ms=answers_ahead_ms, past=Past(None, 0, START_MS))
    machine.run(PATIENCE_MS + 10_000)
    assert abs(machine.now()[0] - ahead_ms) <= GRID_MS
    assert ("disagree" in caplog.text) == (max(answers_ahead_ms) - min(answers_ahead_ms) > 1000)


@pytest.mark.parametrize(
    ("wall_ahead_ms", "word_ahead_ms", "ahead_ms", "flags"),
    [
        (HOUR_MS, 0, 0, UNSYNCED),  # the own time is right
        (HOUR_MS, HOUR_MS, HOUR_MS, 0),  # the wall clock is right
        (HOUR_MS, 2 * HOUR_MS, 2 * HOUR_MS, UNSYNCED),  # neither
        (2000, 100, 0, UNSYNCED),  # the nearer one
    ],
)
def test_a_disagreement_that_lasts_is_settled_by_the_collector(
    wall_ahead_ms: int, word_ahead_ms: int, ahead_ms: int, flags: int
) -> None:
    """It is asked once; whoever is nearer to its word is right, and it alone where both are far."""
    machine = Machine("trusted", answers_ahead_ms=(word_ahead_ms,))
    machine.run(10_000)
    machine.clocks.wall_ahead_ms = wall_ahead_ms
    machine.run(PATIENCE_MS + 20_000)
    found_ms, found_flags = machine.now()
    assert abs(found_ms - ahead_ms) <= GRID_MS
    assert found_flags == flags
    machine.run(SETTLED_MS // 2)
    assert machine.asked == 1


@pytest.mark.parametrize("kind", ["kernel", "trusted"])
def test_slow_drift_is_followed_and_committed_now_and_then(kind: str) -> None:
    """The wall clock gains 20 ms a minute: after an hour both still agree."""
    machine = Machine(kind, clocks=Clocks(synchronised=True))
    commits = set()
    for _ in range(60):
        machine.run(60_000)
        machine.clocks.wall_ahead_ms += 20
        commits.add(machine.keeper.timing)
    assert abs(machine.now()[0] - machine.clocks.wall_ahead_ms) <= 2 * GRID_MS + 20
    assert 4 <= len(commits) <= 8


def test_small_steps_of_a_trusted_clock_do_not_add_up() -> None:
    """Each is less than a second and none is drift: the second one is too much."""
    machine = Machine("trusted", is_connected=False)
    machine.run(10_000)
    machine.clocks.wall_ahead_ms = 700
    machine.run(HOUR_MS)
    assert _exact(machine)
    machine.clocks.wall_ahead_ms = 1400
    machine.run(1000)
    assert machine.now()[1] == UNSYNCED


def test_steps_back_use_lanes_so_that_no_point_is_used_twice() -> None:
    """Four passes over the same second of a meter that is read every 4 ms: 1000 readings, 1000 points."""
    machine = Machine(clocks=Clocks(synchronised=True))
    stamps, used = Stamps(machine.keeper.stamp), []
    for _ in range(GRID_MS):
        for _ in range(500):
            machine.clocks.true_ms += GRID_MS
            used.append(stamps.next(machine.clocks.monotonic_s).at_ms)
        machine.clocks.wall_ahead_ms -= 2000
        machine.keeper.turn(is_connected=True)
    assert len(set(used)) == len(used)
    assert max(used) - min(used) < 2 * SAME_MS + 4 * GRID_MS, "it was the same stretch"


def test_a_boot_that_begins_before_the_last_known_time_has_a_lane_of_its_own() -> None:
    """The clock of the boot before was ahead; its readings are where they are."""
    keeper = Timekeeper("trusted", Clocks(), Past(None, 2, START_MS + HOUR_MS))
    assert keeper.stamp(0.0).at_ms % GRID_MS == 3


@dataclass
class Life:
    """A device, its agent, and all that can happen to their clocks; true time is known to nobody in it."""

    seed: int
    kind: str

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - no secret
        self.clocks = Clocks(
            wall_ahead_ms=0 if self.kind == "trusted" else self.chance.choice([0, -START_MS, -HOUR_MS])
        )
        self.machine = Machine(self.kind, clocks=self.clocks, answers_ahead_ms=(0,), round_trip_ms=200)
        self.stamps = Stamps(self.machine.keeper.stamp)
        self.boots = 1
        self.read: list[tuple[str, int, int, int]] = []
        """Boot, true time, stamp, flags."""
        self.timings: dict[str, Timing] = {}

    def live(self, steps: int) -> None:
        """Let things happen, and read every few seconds between."""
        for _ in range(steps):
            happen = self.chance.choice([self._step, self._sync, self._restart, self._reboot, self._link, self._pass])
            happen()
            for _ in range(self.chance.choice([3, 20, 400])):
                self.machine.run(self.chance.choice([1000, 5000]))
                self._read()
                self._commit()

    def _read(self) -> None:
        true_ms = self.clocks.true_ms
        stamp = self.stamps.next(self.clocks.monotonic_s)
        self.read.append((self.clocks.boot, true_ms, stamp.at_ms, stamp.flags))

    def _commit(self) -> None:
        timing = self.machine.keeper.timing
        if timing is None:
            return
        first = self.timings.setdefault(self.clocks.boot, timing)
        assert (first.placing_ms, first.placing_flags) == (timing.placing_ms, timing.placing_flags), "placed twice"
        self.timings[self.clocks.boot] = timing

    def _step(self) -> None:
        """Somebody sets the clock, to nonsense: the kernel is not synchronised then."""
        self.clocks.synchronised = False
        self.clocks.wall_ahead_ms = self.chance.choice([0, -START_MS, HOUR_MS, -HOUR_MS, 1500, -1500, 700, -700])

    def _sync(self) -> None:
        """NTP sets it right."""
        self.clocks.wall_ahead_ms, self.clocks.synchronised = 0, self.kind == "kernel"

    def _link(self) -> None:
        self.machine.is_connected = not self.machine.is_connected

    def _pass(self) -> None:
        """Nothing happens."""

    def _latest_ms(self) -> int | None:
        found = self.placed()
        return found[-1][1] if found else None

    def _restart(self) -> None:
        past = Past(self.timings.get(self.clocks.boot), self._lane(), self._latest_ms())
        self.machine = Machine(
            self.kind, clocks=self.clocks, answers_ahead_ms=(0,), is_connected=self.machine.is_connected, past=past
        )
        self.stamps = Stamps(self.machine.keeper.stamp)

    def _reboot(self) -> None:
        self.boots += 1
        self.clocks.reboot(f"boot-{self.boots}", self.chance.choice([5_000, 600_000]))
        self.clocks.synchronised = False
        self.clocks.wall_ahead_ms = self._begin_ms()
        self._restart()

    def _begin_ms(self) -> int:
        """By how much the wall clock of a machine that starts is ahead; a trusted one is right then."""
        return 0 if self.kind == "trusted" else self.chance.choice([0, -START_MS, -HOUR_MS])

    def _lane(self) -> int:
        return (next(reversed(self.timings.values())).offset_ms % GRID_MS) if self.timings else 0

    def placed(self) -> list[tuple[int, int, int]]:
        """Return true time, time, flags of all that has a time by now."""
        placed = []
        for boot, true_ms, at_ms, flags in self.read:
            timing = self.timings.get(boot)
            if at_ms >= EARLIEST_MS:
                placed.append((true_ms, at_ms, flags))
            elif timing is not None:
                placed.append((true_ms, at_ms + timing.placing_ms, timing.placing_flags))
        return placed


@pytest.mark.parametrize("kind", ["kernel", "trusted"])
@pytest.mark.parametrize("seed", range(12))
def test_no_reading_carries_a_wrong_time(kind: str, seed: int) -> None:
    """Whatever happens to the clocks: off by less than a second, or flagged; and no point is used twice."""
    life = Life(seed, kind)
    life.live(25)
    placed = life.placed()
    wrong = [(at_ms - true_ms, flags) for true_ms, at_ms, flags in placed if abs(at_ms - true_ms) > SAME_MS + 50]
    assert [found for found in wrong if not found[1] & (UNSYNCED | Flag.TIME_ESTIMATED)] == []
    assert len({at_ms for _, at_ms, _ in placed}) == len(placed)
    assert len(placed) > 100, "the test says nothing"
