"""The pack: samples come back as they went in, and what is no pack of ours is refused."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import pack
from wire.bounds import MAX_FLAGS, MAX_PACK_BYTES, MAX_PACK_READINGS, MAX_TIME_MS
from wire.errors import BadMessageError, UnsupportedError
from wire.readings import Flag, Reading, Sample

NOW_MS = 1_760_000_000_123
POWER = Reading("active_power", 4321.5, "W")

devices = st.text("abz019-", min_size=1, max_size=63).filter(lambda text: text[0] != "-")
quantities = st.text("az09_", max_size=30).map("q".__add__)
channels = st.lists(st.text("aZ09_-", min_size=1, max_size=9), max_size=5).map(".".join)
times_ms = st.integers(min_value=2**28 * 1000, max_value=MAX_TIME_MS)
readings = st.builds(
    Reading,
    quantity=quantities,
    value=st.floats(allow_nan=False, allow_infinity=False),
    unit=st.sampled_from(["", "W", "kWh", "%RH", "/", "W/m2", "Cel"]),
    channel=channels,
    flags=st.integers(min_value=0, max_value=MAX_FLAGS),
)
samples = st.builds(
    Sample, device=devices, measured_at_ms=times_ms, readings=st.lists(readings, min_size=1, max_size=5).map(tuple)
)
packs = st.lists(samples, max_size=20, unique_by=lambda sample: (sample.device, sample.measured_at_ms))


def record(**members: object) -> bytes:
    """A pack of one record, sound but for `members`."""
    sound: dict[str, object] = {"n": "meter/active_power", "t": 1.76e9, "v": 1, "u": "W"}
    return json.dumps([sound | members]).encode()


@pytest.mark.slow
@given(packs)
def test_what_is_packed_comes_back(written: list[Sample]) -> None:
    """To the last bit of every value and the last millisecond of every time, in the order of time."""
    assert pack.decode(pack.encode(written)) == sorted(written, key=lambda sample: sample.measured_at_ms)


@pytest.mark.slow
@given(packs)
def test_packing_again_gives_the_same_bytes(written: list[Sample]) -> None:
    """A batch that is read and packed once more is the same batch."""
    once = pack.encode(pack.decode(pack.encode(written)))
    assert pack.encode(pack.decode(once)) == once


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    """Whatever arrives, no other exception leaves the decoder."""
    try:
        decoded = pack.decode(data)
    except (BadMessageError, UnsupportedError):
        return
    assert decoded == []  # so few random bytes hold no reading


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
members = st.sampled_from(["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "q_"])


@pytest.mark.slow
@given(st.lists(st.dictionaries(members, json_values, max_size=6), max_size=4))
def test_members_of_any_kind_are_read_or_refused(records: list[dict[str, object]]) -> None:
    """A number where a text belongs, a time beyond all calendars: refused, never a crash, never a wrong time."""
    try:
        decoded = pack.decode(json.dumps(records).encode())
    except (BadMessageError, UnsupportedError):
        return
    for sample in decoded:
        assert 2**28 * 1000 <= sample.measured_at_ms <= MAX_TIME_MS
        assert all(math.isfinite(reading.value) for reading in sample.readings)


def test_a_pack_reads_as_the_contract_says() -> None:
    """Base name and time once for each sample, flags only where any is set."""
    sample = Sample("meter", NOW_MS, (POWER, Reading("voltage", 230.1, "V", "L1", Flag.STEP | Flag.STUCK)))
    assert json.loads(pack.encode([sample])) == [
        {"bn": "meter/", "bt": 1760000000.123, "bver": 26, "n": "active_power", "u": "W", "v": 4321.5},
        {"n": "voltage/L1", "u": "V", "v": 230.1, "q_": 6},
    ]


def test_consecutive_records_of_one_device_and_time_make_one_sample() -> None:
    """Written one by one or under a base, the same readings are the same sample."""
    one_by_one = b'[{"n":"a/x","t":1.76e9,"v":1},{"n":"a/y","t":1.76e9,"v":2},{"n":"b/x","t":1.76e9,"v":3}]'
    assert pack.decode(one_by_one) == [
        Sample("a", 1_760_000_000_000, (Reading("x", 1.0, ""), Reading("y", 2.0, ""))),
        Sample("b", 1_760_000_000_000, (Reading("x", 3.0, ""),)),
    ]


def test_an_empty_pack_holds_nothing() -> None:
    """And is no error."""
    assert pack.decode(b"[]") == []


@pytest.mark.parametrize(("state", "value"), [(True, 1.0), (False, 0.0)])
def test_a_boolean_is_a_state(state: bool, value: float) -> None:  # noqa: FBT001 - a case's input
    """States are 0 and 1, whichever way SenML wrote them."""
    (sample,) = pack.decode(record(v=None, vb=state, u=None))
    assert sample.readings == (Reading("active_power", value, ""),)


@pytest.mark.parametrize("at_s", [-60, 0, 60, 2**28 - 1])
def test_a_relative_time_is_refused(at_s: float) -> None:
    """RFC 8428 reads it as relative to now, and every re-send would differ."""
    with pytest.raises(BadMessageError, match="relative time"):
        pack.decode(record(t=at_s))


def test_a_missing_time_is_refused() -> None:
    """It means now, which is another one at every re-send."""
    with pytest.raises(BadMessageError, match="relative time"):
        pack.decode(b'[{"n":"meter/active_power","v":1}]')


@pytest.mark.parametrize("at_s", [1e10, 1e306])
def test_a_time_that_no_store_can_hold_is_refused(at_s: float) -> None:
    """Nanoseconds in 64 bits end in 2262; a larger time once ended the collector."""
    with pytest.raises(BadMessageError, match="no store can hold"):
        pack.decode(record(t=at_s))


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ({"v": None, "vs": "on"}, "without a number"),
        ({"v": None, "vd": "eA"}, "without a number"),
        ({"v": None, "s": 5}, "without a number"),
        ({"v": None}, "without a value"),
        ({"n": "meter"}, "names no quantity"),
        ({"n": "meter/"}, "names no quantity"),
        ({"n": "Meter/active_power"}, "names no device"),
        ({"n": "meter.1/active_power"}, "names no device"),
        ({"n": "a" * 64 + "/active_power"}, "names no device"),
        ({"n": "meter/" + "x" * 200}, "at most"),
        ({"q_": -1}, "no bit mask"),
        ({"q_": 2**60}, "no bit mask"),
        ({"q_": 1.5}, "no SenML"),
    ],
)
def test_a_record_that_is_none_of_ours_is_refused(member: dict[str, object], reason: str) -> None:
    """With the reason that the gateway's log will show."""
    with pytest.raises(BadMessageError, match=reason):
        pack.decode(record(**member))


