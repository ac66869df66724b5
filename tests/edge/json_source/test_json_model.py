"""What JSON means: times, odd values, and whatever else may come."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base import strict_yaml
from base.errors import ConfigError
from edge.json_source import profile as profiles
from edge.json_source.model import Model
from edge.json_source.profile import JsonProfile
from edge.json_source.times import Clock, OwnTime
from edge.json_values import paths
from wire import profile as public

if TYPE_CHECKING:
    from collections.abc import Callable

NOW_MS = 1_764_000_000_000
TRAFFIC = Model(profiles.load("generic/traffic-json"), {}, {"counter": "north", "topic": "t", "path": "p"})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("own", "given_", "at_ms"),
    [
        (OwnTime(path="t"), "2025-11-24T16:00:00Z", 1_764_000_000_000),
        (OwnTime(path="t"), "2025-11-24T17:00:00.5+01:00", 1_764_000_000_500),
        (OwnTime(path="t"), "2025-11-24T16:00:00.123456789Z", 1_764_000_000_123),
        (OwnTime(path="t", zone="UTC"), "2025-11-24 16:00:00", 1_764_000_000_000),
        (OwnTime(path="t", zone="Europe/Berlin"), "2025-11-24 17:00:00", 1_764_000_000_000),
        (OwnTime(path="t", zone="Europe/Berlin"), "2025-11-24T16:00:00Z", 1_764_000_000_000),
        (OwnTime(path="t", format="unix_s"), 1_764_000_000, 1_764_000_000_000),
        (OwnTime(path="t", format="unix_s"), "1764000000.25", 1_764_000_000_250),
        (OwnTime(path="t", format="unix_ms"), 1_764_000_000_001, 1_764_000_000_001),
        (OwnTime(path="t", format="%d.%m.%Y %H:%M", zone="Europe/Berlin"), "24.11.2025 17:00", 1_764_000_000_000),
        (OwnTime(path="t", add_s=3600), "2025-11-24T15:00:00Z", 1_764_000_000_000),
    ],
)
def test_a_time_is_read_as_it_is_declared(own: OwnTime, given_: object, at_ms: int) -> None:
    """With its zone, without it where one is declared, and as seconds or milliseconds."""
    assert Clock(own).read({"t": given_}, NOW_MS) == at_ms


@pytest.mark.parametrize(
    ("now_ms", "at_ms"), [(1_761_438_700_000, 1_761_438_600_000), (1_761_442_300_000, 1_761_442_200_000)]
)
def test_in_the_hour_that_comes_twice_a_local_time_is_the_one_near_now(now_ms: int, at_ms: int) -> None:
    """On 26 October 2025 it was 02:30 in Berlin twice."""
    own = OwnTime(path="t", zone="Europe/Berlin")
    assert Clock(own).read({"t": "2025-10-26T02:30:00"}, now_ms) == at_ms


@pytest.mark.parametrize(
    ("own", "given_", "why"),
    [
        (OwnTime(path="t"), "2025-11-24T16:00:00", "without its zone"),
        (OwnTime(path="t"), "yesterday", "no time"),
        (OwnTime(path="t"), 1_764_000_000, "no text"),
        (OwnTime(path="t", format="unix_s"), "soon", "no number"),
        (OwnTime(path="t", format="unix_s"), True, "no number"),
        (OwnTime(path="t", format="unix_s"), 1e300, "no number"),
        (OwnTime(path="t", format="unix_ms"), None, "no time in it"),
        (OwnTime(path="t"), "0001-01-01T00:00:00+14:00", "cannot be"),
    ],
)
def test_what_is_no_time_is_said_in_words(own: OwnTime, given_: object, why: str) -> None:
    """It costs the message, and nobody guesses."""
    with pytest.raises(ValueError, match=why):
        Clock(own).read({"t": given_}, NOW_MS)


def test_a_name_with_dots_is_quoted() -> None:
    """Some makers put dots, blanks and brackets into names."""
    find = paths.parse('a["x y"]["b.c[0]"][0].d')
    assert find is not None
    assert find({"a": {"x y": {"b.c[0]": [{"d": 7}]}}}) == 7


@pytest.mark.slow
@settings(max_examples=100, derandomize=True)
@given(JSON)
def test_whatever_json_comes_it_is_readings_or_an_error_in_words(data: Any) -> None:  # noqa: ANN401 - any JSON
    """No crash, no number that is none, no exception type but ours."""
    _survives(TRAFFIC, json.dumps(data).encode())


@settings(max_examples=100, derandomize=True)
@given(JSON, JSON, st.sampled_from(["car", "bicycle", "speed_kmh"]))
def test_whatever_stands_in_the_right_place(end: Any, value: Any, name: str) -> None:  # noqa: ANN401 - any JSON
    """Odd values where a number or a time should be."""
    message = {"end": end, "counters": [{"id": "north", "in": {name: value}}]}
    _survives(TRAFFIC, json.dumps(message).encode())
    message["end"] = "2025-11-24T16:00:00Z"
    _survives(TRAFFIC, json.dumps(message).encode())


@pytest.mark.slow
@settings(max_examples=200, derandomize=True)
@given(st.binary(max_size=200) | st.integers(1, 20_000).map(lambda depth: b"[" * depth))
def test_whatever_bytes_come(payload: bytes) -> None:
    """Neither broken text nor endless nesting ends more than the message."""
    _survives(TRAFFIC, payload)
    _survives(Model(profiles.load("opendtu/inverter"), {}, {"base": "b", "serial": "s"}), payload)


def _survives(model: Model, payload: bytes) -> None:
    """Read it; a ValueError is the border's own word, any other fails the test."""
    try:
        readings, why = model.said(payload, NOW_MS).readings, "read"
    except ValueError as error:
        readings, why = (), str(error)
    assert why
    assert all(math.isfinite(reading.value) for reading in readings)


