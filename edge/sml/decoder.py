"""Makes words of what an optical head hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.listening import Garbled
from edge.metering import Identity, word_of
from edge.sml import telegram
from edge.sml.frames import Broken, Frames
from edge.sml.items import BadFieldError

if TYPE_CHECKING:
    from edge.listening import Word
    from edge.obis import Map
    from edge.sml.frames import Frame


class SmlDecoder:
    """Telegrams of one meter."""

    def __init__(self, device: str, mapping: Map) -> None:
        self._map = mapping
        self._identity = Identity(device)
        self._frames = Frames()

    def feed(self, data: bytes) -> list[Word]:
        """Take bytes; returns a word for every telegram that is whole now, or was none."""
        return [word for frame in self._frames.feed(data) if (word := self._word(frame)) is not None]

    def reset(self) -> None:
        """Forget half a telegram."""
        self._frames.reset()

    def _word(self, frame: Frame | Broken) -> Word | None:
        if isinstance(frame, Broken):
            return Garbled(f"no telegram: {frame.why}")
        try:
            said = telegram.parse(frame.body)
        except BadFieldError as error:
            return Garbled(f"a telegram with {error}")
        if not said.entries:
            return None  # an answer to somebody else's question
        self._identity.note(said.number)
        return word_of(self._map, said.values, said.meter)
