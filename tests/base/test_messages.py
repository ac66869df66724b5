"""What people read is in their language."""

from __future__ import annotations

import pytest

from base.messages import LOCALE_VARIABLES, VARIABLE, Text, language

CASES = [
    ({}, "en"),
    ({"LANG": "de_DE.UTF-8"}, "de"),
    ({"LANG": "de"}, "de"),
    ({"LANG": "C.UTF-8"}, "en"),
    ({"LANG": "fr_FR.UTF-8"}, "en"),
    ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "de_AT.UTF-8"}, "de"),
    ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "de_DE.UTF-8", "LC_ALL": "C"}, "en"),
    ({"LANG": "de_DE.UTF-8", "LC_ALL": ""}, "de"),
    ({"LC_ALL": "de_DE.UTF-8", "MESSNETZ_LANGUAGE": "en"}, "en"),
    ({"LC_ALL": "C", "MESSNETZ_LANGUAGE": "DE"}, "de"),
    ({"LANG": "de_CH.UTF-8", "MESSNETZ_LANGUAGE": ""}, "de"),
]


def set_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Set these variables, and none else that says a language."""
    for name in (VARIABLE, *LOCALE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("environment", "expected"), CASES)
def test_the_language_is_that_of_the_environment(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own variable first, then as POSIX asks; whatever is not German is English."""
    set_environment(monkeypatch, environment)
    assert language() == expected


def test_a_text_is_said_with_its_places_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """In either language, whatever their order in the sentence."""
    text = Text(de="{count} Geräte in {where}", en="in {where}: {count} devices")
    set_environment(monkeypatch, {"MESSNETZ_LANGUAGE": "de"})
    assert text.say(count=3, where="{A}") == "3 Geräte in {A}"
    set_environment(monkeypatch, {"MESSNETZ_LANGUAGE": "en"})
    assert text.say(count=3, where="{A}", more=1) == "in {A}: 3 devices"
    with pytest.raises(KeyError):
        text.say(count=3)