BROKEN: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("a path", lambda p: p["json"]["values"]["speed_mean/in"].update(path="a..b"), "names joined by dots"),
    ("a unit", lambda p: p["json"]["values"]["speed_mean/in"].update(unit="kWh"), "a unit that"),
    ("a wildcard", lambda p: p["json"].update(topic="a/+/b"), "without wildcards"),
    ("a part", lambda p: p["json"].update(topic="a/{nobody}"), "a part declared"),
    ("a format", lambda p: p["json"]["time"].update(format="iso"), "one of: iso8601"),
    ("a pattern without zone", lambda p: p["json"]["time"].update(format="%H:%M"), "'zone' beside it"),
    ("a zone", lambda p: p["json"]["time"].update(zone="Europe/Hagen"), "a time zone"),
    ("a zone outside", lambda p: p["json"]["time"].update(zone="../../etc/passwd"), "a time zone"),
    ("a count without time", lambda p: p["json"].pop("time"), "it would count twice"),
    ("thinned with time", lambda p: p.update(thinning={}), "one of them"),
    ("no place", lambda p: (p["json"].pop("topic"), p["json"].pop("path")), "where its messages are"),
    ("a reading without value", lambda p: p["json"]["values"].pop("speed_mean/in"), "a row in 'json: values:'"),
]


@pytest.mark.parametrize(("what", "breaks", "expected"), BROKEN, ids=[row[0] for row in BROKEN])
def test_a_broken_profile_says_what_would_be_right(
    what: str, breaks: Callable[[dict[str, Any]], object], expected: str
) -> None:
    """At the desk, and not at night in the field."""
    del what
    content = msgspec.yaml.decode((public.PROFILES / "generic" / "traffic-json.yaml").read_bytes())
    breaks(content)
    document = strict_yaml.parse(msgspec.json.encode(content), Path("x.yaml"))
    with pytest.raises(ConfigError, match=re.escape(expected)):
        document.convert(JsonProfile).check(document)
