"""The queue for the probe slot: batches that went unanswered three times, tried one at a time, in turn.

Most are innocent: they were in flight together with one that kills its reader, or nobody was there. Each is tried
alone for one plain time-out; unanswered, it goes to the end of the queue and pauses, ever longer. An answer to one
ends the pauses of the others, so that the innocent follow each other at once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, KeysView

    from gateway.uplink import Sent

MOST = 1_000
"""A batch that finds the queue full keeps its slot of the window."""


class Probes:
    """Batches that wait for the probe slot, in the order of their turns."""

    def __init__(self, first_pause_s: float, longest_pause_s: float, chance: Callable[[], float]) -> None:
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._chance = chance
        self._waiting: OrderedDict[int, Sent] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Sent]:
        return iter(self._waiting.values())

    def __contains__(self, number: int) -> bool:
        return number in self._waiting

    @property
    def is_full(self) -> bool:
        """Whether the queue takes no more."""
        return len(self._waiting) >= MOST

    def numbers(self) -> KeysView[int]:
        """Return the numbers of all that wait."""
        return self._waiting.keys()

    def next(self, now_s: float) -> int | None:
        """Return the number whose turn it is; None where all pause."""
        return next((number for number, sent in self._waiting.items() if sent.due_s <= now_s), None)

    def put(self, sent: Sent, now_s: float, *, pauses: int) -> None:
        """Put a batch at the end; it pauses first, longer with each of `pauses`, or not at all for 0."""
        ceiling = min(self._longest_pause_s, self._first_pause_s * 2.0 ** min(pauses, 16)) if pauses else 0.0
        sent.due_s = now_s + ceiling * (0.5 + 0.5 * self._chance())
        self._waiting[sent.number] = sent

    def put_first(self, sent: Sent, now_s: float) -> None:
        """Put a batch back whose probe was cut short."""
        sent.due_s = now_s
        self._waiting[sent.number] = sent
        self._waiting.move_to_end(sent.number, last=False)

    def lift_pauses(self, now_s: float) -> None:
        """End all pauses."""
        for sent in self._waiting.values():
            sent.due_s = min(sent.due_s, now_s)

    def pop(self, number: int) -> Sent | None:
        """Take a batch out; None where it does not wait here."""
        return self._waiting.pop(number, None)

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()
