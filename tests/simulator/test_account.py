"""The account finds every reading that is lost, doubled or wrong, and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.account import Account, Gap, GatewayStatus, Stored, Witness, combined, gaps, settle
from simulator.devices import Poll
from simulator.faults import Wrong
from simulator.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGIN_MS = 1_795_345_200_000
QUANTITIES = {"a": ("voltage/L1", "active_power"), "b": ("active_power",)}
STATUS = GatewayStatus(sealed_readings=6, confirmed_readings=6)


def truth(device: str, quantity: str, polled_at_ms: int) -> float:
    """A truth that is different everywhere."""
    return hash((device, quantity)) % 1000 + polled_at_ms / 8


WITNESS = Witness(QUANTITIES, truth, interval_ms=2000, since_ms=BEGIN_MS, gateways={"demo-gw"})


def stored(poll: Poll, name: str, before_ms: int = 1) -> Stored:
    """What a faultless way makes of one reading of a poll, measured so long before it."""
    quantity, _, channel = name.partition("/")
    value = truth(poll.device, name, poll.polled_at_ms)
    return Stored("electricity", poll.device, quantity, channel, poll.polled_at_ms - before_ms, value)


def all_stored(polls: Sequence[Poll]) -> list[Stored]:
    """What a faultless way makes of polls."""
    return [stored(poll, name) for poll in polls for name in QUANTITIES[poll.device]]


def account(polls: Sequence[Poll], readings: Sequence[Stored]) -> Account:
    """The account against the usual witness."""
    return settle(WITNESS, polls, readings, STATUS)


POLLS = [Poll("a", BEGIN_MS + 100), Poll("b", BEGIN_MS + 130), Poll("a", BEGIN_MS + 2100), Poll("b", BEGIN_MS + 2130)]


def test_a_faultless_run_is_clean() -> None:
    """All numbers agree, and those of the gateway are handed through."""
    result = account(POLLS, all_stored(POLLS))
    assert result == Account(
        made=6, sealed=6, confirmed=6, stored=6, lost=0, duplicates=0, wrong=0, wrong_time=0, unregistered=0
    )
    assert result.is_clean


@pytest.mark.parametrize("counts", [(6, 5), (5, 5), (7, 6), (5, 6), (0, 0)])
def test_a_gateway_that_counts_otherwise_is_not_clean(counts: tuple[int, int]) -> None:
    """All is in the store, and yet: with a dead way back the gateway would keep everything for ever."""
    sealed, confirmed = counts
    status = GatewayStatus(sealed_readings=sealed, confirmed_readings=confirmed)
    result = settle(WITNESS, POLLS, all_stored(POLLS), status)
    assert (result.made, result.stored, result.lost, result.is_clean) == (6, 6, 0, False)


@pytest.mark.parametrize(("before_ms", "wrong_time"), [(3000, 0), (3001, 1)])
def test_a_doubted_poll_may_have_been_late(before_ms: int, wrong_time: int) -> None:
    """A machine that stalled between stamp and request: by some seconds, not by the step of a clock."""
    polls = [*POLLS[:-1], POLLS[-1]._replace(is_certain=False)]
    readings = all_stored(polls)
    readings[-1] = stored(polls[-1], "active_power", before_ms)
    result = settle(replace(WITNESS, since_ms=0), polls, readings, GatewayStatus())
    assert (result.wrong_time, result.wrong, result.lost) == (wrong_time, 0, 0)


@pytest.mark.parametrize(("before_ms", "wrong_time"), [(1000, 0), (1001, 1)])
def test_a_time_that_is_far_off_its_poll_is_wrong(before_ms: int, wrong_time: int) -> None:
    """A reading with a wrong time is none, though its value is right."""
    readings = all_stored(POLLS)
    readings[-1] = stored(POLLS[-1], "active_power", before_ms)
    result = account(POLLS, readings)
    assert (result.wrong_time, result.wrong, result.lost) == (wrong_time, 0, 0)
    assert result.is_clean == (not wrong_time)


@pytest.mark.parametrize(
    ("changes", "counted"),
    [({}, 1), ({"device": "nobody"}, 1), ({"gateway": "other-gw"}, 0), ({"time_ms": BEGIN_MS - 3}, 0)],
    ids=["ours", "a device with a wrong id", "another gateway's", "an earlier run's"],
)
def test_an_unregistered_reading_is_not_stored_properly(changes: dict[str, str | int], counted: int) -> None:
    """Nobody looks for it there."""
    stray = msgspec.structs.replace(stored(POLLS[0], "active_power"), measurement="unregistered", gateway="demo-gw")
    strays = [msgspec.structs.replace(stray, **changes)]
    result = settle(WITNESS, POLLS, all_stored(POLLS), STATUS, strays)
    assert (result.unregistered, result.is_clean) == (counted, not counted)


def test_a_run_that_made_nothing_is_not_clean() -> None:
    """Silence is no success."""
    assert not account([], []).is_clean


def test_a_missing_reading_is_lost() -> None:
    """One of six."""
    result = account(POLLS, all_stored(POLLS)[1:])
    assert (result.lost, result.duplicates, result.wrong, result.is_clean) == (1, 0, 0, False)


def test_two_times_of_one_poll_are_a_duplicate() -> None:
    """A store keeps one point per time; a reading that was stamped twice shows as two."""
    result = account(POLLS, [*all_stored(POLLS), stored(POLLS[0], "active_power", before_ms=7)])
    assert (result.lost, result.duplicates, result.wrong, result.stored, result.is_clean) == (0, 1, 0, 7, False)


def test_another_value_is_wrong_and_not_lost() -> None:
    """To the last bit."""
    readings = all_stored(POLLS)
    readings[2] = msgspec.structs.replace(readings[2], value=readings[2].value + 2**-10)
    result = account(POLLS, readings)
    assert (result.lost, result.duplicates, result.wrong, result.is_clean) == (0, 0, 1, False)


def test_a_reading_without_a_poll_is_wrong() -> None:
    """Nobody made it."""
    invented = msgspec.structs.replace(stored(POLLS[-1], "active_power"), time_ms=BEGIN_MS + 60_000)
    result = account(POLLS, [*all_stored(POLLS), invented])
    assert (result.lost, result.wrong) == (0, 1)


def test_a_reading_right_behind_its_word_is_that_word_again() -> None:
    """What speaks by itself is stamped when it was heard; a second time is a duplicate all the same."""
    again = msgspec.structs.replace(stored(POLLS[-1], "active_power"), time_ms=POLLS[-1].polled_at_ms + 3)
    result = account(POLLS, [*all_stored(POLLS), again])
    assert (result.lost, result.duplicates, result.wrong) == (0, 1, 0)


def test_equal_words_belong_each_to_its_own_time() -> None:
    """A device that says the same twice is not taken for one that said it late."""
    polls = [Poll("b", BEGIN_MS), Poll("b", BEGIN_MS + 2000)]
    one = stored(polls[0], "active_power")
    readings = [msgspec.structs.replace(one, time_ms=poll.polled_at_ms + 20) for poll in polls]
    result = settle(replace(WITNESS, truth=lambda *_: one.value), polls, readings, STATUS)
    assert (result.stored, result.duplicates, result.wrong, result.wrong_time) == (2, 0, 0, 0)


def test_a_poll_that_comes_too_late_for_a_reading_is_not_its_own() -> None:
    """A stamp from longer before the poll than the interval is a wrong time, told by the value."""
    polls = [Poll("b", BEGIN_MS + 5000)]
    result = account(polls, [stored(polls[0], "active_power", before_ms=2001)])
    assert (result.lost, result.wrong, result.wrong_time) == (0, 0, 1)


def test_the_clocks_may_round_differently() -> None:
    """A stamp up to 2 ms after the poll is still that poll's."""
    readings = [stored(poll, name, before_ms=-2) for poll in POLLS for name in QUANTITIES[poll.device]]
    assert account(POLLS, readings).is_clean


