"""Between the MQTT loop and the writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloud.inbox import Arrival, Inbox
from wire.bounds import MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

MANY = 10**9


def _taken(inbox: Inbox, most: int = 10, most_bytes: int = MANY) -> Sequence[Arrival]:
    return inbox.take(most, most_bytes, 0)


def test_a_batch_that_waits_is_not_queued_twice() -> None:
    """A re-send of what waits changes nothing; once taken, it is queued again."""
    inbox = Inbox(10, MANY)
    batch = Arrival("gw", b'{"number":1}\npack')
    inbox.put(batch)
    inbox.put(batch)
    assert _taken(inbox) == [batch]
    inbox.put(batch)
    assert _taken(inbox) == [batch]
    assert inbox.dropped == 0


def test_the_same_header_of_another_gateway_is_another_batch() -> None:
    """Gateways number for themselves."""
    inbox = Inbox(10, MANY)
    for gateway in ("a", "b"):
        inbox.put(Arrival(gateway, b"{}\n"))
    assert len(_taken(inbox)) == 2


def test_a_full_queue_drops_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    """The MQTT loop never waits; what is dropped is not confirmed and comes again."""
    inbox = Inbox(2, MANY)
    for number in range(4):
        inbox.put(Arrival("gw", b"%d\n" % number))
    assert inbox.dropped == 2
    assert caplog.text.count("gateway gw, queue full") == 1, "a flood of drops is one line"
    assert len(_taken(inbox)) == 2
    inbox.put(Arrival("gw", b"2\n"))
    assert len(_taken(inbox)) == 1


def test_the_queue_is_bounded_in_bytes() -> None:
    """Two thousand of the largest batches would be half a gigabyte; and what was taken makes room."""
    inbox = Inbox(10, 250)
    batches = [Arrival("gw", b"%d\n" % number + b"x" * 98) for number in range(4)]
    for batch in batches:
        inbox.put(batch)
    assert inbox.dropped == 2
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
    inbox = Inbox(10, MANY)
    for _ in range(3):
        inbox.put(Arrival("gw", payload))
    assert _taken(inbox) == []
    assert inbox.dropped == 3
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
