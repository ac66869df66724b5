"""Cases of drivers whose devices write lines: lines become exactly the expected readings, and the expected errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edge.listening import Garbled
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.listening import Decoder


def check_case(folder: Path, make: Callable[[str, dict[str, float]], Decoder]) -> None:
    """Compare what a decoder makes of a case's lines; `make` builds it from a profile's name and parameters."""
    given = json.loads((folder / "input.json").read_text())
    assert len(given["why"]) > 20
    readings: dict[str, float] = {}
    without: list[str] = []
    garbled: list[str] = []
    decoder = make(given["profile"], given["parameters"])
    for word in decoder.feed("".join(line + "\r\n" for line in given["lines"]).encode("latin-1")):
        if isinstance(word, Garbled):
            garbled.append(word.why)
            continue
        assert all(reading.unit == quantities()[reading.quantity].unit for reading in word.readings)
        readings |= {reading.name: reading.value for reading in word.readings}
        without += word.without_value
    expected = json.loads((folder / "expected.json").read_text())
    assert (readings, without, garbled) == (expected["readings"], expected["without_value"], expected["garbled"])


def readings_of(cases: Path, profile: str) -> set[str]:
    """Return the readings that the cases of a profile have."""
    found: set[str] = set()
    for folder in cases.iterdir():
        if json.loads((folder / "input.json").read_text())["profile"] == profile:
            found |= set(json.loads((folder / "expected.json").read_text())["readings"])
    return found
