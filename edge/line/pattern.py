"""Patterns of lines: text as it stands, with what is to be read in braces.

    T={temp_air} H={humidity}      a number each; a blank stands for any number of blanks and tabs, or none
    {*}T={temp_air}{*}             anything up to `T=`, and anything after
    {door}                         one of the words that the profile lists under `states`
    {{                             a brace

A pattern becomes a regular expression made of pieces that never give back what they took (atomic groups), so that
matching takes time in proportion to the line, whatever the line is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SKIP = "*"
_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|(?P<blank>[ \t]+)|(?P<text>[^{} \t]+)|(?P<lone>[{}])")
_NUMBER = r"[+-]?(?:[0-9]{1,15}(?:%s[0-9]{0,15})?|%s[0-9]{1,15})(?:[eE][+-]?[0-9]{1,2})?"
_WHOLE_NUMBER = {mark: re.compile(_NUMBER % (re.escape(mark), re.escape(mark)) + r"\Z") for mark in ".,"}


class PatternError(ValueError):
    """A pattern that is none, in words."""


class Words(NamedTuple):
    """What may stand in the place of one value, beside a number."""

    states: Sequence[str] = ()
    """These and no number."""
    no_value: Sequence[str] = ()


class Pattern:
    """One pattern, compiled."""

    def __init__(self, text: str, words: Mapping[str, Words], decimal_mark: str = ".") -> None:
        """`words`: by the names in braces.

        Raises: PatternError.
        """
        self.names: tuple[str, ...] = ()
        self._expression = re.compile(self._compiled(_tokens(text), words, decimal_mark), re.DOTALL)

    def match(self, line: str) -> dict[str, str] | None:
        """Return what stands where a line has its values; None where it is another kind of line."""
        found = self._expression.fullmatch(line)
        return None if found is None else dict(zip(self.names, found.groups(), strict=True))

    def _compiled(self, tokens: list[tuple[str, str]], words: Mapping[str, Words], mark: str) -> str:
        pieces = []
        for index, (kind, value) in enumerate(tokens):
            if kind == "text":
                pieces.append(re.escape(value))
            elif kind == "blank":
                pieces.append(r"[ \t]*+")
            elif value == SKIP:
                pieces.append(_skip(tokens[index + 1 : index + 2]))
            else:
                if index and tokens[index - 1][0] == "value":
                    raise PatternError(f"{{{value}}} right behind another value: nobody knows where it begins")
                if value in self.names:
                    raise PatternError(f"{{{value}}} a second time")
                self.names = (*self.names, value)
                pieces.append(_value(words.get(value, Words()), mark))
        if not self.names and SKIP not in (value for _, value in tokens) and not pieces:
            raise PatternError("an empty pattern")
        return "".join(pieces)


def number(text: str, decimal_mark: str = ".") -> float | None:
    """Read a number; None where it is none."""
    if not _WHOLE_NUMBER[decimal_mark].match(text):
        return None
    return float(text.replace(decimal_mark, "."))


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    for found in _TOKEN.finditer(text):
        if found["lone"]:
            raise PatternError(f"a lone {found['lone']!r}: write it twice where it is text")
        if found["name"] is not None:
            if not found["name"]:
                raise PatternError("'{}': name what is to be read, or write {*}")
            tokens.append(("value", found["name"]))
        elif found["blank"]:
            tokens.append(("blank", " "))
        else:
            piece = found["text"] or found[0][0]
            if tokens and tokens[-1][0] == "text":
                piece = tokens.pop()[1] + piece
            tokens.append(("text", piece))
    return tokens


def _skip(following: list[tuple[str, str]]) -> str:
    """Anything up to the text that follows, or to the end."""
    if not following:
        return r".*+"
    kind, value = following[0]
    if kind == "value":
        raise PatternError("{*} right before a value: nobody knows where it ends")
    stop = r"[ \t]" if kind == "blank" else re.escape(value)
    return rf"(?>(?:(?!{stop}).)*+)"


def _value(words: Words, mark: str) -> str:
    if words.states:
        choices = [re.escape(word) for word in sorted([*words.states, *words.no_value], key=len, reverse=True)]
        return f"((?>{'|'.join(choices)}))"
    escaped = re.escape(mark)
    numbers = _NUMBER % (escaped, escaped)
    others = [re.escape(word) for word in sorted(words.no_value, key=len, reverse=True)]
    return f"((?>{'|'.join([numbers, *others])}))"