def test_an_unknown_flag_is_kept() -> None:
    """A later release's bit reaches the store, where it makes the reading suspect."""
    (sample,) = pack.decode(record(q_=1 << 20))
    assert sample.readings[0].flags == 1 << 20


def test_an_unknown_member_is_skipped() -> None:
    """Lenient where that is safe."""
    assert pack.decode(record(colour="red")) == pack.decode(record())


def test_an_unknown_member_that_must_be_understood_is_reported() -> None:
    """Neither confirmed nor rejected."""
    with pytest.raises(UnsupportedError, match="'calibrated_'"):
        pack.decode(record(calibrated_=1))


def test_a_pack_over_the_bound_of_bytes_is_refused() -> None:
    """Before anything is parsed."""
    with pytest.raises(BadMessageError, match="bytes; at most"):
        pack.decode(b"[" + b" " * MAX_PACK_BYTES + b"]")


def test_a_pack_over_the_bound_of_readings_is_refused() -> None:
    """And one at the bound is not."""
    full = b'[{"bn":"a/b","bt":1.76e9,"v":0}' + b',{"v":1}' * (MAX_PACK_READINGS - 1)
    assert len(pack.decode(full + b"]")[0].readings) == MAX_PACK_READINGS
    with pytest.raises(BadMessageError, match="records; at most"):
        pack.decode(full + b',{"v":1}]')


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_packed(value: float) -> None:
    """JSON would make it null, and the cloud would have to reject the whole batch for it."""
    with pytest.raises(ValueError, match="meter: active_power is"):
        pack.encode([Sample("meter", NOW_MS, (Reading("active_power", value, "W"),))])


@pytest.mark.parametrize("record", [b"{}", b'{"n":"a"}', b"{ }"])
def test_a_pack_of_very_many_records_is_refused_before_they_are_made(record: bytes) -> None:
    """Two megabytes of empty ones would take a hundred in memory."""
    data = b"[" + b", ".join([record] * (MAX_PACK_READINGS + 1)) + b"]"
    with pytest.raises(BadMessageError, match="10001 records; at most"):
        pack.decode(data)
