"""Between the MQTT loop and the writer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.inbox import Arrival, Inbox
from wire.bounds import MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

MANY = 10**9


def _taken(inbox: Inbox, most: int = 10, most_bytes: int = MANY) -> Sequence[Arrival]:
    taken = inbox.take(most, most_bytes, 0)
    inbox.done(taken)
    return taken


class Told(Counter[tuple[str, str]]):
    """What an inbox told: outcome and gateway."""

    def __call__(self, outcome: str, gateway: str) -> None:
        """Count."""
        self[outcome, gateway] += 1


def _batch(gateway: str, number: int, size: int = 10) -> Arrival:
    head = b"%d\n" % number
    return Arrival(gateway, head + b"x" * (size - len(head)))


def _waiting(inbox: Inbox) -> dict[str, list[int]]:
    """Numbers that wait, by gateway; empties the inbox."""
    found: dict[str, list[int]] = {}
    for arrival in inbox.take(MANY, MANY, 0):
        found.setdefault(arrival.gateway, []).append(int(arrival.payload.partition(b"\n")[0]))
    return found


def test_a_batch_that_waits_is_not_queued_twice() -> None:
    """A re-send of what waits changes nothing; once taken, it is queued again."""
    told = Told()
    inbox = Inbox(10, MANY, told)
    batch = Arrival("gw", b'{"number":1}\npack')
    inbox.put(batch)
    inbox.put(batch)
    assert _taken(inbox) == [batch]
    inbox.put(batch)
    assert _taken(inbox) == [batch]
    assert told == {("received", "gw"): 3, ("duplicate", "gw"): 1}


def test_a_batch_that_is_just_being_written_is_not_queued() -> None:
    """Its confirm is on the way; afterwards it is a batch like any other."""
    inbox = Inbox(10, MANY)
    batch = _batch("gw", 1)
    inbox.put(batch)
    in_hand = inbox.take(1, MANY, 0)
    inbox.put(batch)
    assert inbox.take(1, MANY, 0) == []
    inbox.done(in_hand)
    inbox.put(batch)
    assert inbox.take(1, MANY, 0) == [batch]


def test_batches_are_taken_in_turns() -> None:
    """One of each gateway, of each the oldest first: a backlog of one delays no other."""
    inbox = Inbox(100, MANY)
    for number in range(5):
        inbox.put(_batch("backlog", number))
    inbox.put(_batch("a", 7))
    inbox.put(_batch("b", 8))
    order = [(a.gateway, a.payload[:1]) for a in inbox.take(4, MANY, 0)]
    assert order == [("backlog", b"0"), ("a", b"7"), ("b", b"8"), ("backlog", b"1")]


def test_a_full_queue_gives_each_gateway_its_share(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has less than its share displaces the newest of the one with the most; nobody gets more than it."""
    told = Told()
    inbox = Inbox(6, MANY, told)
    for number in range(6):
        inbox.put(_batch("greedy", number))
    for number in range(6):
        inbox.put(_batch("modest", number))
    assert _waiting(inbox) == {"greedy": [0, 1, 2], "modest": [0, 1, 2]}
    assert told["dropped", "greedy"] == 3
    assert told["dropped", "modest"] == 3
    assert caplog.text.count("queue full") == 1


def test_a_gateway_of_which_nothing_waits_always_gets_in_where_another_has_two() -> None:
    """However large its batch is beside its share; but nobody's only batch is displaced."""
    inbox = Inbox(MANY, 300)
    for number in range(3):
        inbox.put(_batch("greedy", number, 100))
    inbox.put(_batch("late", 1, 200))
    assert _waiting(inbox) == {"greedy": [0], "late": [1]}
    inbox = Inbox(2, MANY)
    for gateway in ("a", "b", "c"):
        inbox.put(_batch(gateway, 1))
    assert _waiting(inbox) == {"a": [1], "b": [1]}


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 30), st.integers(10, 90)), max_size=120),
    st.integers(1, 12),
    st.integers(100, 600),
)
def test_the_bounds_hold_whatever_comes(puts: list[tuple[str, int, int]], most: int, most_bytes: int) -> None:
    """Never more than asked for, nothing twice, and emptied it is empty."""
    inbox = Inbox(most, most_bytes)
    for gateway, number, size in puts:
        inbox.put(_batch(gateway, number, size))
        assert inbox.batches <= most
        assert inbox.bytes <= most_bytes
    arrivals = inbox.take(MANY, MANY, 0)
    assert (inbox.batches, inbox.bytes) == (0, 0)
    assert len({arrival.key for arrival in arrivals}) == len(arrivals)


