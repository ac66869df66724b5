"""Numbers of things, for people: one of them has another word."""

from __future__ import annotations

from typing import NamedTuple

from base.messages import Text


class Word(NamedTuple):
    """A word for one thing, and that for several or none."""

    one: Text
    many: Text

    def say(self, count: int) -> str:
        """Write a number and the word that goes with it."""
        return f"{count} {self.form(count)}"

    def form(self, count: int) -> str:
        """Return the word alone."""
        return (self.one if count == 1 else self.many).say()


BUSES = Word(Text(de="Bus", en="bus"), Text(de="Busse", en="buses"))
DEVICES = Word(Text(de="Gerät", en="device"), Text(de="Geräte", en="devices"))
READINGS = Word(Text(de="Messwert", en="reading"), Text(de="Messwerte", en="readings"))
BATCHES = Word(Text(de="Paket", en="batch"), Text(de="Pakete", en="batches"))
IN_BATCHES = Word(Text(de="Paket", en="batch"), Text(de="Paketen", en="batches"))
"""As in "in 3 Paketen"."""
WAIT = Word(Text(de="wartet", en="waits"), Text(de="warten", en="wait"))
ARE_SENT = Word(Text(de="wird", en="is"), Text(de="werden", en="are"))
