"""Between the MQTT loop and the writer."""

from __future__ import annotations

from cloud.inbox import Arrival, Inbox


def test_a_batch_that_waits_is_not_queued_twice() -> None:
    """A re-send of what waits changes nothing; once taken, it is queued again."""
    inbox = Inbox(10)
    batch = Arrival("gw", b'{"number":1}\npack')
    inbox.put(batch)
    inbox.put(batch)
    assert inbox.take(10, 0) == [batch]
    inbox.put(batch)
    assert inbox.take(10, 0) == [batch]


def test_the_same_header_of_another_gateway_is_another_batch() -> None:
    """Gateways number for themselves."""
    inbox = Inbox(10)
    for gateway in ("a", "b"):
        inbox.put(Arrival(gateway, b"{}\n"))
    assert len(inbox.take(10, 0)) == 2


def test_a_full_queue_drops_and_counts() -> None:
    """The MQTT loop never waits; what is dropped is not confirmed and comes again."""
    inbox = Inbox(2)
    for number in range(3):
        inbox.put(Arrival("gw", b"%d\n" % number))
    assert inbox.dropped == 1
    assert len(inbox.take(10, 0)) == 2
    inbox.put(Arrival("gw", b"2\n"))
    assert len(inbox.take(10, 0)) == 1


def test_taking_is_bounded() -> None:
    """A round of the writer is never larger than asked for."""
    inbox = Inbox(10)
    for number in range(5):
        inbox.put(Arrival("gw", b"%d\n" % number))
    assert [len(inbox.take(3, 0)), len(inbox.take(3, 0)), len(inbox.take(3, 0))] == [3, 2, 0]
