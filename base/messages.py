"""What Messnetz says to people, in German and English.

The language is that of `MESSNETZ_LANGUAGE` (`de` or `en`), else that of the locale. Sentences about errors are not
said here: they stay English in every language, because people search for them by their words, and whoever helps from
afar must read what the other one reads. What programs read (`--json`) has no language either.
"""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

import msgspec

Language: TypeAlias = Literal["de", "en"]

VARIABLE = "MESSNETZ_LANGUAGE"
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""In the order in which POSIX asks them; an empty one counts as none."""


def language() -> Language:
    """Return the language of whoever runs this process: German where the environment asks for it, else English."""
    for variable in (VARIABLE, *LOCALE_VARIABLES):
        if value := os.environ.get(variable):
            return "de" if value.lower().startswith("de") else "en"
    return "en"


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name or a sentence for people, in German and English; `{name}` is a place that is filled when it is said."""

    de: str
    en: str

    def say(self, **values: object) -> str:
        """Return it in the language of this process, with its places filled.

        Raises: KeyError where a place is left open.
        """
        text = self.de if language() == "de" else self.en
        return text.format_map(values)
