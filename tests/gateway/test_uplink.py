"""The uplink's rules: window, fresh and probe slot, time-outs, silence, and what the collector's word settles."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import description, probes
from gateway.spool import SealedBatch
from gateway.uplink import MOST_REMEMBERED, Lane, Uplink
from wire.confirm import Confirm, Rejection

STREAM, OLD = "a" * 16, "b" * 16


def _batch(number: int, stream: str = STREAM) -> SealedBatch:
    return SealedBatch(number, stream, 1000 * number, 5, 0, 0, 0, 0, b"")


def _uplink(window: int = 4, rate: float = 0.0) -> Uplink:
    return Uplink(window=window, timeout_s=10, backlog_readings_per_s=rate, chance=lambda: 1.0)


def _confirm(uplink: Uplink, number: int, now_s: float = 0) -> None:
    assert uplink.confirm(Confirm(STREAM, 0, [(number, number)]), now_s).confirmed == {number}


def _let_time_out(uplink: Uplink, number: int, times: int, now_s: float = 0) -> float:
    """Send a batch so often without an answer; returns when the last time-out has ended."""
    for _ in range(times):
        uplink.sent(_batch(number), now_s)
        now_s = uplink._flights[number].due_s
        uplink.expire(now_s)
    return now_s


def test_the_window_bounds_what_is_in_flight() -> None:
    """A full window has no room; a confirm makes some."""
    uplink = _uplink(window=2)
    uplink.sent(_batch(1), 0)
    uplink.sent(_batch(2), 0, Lane.FRESH)
    assert (uplink.fresh_room(), uplink.backlog_room(0)) == (0, 0)
    _confirm(uplink, 1)
    assert (uplink.fresh_room(), uplink.backlog_room(0)) == (1, 1)


def test_one_slot_belongs_to_fresh_data() -> None:
    """A backlog fills the window but for one slot."""
    uplink = _uplink(window=4)
    for number in (1, 2, 3):
        assert uplink.backlog_room(0) == 4 - number
        uplink.sent(_batch(number), 0)
    assert (uplink.fresh_room(), uplink.backlog_room(0)) == (1, 0)


def test_what_timed_out_gives_its_slot_up_to_fresh_data() -> None:
    """The window is full of unanswered batches; the newest one goes all the same, in place of the last of them."""
    uplink = _uplink(window=3)
    for number, lane in ((1, Lane.BACKLOG), (2, Lane.BACKLOG), (3, Lane.FRESH)):
        uplink.sent(_batch(number), 0, lane)
    assert uplink.fresh_room() == 0
    uplink.expire(10)
    assert uplink.fresh_room() == 1
    uplink.sent(_batch(4), 10, Lane.FRESH)
    assert uplink.in_flight == 3
    assert uplink.overdue() == [1, 2]
    assert uplink.had_their_chance() == {3}
    _confirm(uplink, 3)  # it was sent, and is stored


def test_a_window_of_one_is_shared() -> None:
    """Fresh data waits for the first time-out of what holds the slot, and no longer; probe and backlog take turns."""
    uplink = _uplink(window=1)
    now_s = _let_time_out(uplink, 1, 3)
    assert uplink.probe_to_send(now_s) == 1
    uplink.sent(_batch(1), now_s, Lane.PROBE)
    assert (uplink.fresh_room(), uplink.backlog_room(now_s)) == (1, 0)
    uplink.sent(_batch(2), now_s, Lane.FRESH)
    assert (uplink.in_flight, uplink.fresh_room(), uplink.probe_queue) == (1, 0, 1)
    _confirm(uplink, 2, now_s)
    assert uplink.is_backlogs_turn
    assert uplink.backlog_room(now_s) == 1
    uplink.sent(_batch(3), now_s)
    _confirm(uplink, 3, now_s)
    later_s = now_s + 20
    assert not uplink.is_backlogs_turn
    assert (uplink.probe_to_send(later_s), uplink.backlog_room(later_s)) == (1, 0)


def test_what_went_unanswered_three_times_waits_for_the_probe_slot() -> None:
    """Its slot is free for others; only one is probed at a time, in turn."""
    uplink = _uplink(window=4)
    _let_time_out(uplink, 1, 3)
    now_s = _let_time_out(uplink, 2, 3)
    uplink.sent(_batch(9), now_s)
    _confirm(uplink, 9, now_s)  # somebody is there
    assert (uplink.in_flight, uplink.probe_queue, uplink.backlog_room(now_s)) == (0, 2, 2)
    assert uplink.probe_to_send(now_s) == 1
    uplink.sent(_batch(1), now_s, Lane.PROBE)
    assert uplink.probe_to_send(now_s) is None
    assert (uplink.in_flight, uplink.probe_queue, uplink.backlog_room(now_s)) == (1, 2, 1)
    uplink.expire(now_s + 10)
    assert uplink.probe_to_send(now_s + 10) == 2
    assert uplink.dealt_with() == {1, 2, 9}


def test_a_probe_pauses_ever_longer_whatever_is_confirmed_beside_it() -> None:
    """A batch that kills its reader does so ever less often, though the others' confirms never stop."""
    uplink = _uplink()
    now_s = _let_time_out(uplink, 1, 3)
    pauses = []
    for number in range(10, 18):
        uplink.sent(_batch(1), now_s, Lane.PROBE)
        now_s = uplink.next_due_s()
        uplink.expire(now_s)
        uplink.sent(_batch(number), now_s)
        _confirm(uplink, number, now_s)
        pauses.append(uplink.next_due_s() - now_s)
        now_s = uplink.next_due_s()
    assert pauses == [20, 40, 80, 160, 300, 300, 300, 300]


