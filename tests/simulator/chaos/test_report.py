"""What a chaos run says at its end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from simulator.account import Account
from simulator.chaos import report
from simulator.chaos.report import Missing, Report, Struck

GOOD = Account(
    made=100,
    sealed=90,
    confirmed=90,
    stored=90,
    lost=10,
    declared=10,
    duplicates=0,
    wrong=0,
    wrong_time=0,
    unregistered=0,
)
STRUCK = Struck(
    at_s=1.5,
    for_s=2.0,
    kind="kill",
    target="gw-001",
    how="",
    since_ms=0,
    until_ms=2_000,
    made=20,
    lost=10,
    declared=10,
    unaccounted=0,
)


@pytest.mark.parametrize("broken", ["unaccounted", "duplicates", "wrong", "wrong_time"])
def test_one_reading_that_is_not_as_promised_breaks_the_verdict(broken: str) -> None:
    """Each of the four by itself."""
    assert report.is_whole(GOOD, [])
    assert not report.is_whole(replace(GOOD, **{broken: 1}), [])


def test_nothing_read_or_somebody_dead_is_no_proof() -> None:
    """A run that stored nothing, and one in which a process ended by itself."""
    assert not report.is_whole(replace(GOOD, stored=0), [])
    assert not report.is_whole(GOOD, ["collector-1"])


def test_the_table_names_seed_faults_accounts_and_what_is_missing() -> None:
    """A person sees on one screen what happened and where to look."""
    lines = report.table(
        Report(
            seed=7,
            minutes=0.5,
            agents=1,
            collectors=1,
            broker="mosquitto",
            store="embedded",
            skipped=["full disk: only root may mount a small one"],
            died=[],
            faults=[STRUCK],
            account=GOOD,
            missing=[Missing("meter-1", "voltage/L1", 1_795_000_000_000)],
            verdict="broken",
        )
    )
    assert lines[1].split() == ["1.5", "2.0", "kill", "gw-001", "20", "10", "10", "0"]
    assert "not tried: full disk: only root may mount a small one" in lines
    assert "missing: meter-1 voltage/L1 of 1795000000000" in lines
    assert lines[-1] == "seed 7: broken"
