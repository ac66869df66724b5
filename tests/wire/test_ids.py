"""Ids: one name space for gateways and devices."""

from __future__ import annotations

import msgspec
import pytest

from wire.ids import Id, is_id

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