@pytest.mark.parametrize(
    "changes",
    [{"device": "c"}, {"quantity": "frequency"}, {"channel": "L9"}, {"time_ms": BEGIN_MS - 3}],
    ids=["another device", "another quantity", "another channel", "an earlier run"],
)
def test_what_is_not_simulated_here_is_ignored(changes: dict[str, str | int]) -> None:
    """A store may hold more than this run."""
    other = msgspec.structs.replace(stored(POLLS[1], "active_power"), **changes)
    result = account(POLLS, [*all_stored(POLLS), other])
    assert (result.stored, result.is_clean) == (6, True)


@pytest.mark.parametrize("changes", [{"device": "demo-gw", "quantity": "load"}, {"quantity": "reachable"}])
def test_what_the_gateway_says_itself_is_counted_apart(changes: dict[str, str | int]) -> None:
    """No meter made it; sealed, confirmed and stored it is, like any other."""
    said = msgspec.structs.replace(stored(POLLS[1], "active_power"), **changes)
    status = GatewayStatus(sealed_readings=7, confirmed_readings=7)
    result = settle(WITNESS, POLLS, [*all_stored(POLLS), said], status)
    assert (result.made, result.stored, result.own, result.is_clean) == (6, 6, 1, True)
    lost = settle(WITNESS, POLLS, all_stored(POLLS), status)
    assert (lost.own, lost.is_clean) == (0, False)


