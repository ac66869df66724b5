"""Makes words of telegrams that a meter pushes: D0 and P1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.d0 import lines, shape
from edge.d0.framing import Broken, Finder
from edge.listening import Garbled
from edge.metering import Identity, word_of
from edge.obis import Meter

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.d0.framing import Telegram
    from edge.d0.lines import Lines
    from edge.d0.shape import Shape
    from edge.listening import Word
    from edge.obis import Map


class PushDecoder:
    """Telegrams of one meter."""

    def __init__(
        self,
        device: str,
        mapping: Map,
        proof: Callable[[Telegram], bool] | None = None,
        heard: Callable[[Lines], None] | None = None,
    ) -> None:
        """`proof`: whether a telegram's checksum is right, where it has one; `heard`: called with each good one."""
        self._map, self._proof, self._heard = mapping, proof, heard
        self._identity = Identity(device)
        self._finder = Finder()
        self._shape: Shape | None = None
        self._is_first = True

    def feed(self, data: bytes) -> list[Word]:
        """Take bytes; returns a word for every telegram that is whole now, or was none."""
        return [word for found in self._finder.feed(data) if (word := self._word(found)) is not None]

    def reset(self) -> None:
        """Forget half a telegram."""
        self._finder.reset()

    def _word(self, found: Telegram | Broken) -> Word | None:
        if isinstance(found, Broken):
            return Garbled(f"no telegram: {found.why}")
        if self._proof is not None and not self._proof(found):
            return Garbled("no telegram: its checksum is wrong")
        try:
            said = lines.read(found.lines, is_proved=self._proof is not None)
        except lines.BadLineError as error:
            return Garbled(f"a telegram with {error}")
        if self._proof is None and not self._is_like_the_last(said):
            return None if self._is_first else Garbled("a telegram that is laid out otherwise than the one before it")
        self._identity.note(said.number)
        if self._heard is not None:
            self._heard(said)
        return word_of(self._map, said.values, Meter(found.ident[:3].upper()))

    def _is_like_the_last(self, said: Lines) -> bool:
        """Whether a telegram that nothing proves is laid out as the one before it; of the first nobody knows."""
        before, self._shape = self._shape, shape.of(said.lines)
        self._is_first = before is None
        return before == self._shape
