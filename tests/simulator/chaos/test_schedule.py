"""The schedule of faults: a pure function of the seed that spares nothing and asks for nothing impossible."""

from __future__ import annotations

import pytest

from simulator.chaos.schedule import (
    COSTS_COPIES,
    COVERED_S,
    FAMILIES,
    KINDS,
    LEAST_S,
    RESTORE_S,
    STARTED_S,
    STARTS,
    Fault,
    Targets,
    plan,
)

COLLECTORS = ("collector-1", "collector-2")
TARGETS = Targets(
    {
        "agent": ("gw-001", "gw-002", "gw-003"),
        "collector": COLLECTORS,
        "broker": ("broker",),
        "store": ("store",),
        "uplink": ("gw-001-broker", "gw-002-broker"),
        "intake": ("collector-1-broker",),
        "write": ("collector-1-store",),
        "device": tuple(f"meter-{number}" for number in range(6)),
        "disk": ("gw-001",),
        "card": ("gw-003",),
        "clock": ("gw-001",),
    },
    ("store", *COLLECTORS),
)
HOUR_S = 3600.0
SEEDS = range(40)


def test_the_same_seed_gives_the_same_schedule() -> None:
    """And another seed another one."""
    assert plan(7, 180, TARGETS) == plan(7, 180, TARGETS)
    assert plan(7, 180, TARGETS) != plan(8, 180, TARGETS)


@pytest.mark.parametrize("seconds", [6.0, 30.0, 180.0, pytest.param(HOUR_S, marks=pytest.mark.slow)])
def test_faults_lie_within_the_time_and_last(seconds: float) -> None:
    """Whatever the seed."""
    for seed in SEEDS if seconds < HOUR_S else SEEDS[:4]:
        faults = plan(seed, seconds, TARGETS)
        assert all(fault.at_s > 0 and fault.until_s <= seconds + 0.02 and fault.for_s > 0 for fault in faults)
        assert faults == sorted(faults)


@pytest.mark.slow
def test_an_hour_spares_no_kind_and_no_target() -> None:
    """Every kind of process is killed and held, every link cut, every device broken."""
    for seed in range(5):
        struck = {(fault.kind, fault.target) for fault in plan(seed, HOUR_S, TARGETS)}
        for kind, families in FAMILIES.items():
            for family in families:
                assert {(kind, name) for name in TARGETS.names[family]} <= struck, f"seed {seed}"


@pytest.mark.slow
def test_one_target_has_one_fault_at_a_time_and_none_while_the_database_is_restored() -> None:
    """What is killed twice at once would be started once too often."""
    for seed in SEEDS:
        faults = plan(seed, 600, TARGETS)
        for index, first in enumerate(faults):
            for second in faults[index + 1 :]:
                is_apart = first.until_s <= second.at_s
                assert is_apart or not _same(first, second), f"seed {seed}: {first}, {second}"


def _same(first: Fault, second: Fault) -> bool:
    def concerned(fault: Fault) -> set[str]:
        return set(TARGETS.restoring) if fault.kind in ("backup", "restore") else {fault.target}

    return bool(concerned(first) & concerned(second))


@pytest.mark.slow
def test_no_clock_is_wrong_where_an_agent_starts() -> None:
    """One whose spool has lost the boot would believe it: then nobody could say which of its times are right."""
    stepped = 0
    for seed in SEEDS:
        faults = plan(seed, 600, TARGETS)
        begun = [fault for fault in faults if fault.kind in STARTS]
        for fault in faults:
            if fault.kind == "clock":
                stepped += 1
                before = [one.until_s for one in begun if one.target == fault.target and one.at_s < fault.at_s]
                assert all(until_s <= fault.at_s - STARTED_S + 0.02 for until_s in before), f"seed {seed}: {fault}"
    assert stepped > len(SEEDS)


@pytest.mark.slow
def test_no_spool_loses_anything_while_it_is_the_only_copy() -> None:
    """From a backup until what the restored database lacks has been asked for again."""
    corrupted = 0
    for seed in SEEDS:
        faults = plan(seed, 600, TARGETS)
        corrupted += sum(fault.kind == "corrupt" for fault in faults)
        (backup,) = (fault for fault in faults if fault.kind == "backup")
        (restore,) = (fault for fault in faults if fault.kind == "restore")
        assert backup.until_s < restore.at_s
        for fault in faults:
            if fault.kind in COSTS_COPIES:
                is_before = fault.until_s <= backup.at_s
                assert is_before or fault.at_s >= restore.at_s + RESTORE_S + COVERED_S - LEAST_S
    assert corrupted > len(SEEDS)


def test_only_what_was_asked_for_and_what_there_is() -> None:
    """A machine without a small disk, and a person who wants two kinds."""
    some = Targets({**TARGETS.names, "disk": ()}, TARGETS.restoring)
    assert {fault.kind for fault in plan(1, HOUR_S, some)} == {*KINDS, "backup"} - {"full"}
    assert {fault.kind for fault in plan(1, HOUR_S, some, ("kill", "cut"))} == {"kill", "cut"}