def test_a_suspect_copy_is_a_duplicate() -> None:
    """A reading stands in one measurement, never in two."""
    copy = msgspec.structs.replace(all_stored(POLLS)[0], measurement="electricity_suspect", flags=1)
    assert account(POLLS, [*all_stored(POLLS), copy]).duplicates == 1


def test_a_poll_of_a_stranger_is_a_defect_of_the_simulation() -> None:
    """It is not passed over."""
    with pytest.raises(KeyError):
        account([Poll("stranger", BEGIN_MS)], [])


FATES = st.lists(
    st.tuples(
        st.sampled_from(["kept", "lost", "twice", "wrong", "wrong twice"]),
        st.integers(min_value=0, max_value=200),
    ),
    min_size=1,
)


@given(fates=FATES, shuffled=st.randoms(use_true_random=False))
def test_the_account_counts_what_was_done_to_each_reading(
    fates: list[tuple[str, int]], shuffled: st.DataObject
) -> None:
    """Whatever happens to which reading, in whatever order the store tells it."""
    polls = [Poll("ab"[index % 2], BEGIN_MS + 1000 * (index + 1)) for index in range(len(fates))]
    readings: list[Stored] = []
    for poll, (fate, before_ms) in zip(polls, fates, strict=True):
        reading = stored(poll, "active_power", before_ms)
        broken = msgspec.structs.replace(reading, value=-1.0)
        again = msgspec.structs.replace(broken if "wrong" in fate else reading, time_ms=reading.time_ms + 1)
        readings += {"kept": [reading], "lost": [], "wrong": [broken]}.get(fate, [again])
        readings += [reading] if "twice" in fate else []
    shuffled.shuffle(readings)  # type: ignore[attr-defined]
    witness = replace(WITNESS, quantities={"a": ("active_power",), "b": ("active_power",)})
    result = settle(witness, polls, readings, STATUS)
    done = [fate for fate, _ in fates]
    assert (result.made, result.stored) == (len(fates), len(readings))
    assert result.lost == done.count("lost")
    assert result.duplicates == sum("twice" in fate for fate in done)
    assert result.wrong == sum("wrong" in fate for fate in done)


READINGS = st.builds(
    Stored,
    st.just("electricity"),
    st.sampled_from("abc"),
    st.sampled_from(["active_power", "reachable"]),
    st.just(""),
    st.integers(min_value=BEGIN_MS - 100, max_value=BEGIN_MS + 9000),
    st.floats(allow_nan=False),
)


