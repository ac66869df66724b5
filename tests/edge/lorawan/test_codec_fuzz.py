"""Whatever a codec or a device does: readings, or one error of ours."""

from __future__ import annotations

import json
import struct
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


@pytest.mark.slow
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


BUFFER = """function decodeUplink(input) {
  const buffer = Buffer.from(input.bytes), data = {};
  for (const kind of KINDS) data[kind] = buffer['read' + kind](1);
  const again = Array.from(Buffer.from(buffer.toString('base64'), 'base64'));
  return {data: {...data, hex: buffer.toString('hex'), again,
    three: buffer.readUIntBE(1, 3), six: buffer.readIntLE(1, 6), text: buffer.toString('latin1').length}};
}"""
FORMATS = {
    "UInt8": ">B",
    "Int8": ">b",
    "UInt16BE": ">H",
    "UInt16LE": "<H",
    "Int16BE": ">h",
    "Int16LE": "<h",
    "UInt32BE": ">I",
    "UInt32LE": "<I",
    "Int32BE": ">i",
    "Int32LE": "<i",
}


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.binary(min_size=9, max_size=9))
def test_our_buffer_reads_as_nodes_does(payload: bytes) -> None:
    """Codecs were written for Node's: the same numbers, of all widths and both orders."""
    source = BUFFER.replace("KINDS", json.dumps(list(FORMATS)))
    data = codec_runs.decode(source, 1, payload).data
    assert {kind: data[kind] for kind in FORMATS} == {
        kind: struct.unpack_from(form, payload, 1)[0] for kind, form in FORMATS.items()
    }
    assert (data["hex"], data["again"], data["text"]) == (payload.hex(), list(payload), 9)
    assert data["three"] == int.from_bytes(payload[1:4], "big")
    assert data["six"] == int.from_bytes(payload[1:7], "little", signed=True)


@pytest.mark.parametrize(
    "call", ["readUInt8(2)", "readInt16LE(1)", "readUInt32BE(0)", "readFloatBE(0)", "readUInt8(-1)"]
)
def test_our_buffer_reads_nothing_beyond_its_end(call: str) -> None:
    """A message that was cut short is an error, and not a number."""
    with pytest.raises(CodecError, match="RangeError"):
        codec_runs.decode(f"function decodeUplink(i) {{ return {{a: Buffer.from(i.bytes).{call}}} }}", 1, b"ab")
