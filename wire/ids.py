"""Ids of gateways and devices: one name space for the whole town."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Annotated, TypeAlias

import msgspec

# Python's $ also matches before a final line feed; together with this it means the end, as in a JSON Schema.
END = r"$(?!\n)"
MAX_ID_CHARS = 63
ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}" + END
CHANNEL_PATTERN = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*" + END
QUANTITY_PATTERN = r"^[a-z][a-z0-9_]{0,62}" + END

Id: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=ID_PATTERN, description="lower-case letters, digits and hyphens, at most 63")
]
"""Lower-case letters, digits and hyphens; at most 63 characters."""
ChannelPart: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+" + END, description="letters, digits, '_' and '-'")
]
ChannelName: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=CHANNEL_PATTERN, description="parts of letters, digits, '_' and '-', joined by dots")
]
QuantityName: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=QUANTITY_PATTERN, description="lower-case letters, digits and '_', at most 63")
]
Day: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}" + END, description="a day as YYYY-MM-DD")
]

_ID = re.compile(ID_PATTERN)
_NOT_IN_IDS = re.compile(r"[^a-z0-9]+")
_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe"})


def is_day(day: str) -> bool:
    """Whether a day is one of the calendar."""
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def not_a_day(day: str) -> tuple[str, str]:
    """What was found, and what would be right, where a day is none of the calendar."""
    return repr(day), "a day of the calendar as YYYY-MM-DD"


def is_id(text: str) -> bool:
    """Whether a text may name a gateway or a device."""
    return _ID.match(text) is not None


def id_from(name: str) -> str:
    """Make an id of a name, as a person would: `Schule Jägerstraße` gives `schule-jaegerstrasse`.

    Accents of other languages are left out. Empty where nothing of the name can stand in an id.
    """
    plain = unicodedata.normalize("NFC", name).lower().translate(_LETTERS)
    ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return _NOT_IN_IDS.sub("-", ascii_only).strip("-")[:MAX_ID_CHARS].rstrip("-")