@pytest.mark.slow
@given(
    polls=st.lists(st.builds(Poll, st.sampled_from("ab"), st.integers(BEGIN_MS, BEGIN_MS + 9000), st.none())),
    readings=st.lists(READINGS),
)
def test_made_and_stored_always_add_up(polls: list[Poll], readings: list[Stored]) -> None:
    """What is stored is what was made, less the lost, plus the doubled, plus what no poll made."""
    result = settle(replace(WITNESS, truth=lambda *_: 0.0), polls, readings, STATUS)
    unmatched = result.stored - (result.made - result.lost) - result.duplicates
    assert 0 <= unmatched <= result.wrong
    assert 0 <= result.lost <= result.made


def test_what_a_gap_declares_is_not_unaccounted() -> None:
    """Of the two polls of a device that are missing, one lies in its gap."""
    gap = Gap("a", "quota", POLLS[0].polled_at_ms - 1, POLLS[0].polled_at_ms - 1)
    kept = [reading for reading in all_stored(POLLS) if reading.device == "b"]
    result = settle(WITNESS, POLLS, kept, STATUS, declared=[gap])
    assert (result.lost, result.declared, result.unaccounted) == (4, 2, 2)
    assert not result.is_whole
    whole = settle(WITNESS, POLLS, kept, STATUS, declared=[gap, msgspec.structs.replace(gap, until_ms=BEGIN_MS + 3000)])
    assert (whole.declared, whole.unaccounted, whole.is_whole, whole.is_clean) == (4, 0, True, False)


def test_what_is_both_stored_and_declared_is_reported() -> None:
    """It harms nobody; another device's gap declares nothing here."""
    gaps_ = [Gap("b", "stopped", BEGIN_MS, BEGIN_MS + 1000), Gap("c", "stopped", 0, 2**50)]
    result = settle(WITNESS, POLLS, all_stored(POLLS), STATUS, declared=gaps_)
    assert (result.stored_and_declared, result.declared, result.is_whole) == (1, 0, True)


def test_gaps_are_read_as_the_export_writes_them() -> None:
    """Their end is a value, their reason stands where other readings have a channel."""
    until = Stored("gap", "a", "gap_until", "quota", BEGIN_MS, (BEGIN_MS + 1500) / 1000)
    number = Stored("gap", "a", "gap_readings", "quota", BEGIN_MS, 12.0)
    assert gaps([until, number]) == [Gap("a", "quota", BEGIN_MS, BEGIN_MS + 1500)]


@pytest.mark.parametrize(("flags", "wrong_time", "displaced"), [(0, 2, 0), (8, 0, 2), (16, 0, 2), (1, 2, 0)])
def test_a_sample_with_another_time_is_known_by_its_values(flags: int, wrong_time: int, displaced: int) -> None:
    """A clock that was an hour off: nothing lost and nothing invented, but its time is wrong unless it says so."""
    readings = [
        msgspec.structs.replace(one, time_ms=one.time_ms - 3_600_000, flags=flags)
        if one.device == "a" and one.time_ms < BEGIN_MS + 1000
        else one
        for one in all_stored(POLLS)
    ]
    witness = replace(WITNESS, since_ms=BEGIN_MS - 2 * 3_600_000)
    result = settle(witness, POLLS, readings, STATUS)
    assert (result.lost, result.wrong, result.duplicates) == (0, 0, 0)
    assert (result.wrong_time, result.displaced) == (wrong_time, displaced)


def test_a_sample_whose_clock_was_set_back_among_others_is_told_from_them() -> None:
    """Its time is that of another poll, and so slow a quantity is the same there: the others tell whose it is."""
    polls = [Poll("a", BEGIN_MS + 2000 * n) for n in range(1, 6)]
    slow = replace(
        WITNESS,
        truth=lambda device, name, at_ms: 7.0 if name == "active_power" else truth(device, name, at_ms),
    )
    readings = [
        Stored("electricity", "a", *split(name), poll.polled_at_ms - 1, slow.truth("a", name, poll.polled_at_ms))
        for poll in polls
        for name in QUANTITIES["a"]
    ]
    back = [
        msgspec.structs.replace(r, time_ms=r.time_ms - 5000) if r.time_ms > BEGIN_MS + 9000 else r for r in readings
    ]
    result = settle(slow, polls, back, STATUS)
    assert (result.lost, result.duplicates, result.wrong, result.wrong_time) == (0, 0, 0, 2)


