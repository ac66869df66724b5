"""Whatever a codec or a device does: readings, or one error of ours."""

from __future__ import annotations

import json
from typing import Any

import codec_runs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.lorawan import profile as profiles
from edge.lorawan.codec.errors import CodecError
from edge.lorawan.codec.result import MAX_DEPTH, Decoded, decoded, encoded
from edge.lorawan.half import LorawanHalf
from edge.lorawan.model import Model
from wire import profile as public
from wire.vocabulary import quantities

NOW_MS = codec_runs.RECEIVED_MS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=4), children, max_size=4),
    max_leaves=20,
)
NESTED = st.integers(0, 20_000).map(lambda depth: "[" * depth + "]" * depth)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.text(max_size=200) | JSON.map(json.dumps) | NESTED | JSON.map(lambda v: json.dumps({"data": v, "errors": v})))
def test_whatever_a_codec_writes_is_a_result_or_our_error(text: str) -> None:
    """No crash, no other exception, no depth that could end the process."""
    for take in (decoded, encoded):
        try:
            result = take(text)
        except CodecError:
            continue
        if isinstance(result, Decoded):
            assert isinstance(result.data, dict)
            assert json.dumps(result.data)


FULLEST = Model.of(
    msgspec.convert(
        {
            "codec": "a/b",
            "values": {
                "temp_air": {"path": "a"},
                "humidity": {"path": "a.b[0]", "unit": "%"},
                "motion": {"path": "a", "states": {"x": 1}},
                "leak": {"path": "b", "above": 0},
                "water_volume": {"path": "b", "divide_by": "per", "no_value": [0, "x"]},
                "soil_vwc": {"path": "c[a=1]", "unit": "m3/m3"},
            },
            "history": {"path": "c", "time": "a", "clock": "text"},
        },
        LorawanHalf,
    ),
    "",
    {"per": 10},
)
KEYS = st.sampled_from("abc")
LIKELY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(KEYS, children, max_size=3),
    max_leaves=20,
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.dictionaries(KEYS, LIKELY, max_size=3))
def test_whatever_a_codec_gives_becomes_finite_readings(data: dict[str, Any]) -> None:
    """Or a fault in a sentence."""
    said = FULLEST.read(data, NOW_MS)
    for taken in (said.now, *said.before):
        for reading in taken.readings:
            assert abs(reading.value) < float("inf")
            assert quantities()[reading.quantity].kind != "state" or isinstance(reading.value, float)
    assert said.fault is None or 0 < len(said.fault) < 200


CODES = st.sampled_from(
    [
        "return {data: X}",
        "return X",
        "throw X",
        "return {errors: X}",
        "return {data: {a: X}, warnings: X}",
        "return {data: [X, X]}",
        "return {data: {a: input.bytes, b: X}}",
        "var o = {}; o[X] = o; return o",
        "return {data: {toJSON: () => X}}",
        "return {get data() { return X }}",
        "Object.prototype.toJSON = () => X; return {data: {}}",
        "Array.prototype.toJSON = () => X; return {data: {a: [1]}}",
        "JSON.stringify = () => X; return {data: {a: 1}}",
        "globalThis.module = X; return {data: {a: 1}}",
        "return new Proxy({}, {ownKeys: () => X})",
        "return {data: Buffer.from([1, 2])}",
        "return {data: {a: new Uint8Array(2), m: new Map([[1, 2]]), d: new Date(X)}}",
    ]
)
VALUES = st.sampled_from(
    [
        *("NaN", "Infinity", "-0", "1e308", "1n", "undefined", "null", "true", "''", "'\\ud800'", "[]", "[[]]", "{}"),
        *("Symbol()", "(()=>1)", "/x/", "new Error('x')", "2**53", "globalThis"),
    ]
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(CODES, VALUES, st.binary(max_size=8))
def test_a_codec_may_do_what_it_likes(code: str, value: str, payload: bytes) -> None:
    """It gives a result that can be used, or one error of ours."""
    source = f"function decodeUplink(input) {{ {code.replace('X', value)} }}"
    said = ""
    try:
        FULLEST.read(codec_runs.decode(source, 1, payload).data, NOW_MS)
    except CodecError as error:
        said = str(error)
    assert len(said) < 400


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.sampled_from(public.names_of("lorawan")), st.integers(1, 223), st.binary(max_size=60))
def test_no_message_can_harm_our_codecs(name: str, f_port: int, payload: bytes) -> None:
    """Whatever a device sends: readings, or one error of ours."""
    profile = profiles.load(name)
    model = profiles.compile_model(profile, {key: p.default or p.maximum for key, p in profile.parameters.items()})
    try:
        result = codec_runs.decode(model.codec, f_port, payload)
    except CodecError:
        return
    said = model.read(result.data, NOW_MS)
    assert {reading.name for reading in said.now.readings} <= set(profile.readings)


def test_depth_is_bounded() -> None:
    """As deep as any device would nest, and no deeper."""
    fits, too_deep = ('{"data": {"a": ' + "[" * n + "1" + "]" * n + "}}" for n in (MAX_DEPTH - 4, MAX_DEPTH))
    assert decoded(fits)
    with pytest.raises(CodecError, match="levels"):
        decoded(too_deep)
