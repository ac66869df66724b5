"""The uplink's rules, and what can never happen under any schedule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.spool import SealedBatch
from gateway.uplink import Uplink
from wire.confirm import Confirm, Rejection

STREAM, OLD = "a" * 16, "b" * 16


def _batch(number: int, stream: str = STREAM) -> SealedBatch:
    return SealedBatch(number, stream, 0, 1, 0, b"")


def _uplink(window: int = 4) -> Uplink:
    return Uplink(window=window, timeout_s=10, chance=lambda: 1.0)


def test_the_window_bounds_what_is_in_flight() -> None:
    """A full window has no room; a confirm makes some."""
    uplink = _uplink(window=2)
    uplink.sent(_batch(1), 0)
    uplink.sent(_batch(2), 0)
    assert uplink.free == 0
    assert uplink.confirm(Confirm(STREAM, 0, [(1, 1)]), 0) == 1
    assert uplink.free == 1


def test_a_confirm_of_another_stream_settles_nothing() -> None:
    """Numbers say nothing without their stream."""
    uplink = _uplink()
    uplink.sent(_batch(1), 0)
    assert uplink.confirm(Confirm(OLD, 0, [(1, 1)], [Rejection(1, "no")]), 0) == 0
    assert not uplink.settled()


def test_a_batch_of_an_old_stream_is_confirmed_under_it() -> None:
    """What an earlier start sealed keeps its stream."""
    uplink = _uplink()
    uplink.sent(_batch(1, OLD), 0)
    uplink.sent(_batch(2), 0)
    assert uplink.confirm(Confirm(OLD, 0, [(1, 2)]), 0) == 1
    assert uplink.settled().confirmed == {1}


def test_a_confirm_of_what_was_never_sent_settles_nothing() -> None:
    """A forged range over all numbers lets go only of what is in flight."""
    uplink = _uplink()
    uplink.sent(_batch(7), 0)
    uplink.confirm(Confirm(STREAM, 0, [(1, 2**63 - 1)], [Rejection(9, "no")]), 0)
    assert uplink.settled().confirmed == {7}
    assert not uplink.settled().rejected


def test_everything_in_flight_goes_again_after_a_reconnect() -> None:
    """The broker may have forgotten it; oldest first."""
    uplink = _uplink()
    uplink.sent(_batch(2), 0)
    uplink.sent(_batch(1), 0)
    assert uplink.overdue(1) == []
    uplink.reconnected()
    assert [batch.number for batch in uplink.overdue(1)] == [1, 2]


def test_the_time_out_grows_with_every_try_of_a_batch() -> None:
    """10 s, 20 s, 40 s, and never more than five minutes."""
    uplink = _uplink()
    now_s, waits = 0.0, []
    for _ in range(8):
        uplink.sent(_batch(1), now_s)
        due_s = uplink.next_due_s()
        assert due_s is not None
        assert uplink.overdue(due_s - 0.001) == []
        assert uplink.overdue(due_s) == [_batch(1)]
        waits.append(due_s - now_s)
        now_s = due_s
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_a_full_window_without_an_answer_is_one_try_for_each() -> None:
    """Sixteen batches that fall due one after the other do not push each other to the ceiling."""
    uplink = Uplink(window=16, timeout_s=10, chance=lambda: 1.0)
    for number in range(16):
        uplink.sent(_batch(number + 1), number / 100)
    for batch in uplink.overdue(10.2):
        uplink.sent(batch, 10.2)
    assert uplink.next_due_s() == 10.2 + 20


def test_one_confirm_after_a_long_silence_opens_the_way_for_all() -> None:
    """What waits out a time-out of minutes is sent again within the first one."""
    uplink = _uplink()
    for _ in range(6):
        for number in (1, 2, 3):
            uplink.sent(_batch(number), 0)
    assert uplink.overdue(299) == []
    uplink.confirm(Confirm(STREAM, 0, [(1, 1)]), 100)
    assert [batch.number for batch in uplink.overdue(110)] == [2, 3]
    uplink.sent(_batch(2), 110)
    uplink.sent(_batch(3), 110)
    assert uplink.next_due_s() == 110 + 20


def test_a_reconnect_begins_the_time_outs_anew() -> None:
    """A collector that was away for an hour is not waited for five minutes more."""
    uplink = _uplink()
    for _ in range(6):
        uplink.sent(_batch(1), 0)
    uplink.reconnected()
    uplink.sent(_batch(1), 50)
    assert uplink.next_due_s() == 60


def test_what_is_dealt_with_is_not_taken_from_the_spool_again() -> None:
    """In flight, or settled and not yet marked."""
    uplink = _uplink()
    for number in (1, 2, 3):
        uplink.sent(_batch(number), 0)
    uplink.confirm(Confirm(STREAM, 0, [(1, 1)], [Rejection(2, "no")]), 0)
    assert uplink.dealt_with() == {1, 2, 3}
    uplink.marked(uplink.settled())
    assert uplink.dealt_with() == {3}


@given(st.floats(0, 1))
def test_time_outs_are_jittered(chance: float) -> None:
    """A thousand gateways do not send again in one moment, and none sends at once."""
    uplink = Uplink(window=1, timeout_s=10, chance=lambda: chance)
    uplink.sent(_batch(1), 0)
    due_s = uplink.next_due_s()
    assert due_s is not None
    assert 5 <= due_s <= 10


class NothingUnstoredIsLetGo(RuleBasedStateMachine):
    """A model of collector and broker: the store, messages in the air, lost, repeated and late ones."""

    def __init__(self) -> None:
        super().__init__()
        self.uplink = _uplink()
        self.now_s = 0.0
        self.next_number = 1
        self.on_the_air: list[SealedBatch] = []
        self.stored: set[int] = set()
        self.confirms: list[Confirm] = []

    @rule(times=st.integers(1, 6))
    def send_new(self, times: int) -> None:
        """Send fresh batches while the window has room."""
        for _ in range(min(times, self.uplink.free)):
            self._send(_batch(self.next_number))
            self.next_number += 1

    @rule(seconds=st.floats(0, 400))
    def send_again(self, seconds: float) -> None:
        """Let time pass, and send again what is overdue."""
        self.now_s += seconds
        for batch in self.uplink.overdue(self.now_s):
            self._send(batch)

    @rule()
    def reconnect(self) -> None:
        """The broker forgets everything on the air."""
        self.on_the_air.clear()
        self.uplink.reconnected()

    @rule(data=st.data())
    def store_and_confirm(self, data: st.DataObject) -> None:
        """The collector stores a batch that reached it, perhaps a second time."""
        if self.on_the_air:
            batch = data.draw(st.sampled_from(self.on_the_air))
            self.stored.add(batch.number)
            self.confirms.append(Confirm(STREAM, 0, [(batch.number, batch.number)]))

    @rule(data=st.data())
    def deliver_a_confirm_perhaps_again(self, data: st.DataObject) -> None:
        """A confirm arrives: in any order, late, or twice."""
        if self.confirms:
            self.uplink.confirm(data.draw(st.sampled_from(self.confirms)), self.now_s)

    @rule()
    def confirm_from_elsewhere(self) -> None:
        """Somebody confirms all numbers of another stream."""
        self.uplink.confirm(Confirm(OLD, 0, [(1, 2**63 - 1)]), self.now_s)

    @invariant()
    def only_what_is_stored_is_settled(self) -> None:
        """The spool is told to let go of nothing that the store does not have."""
        assert self.uplink.settled().confirmed <= self.stored

    @invariant()
    def the_window_holds(self) -> None:
        """Never more than four in flight."""
        assert self.uplink.in_flight <= 4

    @invariant()
    def every_number_is_in_flight_or_settled(self) -> None:
        """No batch is forgotten."""
        assert self.uplink.in_flight + len(self.uplink.settled().confirmed) == self.next_number - 1

    def _send(self, batch: SealedBatch) -> None:
        self.uplink.sent(batch, self.now_s)
        self.on_the_air.append(batch)


TestNothingUnstoredIsLetGo = NothingUnstoredIsLetGo.TestCase