def test_a_probe_that_is_answered_ends_the_pauses_of_the_others() -> None:
    """They were in flight with a poisonous one, or nobody was there: they follow each other at once."""
    uplink = _uplink()
    for number in (1, 2):
        now_s = _let_time_out(uplink, number, 3)
    for number in (1, 2, 1, 2):
        now_s = max(now_s, uplink.next_due_s())
        uplink.sent(_batch(number), now_s, Lane.PROBE)
        now_s += 10
        uplink.expire(now_s)
    assert uplink.probe_to_send(now_s) is None
    _confirm(uplink, 1, now_s)
    assert uplink.probe_to_send(now_s) == 2


def test_a_full_probe_queue_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unanswered then keeps its slot, and is sent again."""
    monkeypatch.setattr(probes, "MOST", 1)
    uplink = _uplink()
    _let_time_out(uplink, 1, 3)
    _let_time_out(uplink, 2, 5)
    assert (uplink.probe_queue, uplink.in_flight, uplink.overdue()) == (1, 1, [2])


def test_a_silence_holds_the_backlog_back() -> None:
    """Nobody answered anything: fresh data is sent once, and one batch at a time probes whether anybody is there."""
    uplink = _uplink(window=4)
    now_s = _let_time_out(uplink, 1, 3)
    assert uplink.is_silent
    assert (uplink.backlog_room(now_s), uplink.probe_to_send(now_s)) == (0, 1)
    uplink.sent(_batch(1), now_s, Lane.PROBE)
    assert uplink.backlog_room(now_s) == 0
    uplink.sent(_batch(8), now_s, Lane.FRESH)
    uplink.expire(now_s + 10)
    assert (uplink.in_flight, uplink.overdue(), uplink.had_their_chance()) == (0, [], {8})
    assert (uplink.backlog_room(now_s + 10), uplink.backlog_lane) == (1, Lane.PROBE)  # the only probe pauses
    returned = uplink.returned
    _confirm(uplink, 1, now_s + 11)
    assert not uplink.is_silent
    assert (uplink.backlog_room(now_s + 11), uplink.backlog_lane) == (3, Lane.BACKLOG)
    assert uplink.had_their_chance() == set()
    assert uplink.returned > returned


def test_an_unanswered_batch_among_answered_ones_is_no_silence() -> None:
    """The others go on."""
    uplink = _uplink()
    now_s = _let_time_out(uplink, 1, 2)
    uplink.sent(_batch(1), now_s)
    uplink.sent(_batch(2), now_s)
    _confirm(uplink, 2, now_s + 1)
    uplink.expire(now_s + 40)
    assert (uplink.probe_queue, uplink.is_silent) == (1, False)


def test_a_confirm_of_another_stream_settles_nothing() -> None:
    """Numbers say nothing without their stream."""
    uplink = _uplink()
    uplink.sent(_batch(1), 0)
    assert not uplink.confirm(Confirm(OLD, 0, [(1, 1)], [Rejection(1, "no")]), 0)
    assert not uplink.settled()


def test_a_batch_of_an_old_stream_is_confirmed_under_it() -> None:
    """What an earlier start sealed keeps its stream."""
    uplink = _uplink()
    uplink.sent(_batch(1, OLD), 0)
    uplink.sent(_batch(2), 0)
    assert uplink.confirm(Confirm(OLD, 0, [(1, 2)]), 0).confirmed == {1}
    assert uplink.settled().confirmed == {1}


def test_a_confirm_of_what_was_never_sent_settles_nothing() -> None:
    """A forged range over all numbers lets go only of what was handed over."""
    uplink = _uplink()
    uplink.sent(_batch(7), 0)
    uplink.confirm(Confirm(STREAM, 0, [(1, 2**63 - 1)], [Rejection(9, "no")]), 0)
    assert uplink.settled().confirmed == {7}
    assert not uplink.settled().rejected


def test_what_is_both_confirmed_and_rejected_is_rejected() -> None:
    """That lets go of nothing; the reason is bounded."""
    uplink = _uplink()
    uplink.sent(_batch(1), 0)
    settled = uplink.confirm(Confirm(STREAM, 0, [(1, 1)], [Rejection(1, "n" * 999)]), 0)
    assert (settled.confirmed, settled.rejected) == (frozenset(), {1: "n" * 300})


@pytest.mark.parametrize("where", ["put back", "waiting for its probe", "probed"])
def test_a_late_confirm_counts_wherever_the_batch_is_by_then(where: str) -> None:
    """It was sent, and is stored."""
    uplink = _uplink()
    now_s = _let_time_out(uplink, 1, 1 if where == "put back" else 3)
    if where == "put back":
        uplink.reconnected(now_s)
    if where == "probed":
        uplink.sent(_batch(1), now_s, Lane.PROBE)
    _confirm(uplink, 1, now_s)
    assert (uplink.in_flight, uplink.probe_queue, uplink.next_due_s()) == (0, 0, math.inf)


def test_no_word_from_before_counts_once_all_is_forgotten() -> None:
    """The database was restored: not what was said and is not marked, not what is said of what was sent before."""
    uplink = _uplink()
    for number in (1, 2, 3):
        uplink.sent(_batch(number), 0)
    uplink.confirm(Confirm(STREAM, 0, [(1, 1)], [Rejection(2, "no")]), 0)
    uplink.forget()
    assert not uplink.settled()
    assert not uplink.confirm(Confirm(STREAM, 0, [(1, 3)]), 0)
    uplink.sent(_batch(1), 1)
    _confirm(uplink, 1, 1)


def test_what_was_in_flight_goes_back_at_a_reconnect() -> None:
    """The broker may have forgotten it; it is found in the spool again, the present first, and is fresh once more."""
    uplink = _uplink()
    uplink.sent(_batch(2), 0)
    uplink.sent(_batch(1), 0)
    returned = uplink.returned
    uplink.reconnected(1)
    assert (uplink.in_flight, uplink.dealt_with(), uplink.had_their_chance()) == (0, set(), set())
    assert uplink.returned > returned
    uplink.sent(_batch(1), 2)
    assert uplink.counters.sent_batches == 2
    assert uplink.counters.resent_batches == 1


def test_a_probe_is_sent_again_first_after_a_reconnect() -> None:
    """Its turn was cut short."""
    uplink = _uplink()
    for number in (1, 2):
        now_s = _let_time_out(uplink, number, 3)
    uplink.sent(_batch(1), now_s, Lane.PROBE)
    uplink.reconnected(now_s + 1)
    assert uplink.probe_to_send(now_s + 1) == 1


def test_what_is_remembered_of_reconnects_is_bounded() -> None:
    """What is forgotten is only sent once more."""
    uplink = _uplink(window=1)
    for number in range(1, MOST_REMEMBERED + 3):
        uplink.sent(_batch(number), 0)
        uplink.reconnected(0)
    assert len(uplink._put_back) == MOST_REMEMBERED
    assert not uplink.confirm(Confirm(STREAM, 0, [(1, 2)]), 0)


def test_the_time_out_grows_with_every_try_of_a_batch() -> None:
    """10 s, 20 s, 40 s, each time-out counted once however late the sender is."""
    uplink = _uplink()
    now_s, waits = 0.0, []
    for _ in range(3):
        uplink.sent(_batch(1), now_s)
        due_s = uplink.next_due_s()
        uplink.expire(due_s - 0.001)
        assert uplink.overdue() == []
        uplink.expire(due_s)
        uplink.expire(due_s + 100)
        waits.append(due_s - now_s)
        now_s = due_s
    assert waits == [10, 20, 40]


def test_one_confirm_after_a_long_silence_opens_the_way_for_all() -> None:
    """What waits out a long time-out is sent again within the first one."""
    uplink = _uplink()
    for number in (1, 2, 3):
        _let_time_out(uplink, number, 2)
        uplink.sent(_batch(number), 30)
    uplink.expire(69)
    assert uplink.overdue() == []
    _confirm(uplink, 1, 31)
    uplink.expire(41)
    assert uplink.probe_queue == 2


def test_what_is_dealt_with_is_not_taken_from_the_spool_again() -> None:
    """In flight, or settled and not yet marked."""
    uplink = _uplink()
    for number in (1, 2, 3):
        uplink.sent(_batch(number), 0)
    uplink.confirm(Confirm(STREAM, 0, [(1, 1)], [Rejection(2, "no")]), 0)
    assert uplink.dealt_with() == {1, 2, 3}
    assert (uplink.unmarked_batches, uplink.unmarked_readings) == (2, 5)
    uplink.marked(uplink.settled())
    assert uplink.dealt_with() == {3}


def test_it_counts_what_it_does() -> None:
    """For the status."""
    uplink = _uplink()
    assert description.sending(uplink, 0)["confirmed_s"] is None
    now_s = _let_time_out(uplink, 1, 3)
    uplink.sent(_batch(2), now_s)
    uplink.sent(_batch(3), now_s)
    uplink.confirm(Confirm(STREAM, 0, [(2, 2)], [Rejection(3, "no")]), now_s + 1)
    assert uplink.in_flight == 0
    assert description.sending(uplink, now_s + 3) == {
        "sent_batches": 3,
        "resent_batches": 2,
        "confirmed_batches": 1,
        "rejected_batches": 1,
        "probe_batches": 1,
        "confirmed_s": 2.0,
    }


def test_a_batch_that_is_gone_is_forgotten() -> None:
    """One that was evicted holds no slot."""
    uplink = _uplink()
    uplink.sent(_batch(1), 0)
    uplink.drop(1)
    assert (uplink.in_flight, uplink.dealt_with()) == (0, set())


@given(st.floats(0, 1))
def test_time_outs_are_jittered(chance: float) -> None:
    """A thousand gateways do not send again in one moment, and none sends at once."""
    uplink = Uplink(window=1, timeout_s=10, chance=lambda: chance)
    uplink.sent(_batch(1), 0)
    assert 5 <= uplink.next_due_s() <= 10
