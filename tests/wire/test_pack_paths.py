"""The two ways to read a pack give the same: the quick one for what we write, the thorough one for anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wire import pack, senml
from wire.errors import BadMessageError, UnsupportedError
from wire.readings import Reading, Sample

AT_MS = 1_795_000_000_000

names = st.sampled_from(["voltage/L1", "voltage/L2", "active_power", "a/lane2.in.car"])
readings = st.builds(
    lambda name, value, unit, flags: Reading(name.partition("/")[0], value, unit, name.partition("/")[2], flags),
    names,
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["V", "W", "", "%RH"]),
    st.integers(0, 2**20),
)
samples = st.builds(
    Sample,
    st.sampled_from(["a", "b-1"]),
    st.integers(AT_MS, AT_MS + 3),
    st.lists(readings, min_size=1, max_size=4).map(tuple),
)


@given(st.lists(samples, min_size=1, max_size=6))
def test_both_ways_give_the_same_samples(batch: list[Sample]) -> None:
    """In the order of time, parts of one sample together where they follow each other."""
    data = pack.encode(batch)
    thorough = pack._decode_any(data, senml.RELATIVE_BELOW_S)
    assert pack.decode(data) == thorough
    quick = pack._decode_plain(data, senml.RELATIVE_BELOW_S)
    assert quick is None or quick == thorough


def test_what_we_write_goes_the_quick_way() -> None:
    """Samples of two buses that are a little out of order too."""
    batch = [Sample("a", AT_MS + n % 3 * 10 + n, (Reading("voltage", 1.0, "V"),)) for n in range(9)]
    assert pack._decode_plain(pack.encode(batch), senml.RELATIVE_BELOW_S) == sorted(
        batch, key=lambda sample: sample.measured_at_ms
    )


GOOD: dict[str, Any] = {"bn": "a/", "bt": AT_MS / 1000, "bver": 26, "n": "voltage", "u": "V", "v": 230.1}
changes = st.dictionaries(
    st.sampled_from(["bn", "bt", "bver", "n", "u", "v", "q_", "bu", "bv", "t", "s", "vb", "vs", "x", "x_"]),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 5),
        st.sampled_from([10, 26, 27, 2**40, 1e306, -1.5, AT_MS / 1000]),
        st.sampled_from(["", "/", "a", "a/", "b/", "A/", "voltage", "voltage/L1", "/L1", "ü", "a" * 200, "V"]),
    ),
    max_size=3,
)


@given(st.lists(changes, min_size=1, max_size=4))
@example([{}, {"bt": 0}])  # a base time that is set, to one that is relative
def test_the_quick_way_never_accepts_or_reads_what_the_thorough_one_does_not(changed: list[dict[str, Any]]) -> None:
    """Whatever a stranger sends: the same samples, or the thorough one's error."""
    records = [{**(GOOD if index == 0 else {"n": "current", "u": "A", "v": 1}), **c} for index, c in enumerate(changed)]
    data = json.dumps(records).encode()
    quick = pack._decode_plain(data, senml.RELATIVE_BELOW_S)
    try:
        thorough = pack._decode_any(data, senml.RELATIVE_BELOW_S)
    except (BadMessageError, UnsupportedError):
        assert quick is None
        with pytest.raises((BadMessageError, UnsupportedError)):
            pack.decode(data)
        return
    assert quick is None or quick == thorough
    assert pack.decode(data) == thorough
