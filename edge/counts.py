"""What a bus counts of all that it hears, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from base.messages import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXTS = {
    "new": Text(de="neue Meldungen", en="new messages"),
    "joins": Text(de="Beitritte", en="joins"),
    "duplicates": Text(de="doppelt gehört", en="duplicates"),
    "replay": Text(de="wiederholt eingespielt", en="replays"),
    "counter_reset": Text(de="Zähler von vorn", en="counter resets"),
    "join_refused": Text(de="Beitritte abgelehnt", en="joins refused"),
    "join_bad_mic": Text(de="Beitritte mit falschem Schlüssel", en="joins with a wrong key"),
    "bad_mic": Text(de="falscher Schlüssel", en="wrong keys"),
    "foreign": Text(de="fremd", en="of others"),
    "damaged": Text(de="beschädigt", en="damaged"),
    "rubbish": Text(de="unlesbar", en="unreadable"),
    "strangers": Text(de="von fremden Konzentratoren", en="of unlisted concentrators"),
    "dropped": Text(de="VERWORFEN", en="DROPPED"),
    "faults": Text(de="INTERNE FEHLER", en="INTERNAL ERRORS"),
    "downlinks": Text(de="gesendet", en="sent"),
}
"""By the name of what is counted; what is not here is for programs."""


def sentence(counts: Mapping[str, int]) -> str:
    """Say what was counted, in the order of the texts; empty where that is nothing."""
    return ", ".join(f"{text.say()}: {counts[name]}" for name, text in TEXTS.items() if counts.get(name))