def split(name: str) -> tuple[str, str]:
    """Quantity and channel."""
    quantity, _, channel = name.partition("/")
    return quantity, channel


def test_a_poll_in_doubt_may_be_missing_and_must_be_right() -> None:
    """It counts as made where it arrived; as another value it is wrong."""
    polls = [*POLLS[:3], POLLS[3]._replace(is_certain=False)]
    arrived = all_stored(POLLS)
    assert (account(polls, arrived).made, account(polls, arrived).is_whole) == (6, True)
    missing = account(polls, arrived[:-1])
    assert (missing.made, missing.lost, missing.is_whole) == (5, 0, True)
    other = [*arrived[:-1], msgspec.structs.replace(arrived[-1], value=-1.0)]
    assert account(polls, other).wrong == 1


def test_a_poll_under_wrong_is_expected_as_it_was_sent() -> None:
    """The truth would be an error there; a value that there is not need not arrive."""
    polls = [POLLS[0]._replace(wrong=Wrong("stuck", BEGIN_MS))]
    witness = replace(WITNESS, distorted=lambda _device, name, _at, _wrong: None if "/" in name else 5.0)
    sent = Stored("electricity", "a", "active_power", "", POLLS[0].polled_at_ms, 5.0)
    assert settle(witness, polls, [sent], STATUS).is_whole
    assert settle(witness, polls, [sent], STATUS).made == 1
    assert settle(witness, polls, [stored(POLLS[0], "active_power")], STATUS).wrong == 1
    never = Stored("electricity", "a", "voltage", "L1", POLLS[0].polled_at_ms, 0.0)
    assert settle(witness, polls, [sent, never], STATUS).wrong == 1


def test_what_gateways_tell_of_themselves_is_counted_apart() -> None:
    """Their own readings, and whether a device answers; registered or not, the simulation made none of them."""
    cpu = Stored("gateway", "demo-gw", "temp_cpu", "", BEGIN_MS + 5, 51.0, gateway="demo-gw")
    reachable = Stored("electricity", "a", "reachable", "", BEGIN_MS + 5, 1.0, gateway="demo-gw")
    status = GatewayStatus(sealed_readings=8, confirmed_readings=8)
    result = settle(WITNESS, POLLS, [*all_stored(POLLS), cpu, reachable], status, [cpu])
    assert (result.own, result.stored, result.unregistered, result.is_clean) == (2, 6, 0, True)


def test_the_ledger_names_what_is_missing() -> None:
    """Device, quantity and time, for whoever must find it; what a gap declares is not among them."""
    ledger = Ledger(WITNESS, POLLS)
    for reading in all_stored(POLLS)[2:]:
        ledger.store(reading)
    ledger.account(STATUS)
    assert set(ledger.missing()) == {("a", name, POLLS[0].polled_at_ms) for name in QUANTITIES["a"]}
    assert not list(ledger.missing([Gap("a", "disk", BEGIN_MS, BEGIN_MS + 500)]))


def test_accounts_add_up() -> None:
    """Of stretches of time, or of parts of a town."""
    both = combined([account(POLLS, all_stored(POLLS)), account(POLLS, all_stored(POLLS)[1:])])
    assert (both.made, both.stored, both.lost, both.unaccounted, both.sealed) == (12, 11, 1, 1, 12)


def test_several_gateways_status_is_their_sum() -> None:
    """Running where all are."""
    statuses = [GatewayStatus(running=True, state="online", sealed_readings=3), GatewayStatus(sealed_readings=4)]
    total = GatewayStatus.total(statuses)
    assert (total.sealed_readings, total.running) == (7, False)
    assert GatewayStatus.total(statuses[:1]) == statuses[0]
