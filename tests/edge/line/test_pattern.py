"""Patterns of lines: what fits, what is refused, and that none can hang."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.line.pattern import Pattern, PatternError, Words, number


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        ("T={t} H={h}", "T=21.5 H=40", {"t": "21.5", "h": "40"}),
        ("T={t} H={h}", "T=-.5   H=+1e3", {"t": "-.5", "h": "+1e3"}),
        ("T= {t}", "T=21", {"t": "21"}),
        ("T={t}", "T=21.5 ", None),
        ("T={t}", "xT=21.5", None),
        ("T={t}", "T=21.5C", None),
        ("{*}T={t}{*}", "a bT T=5; x", {"t": "5"}),
        ("{*}T={t}{*}", "T=5", {"t": "5"}),
        ("{{{t}}}", "{7}", {"t": "7"}),
        ("a.b+{t}", "a.b+1", {"t": "1"}),
        ("a.b+{t}", "axb+1", None),
        ("{a/1.in};{b}", "1;2", {"a/1.in": "1", "b": "2"}),
        ("{a}{*}", "1\x00\xff", {"a": "1"}),
        ("{t}", "٣", None),
    ],
)
def test_a_line_fits_as_a_whole_or_not_at_all(pattern: str, line: str, expected: dict[str, str] | None) -> None:
    """Half a number is none."""
    assert Pattern(pattern, {}).match(line) == expected


def test_words_stand_for_values() -> None:
    """The longest one that fits."""
    words = {"door": Words(states=("OPEN", "OPENING")), "t": Words(no_value=("---", "9"))}
    pattern = Pattern("{door},{t}", words)
    assert pattern.match("OPENING,---") == {"door": "OPENING", "t": "---"}
    assert pattern.match("OPEN,98.1") == {"door": "OPEN", "t": "98.1"}
    assert pattern.match("AJAR,1") is None


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("{a}{b}", "right behind another value"),
        ("{*}{b}", "right before a value"),
        ("{a},{a}", "a second time"),
        ("{}", "name what is to be read"),
        ("{a", "a lone '{'"),
        ("a}", "a lone '}'"),
    ],
)
def test_what_is_ambiguous_is_refused(pattern: str, error: str) -> None:
    """When it is checked, not on the first line that tells."""
    with pytest.raises(PatternError, match=error):
        Pattern(pattern, {})


def test_a_decimal_comma_is_a_setting() -> None:
    """A number with a full stop is then none."""
    pattern = Pattern("{t}", {}, ",")
    assert pattern.match("21,5") == {"t": "21,5"}
    assert pattern.match("21.5") is None
    assert number("21,5", ",") == 21.5
    assert number("21.5", ",") is None


_PIECES = st.lists(
    st.one_of(st.sampled_from(["{*}", " ", "a", "aa", "T=", "{{", ".*", "(a+)+", "[", "\\", "|"])),
    min_size=1,
    max_size=20,
)


@pytest.mark.slow
@given(_PIECES, st.text(max_size=500))
@settings(max_examples=300, derandomize=True)
def test_any_pattern_matches_any_line_or_not(pieces: list[str], line: str) -> None:
    """Text is text, whatever it would be in a regular expression."""
    text = "".join(f"{piece}{{v{n}}};" if n % 3 == 0 and piece != "{*}" else piece for n, piece in enumerate(pieces))
    try:
        pattern = Pattern(text, {})
    except PatternError:
        return
    found = pattern.match(line)
    assert found is None or set(found) == set(pattern.names)


HARD = ["{*}a" * 30 + "{t}", " a" * 40 + "{t} x", "{*} a" * 20 + ";{t}", "{*}1a" * 400, " {t} 1 {u}" + " " * 40]


@pytest.mark.parametrize("pattern", HARD)
@pytest.mark.parametrize("line", ["a" * 512, " " * 512, "1" * 512, "a 1" * 170, "1 " * 256])
def test_no_line_hangs(pattern: str, line: str) -> None:
    """On such patterns an ordinary regular expression would work for years, and this test would not end."""
    assert Pattern(pattern, {}).match(line) is None