def test_the_same_header_of_another_gateway_is_another_batch() -> None:
    """Gateways number for themselves."""
    inbox = Inbox(10, MANY)
    for gateway in ("a", "b"):
        inbox.put(Arrival(gateway, b"{}\n"))
    assert len(_taken(inbox)) == 2


def test_a_full_queue_drops_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    """The MQTT loop never waits; what is dropped is not confirmed and comes again."""
    told = Told()
    inbox = Inbox(2, MANY, told)
    for number in range(4):
        inbox.put(Arrival("gw", b"%d\n" % number))
    assert told["dropped", "gw"] == 2
    assert caplog.text.count("queue full") == 1, "a flood of drops is one line"
    assert len(_taken(inbox)) == 2
    inbox.put(Arrival("gw", b"2\n"))
    assert len(_taken(inbox)) == 1


def test_the_queue_is_bounded_in_bytes() -> None:
    """Two thousand of the largest batches would be half a gigabyte; and what was taken makes room."""
    told = Told()
    inbox = Inbox(10, 250, told)
    batches = [Arrival("gw", b"%d\n" % number + b"x" * 98) for number in range(4)]
    for batch in batches:
        inbox.put(batch)
    assert told["dropped", "gw"] == 2
    assert _taken(inbox) == batches[:2]
    for batch in batches[2:]:
        inbox.put(batch)
    assert _taken(inbox) == batches[2:]


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"{}\n" + b"x" * (MAX_PAYLOAD_BYTES - 2), "too large"),
        (b"x" * MAX_HEADER_BYTES + b"\n", "no header"),
        (b"", "no header"),
    ],
    ids=["too large", "its line ends too late", "empty"],
)
def test_what_can_be_no_batch_is_not_queued(payload: bytes, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted, and said once."""
    told = Told()
    inbox = Inbox(10, MANY, told)
    for _ in range(3):
        inbox.put(Arrival("gw", payload))
    assert _taken(inbox) == []
    assert told["dropped", "gw"] == 3
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [f"gateway gw, {kind}"]


def test_the_largest_batch_is_queued() -> None:
    """Just at both bounds."""
    inbox = Inbox(10, MANY)
    header = b"x" * (MAX_HEADER_BYTES - 1) + b"\n"
    inbox.put(Arrival("gw", header + b"x" * (MAX_PAYLOAD_BYTES - MAX_HEADER_BYTES)))
    assert len(_taken(inbox)) == 1


def test_taking_is_bounded() -> None:
    """A round of the writer is never larger than asked for, in batches and in bytes; in order of arrival."""
    inbox = Inbox(10, MANY)
    for number in range(6):
        inbox.put(Arrival("gw", b"%d\n" % number + b"x" * 98))
    rounds = [_taken(inbox, 3), _taken(inbox, 3, 250), _taken(inbox, 3, 10), _taken(inbox)]
    assert [len(taken) for taken in rounds] == [3, 2, 1, 0]
    assert [arrival.payload[:1] for taken in rounds for arrival in taken] == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_who_sends_costly_batches_has_its_turn_less_often() -> None:
    """A batch of 4,000 points costs three more turns, while somebody else waits; alone it waits for nobody."""
    inbox = Inbox(100, MANY)
    for number in range(3):
        inbox.put(_batch("costly", number))
    for number in range(6):
        inbox.put(_batch("modest", number))
    order = []
    for _ in range(9):
        (arrival,) = inbox.take(1, MANY, 0)
        order.append(arrival.gateway[0])
        inbox.charge(arrival.gateway, 4_000 if arrival.gateway == "costly" else 200)
    assert "".join(order) == "cmmmmcmmc"


def test_a_batch_that_is_hard_to_open_costs_turns_too() -> None:
    """A bomb makes no point; 20 ms of work are four turns."""
    inbox = Inbox(100, MANY)
    for number in range(3):
        inbox.put(_batch("bomb", number))
    for number in range(6):
        inbox.put(_batch("modest", number))
    order = []
    for _ in range(9):
        (arrival,) = inbox.take(1, MANY, 0)
        order.append(arrival.gateway[0])
        inbox.charge(arrival.gateway, 0, 0.02 if arrival.gateway == "bomb" else 0.001)
    assert "".join(order) == "bmmmmbmmb"


def test_invented_gateways_share_one_share(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand of them get what one known gateway gets: room, turns, and lines in the log."""
    inbox = Inbox(30, MANY, is_known=lambda gateway: gateway.startswith("gw"))
    for number in range(1000):
        inbox.put(_batch(f"invented-{number}", number))
    for number in range(20):
        for gateway in ("gw-a", "gw-b"):
            inbox.put(_batch(gateway, number))
    taken = [arrival.gateway for arrival in inbox.take(MANY, MANY, 0)]
    assert [taken.count(gateway) for gateway in ("gw-a", "gw-b")] == [10, 10]
    assert [taken[index].startswith("invented") for index in range(6)] == [True, False, False] * 2
    assert len(caplog.records) == 1


@given(st.lists(st.sampled_from("abcdxyz"), max_size=60), st.integers(1, 8))
def test_no_stranger_ever_displaces_the_only_batch_of_a_gateway(puts: list[str], most: int) -> None:
    """Whatever comes in whatever order: x, y and z are strangers, and together no more than one of the others."""
    inbox = Inbox(most, MANY, is_known=lambda gateway: gateway in "abcd")
    held: set[str] = set()
    for number, gateway in enumerate(puts):
        inbox.put(_batch(gateway, number))
        held |= {gateway} & set(inbox._boxes)
        assert held <= set(inbox._boxes)


def _sealed(gateway: str, number: int, at_ms: int) -> Arrival:
    return Arrival(gateway, b'{"number":%d,"sealed_at_ms":%d}\nx' % (number, at_ms))


def _numbers(arrivals: Sequence[Arrival]) -> list[int]:
    return [int(arrival.payload.partition(b":")[2].partition(b",")[0]) for arrival in arrivals]


def test_fresh_data_waits_for_one_batch_of_its_gateways_backlog() -> None:
    """Whatever came before it; and the backlog goes on all the same, oldest first."""
    inbox = Inbox(100, MANY)
    for number in range(1, 6):
        inbox.put(_sealed("gw", number, 1000 + number))
    assert _numbers(_taken(inbox, 2)) == [5, 1]
    inbox.put(_sealed("gw", 9, 5000))
    assert _numbers(_taken(inbox, 4)) == [9, 2, 3, 4]


def test_fresh_data_finds_room_where_its_gateways_backlog_has_taken_it() -> None:
    """It displaces what its own gateway sent last, and is displaced last itself."""
    told = Told()
    inbox = Inbox(3, MANY, told)
    for number in range(1, 5):
        inbox.put(_sealed("gw", number, 1000 - number))
    inbox.put(_sealed("gw", 9, 5000))
    inbox.put(_sealed("gw", 5, 995))
    inbox.put(_sealed("other", 1, 7))
    assert told["dropped", "gw"] == 4
    assert sorted(_numbers(inbox.take(MANY, MANY, 0))) == [1, 1, 9]


def test_one_whose_clock_runs_ahead_gets_no_more_than_its_turns() -> None:
    """A header may claim any time: it only orders what its own gateway sends."""
    inbox = Inbox(100, MANY)
    for number in range(1, 5):
        inbox.put(_sealed("ahead", number, 10**14 + number))
        inbox.put(_sealed("gw", number, 1000 + number))
    assert [arrival.gateway for arrival in inbox.take(MANY, MANY, 0)] == ["ahead", "gw"] * 4


@given(
    st.lists(
        st.one_of(
            st.none(), st.tuples(st.sampled_from("abcxy"), st.integers(0, 20), st.integers(0, 9), st.integers(0, 60))
        ),
        max_size=120,
    ),
    st.integers(1, 8),
    st.integers(120, 600),
)
def test_whatever_is_fresh_the_account_is_right(
    steps: list[tuple[str, int, int, int] | None], most: int, most_bytes: int
) -> None:
    """Batches and takes in any order: what is held is what is counted, and nothing is lost but what was told."""
    told = Told()
    inbox = Inbox(most, most_bytes, told, lambda gateway: gateway in "abc")
    taken = 0
    for step in steps:
        if step is None:
            taken += len(_taken(inbox, 1))
        else:
            gateway, number, at_ms, size = step
            arrival = _sealed(gateway, number, at_ms)
            inbox.put(Arrival(gateway, arrival.payload + b"x" * size))
        boxes = inbox._boxes.values()
        assert inbox.batches == sum(box.batches for box in boxes) <= most
        assert inbox.bytes == sum(box.bytes for box in boxes) <= most_bytes
        assert all(box.batches and (box.fresh is None or box.fresh in box.waiting) for box in boxes)
    counts = {outcome: sum(told[outcome, gateway] for gateway in "abcxy") for outcome in ("received", "duplicate")}
    dropped = sum(told["dropped", gateway] for gateway in "abcxy")
    assert counts["received"] == counts["duplicate"] + dropped + taken + inbox.batches
