"""Ids: one name space for gateways and devices."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.ids import Id, id_from, is_id

GOOD = ["a", "0", "gw-1", "town-hall-meter-3", "a" * 63]
BAD = ["", "-a", "A", "gw_1", "gw.1", "gw/1", "gw 1", "größe", "a" * 64, "gw-1\n", "\ngw-1", "+", "\u0661"]


@pytest.mark.parametrize("text", GOOD)
def test_an_id_is_known_as_one(text: str) -> None:
    """In code and in a file alike."""
    assert is_id(text)
    assert msgspec.convert(text, Id) == text


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_id_is_refused(text: str) -> None:
    """A line feed at the end included, which would break a topic and a line of the database."""
    assert not is_id(text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Id)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("Schule Jägerstraße", "schule-jaegerstrasse"),
        ("SCHULE JA\u0308GERSTRASSE", "schule-jaegerstrasse"),
        ("Café  Möhne-/Öd (2. OG)", "cafe-moehne-oed-2-og"),
        ("Straẞe", "strasse"),
        ("北京", ""),
        ("x" * 62 + " y", "x" * 62),
    ],
)
def test_an_id_is_made_of_a_name(name: str, made: str) -> None:
    """As a person would write it."""
    assert id_from(name) == made


@given(st.text())
def test_what_is_made_of_a_name_is_an_id_or_nothing(name: str) -> None:
    """Whatever the name; and an id stays as it is."""
    made = id_from(name)
    assert not made or is_id(made)
    assert id_from(made) == made
