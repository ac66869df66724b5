"""SenML: RFC 8428's own examples, what is refused, and what is skipped."""

from __future__ import annotations

import json
import time
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest

from wire import senml
from wire.errors import BadMessageError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ["ex1", "ex2", "ex3", "ex5", "ex6", "ex7", "ex8", "ex10"]


def plain(record: senml.Record) -> dict[str, Any]:
    """A record as the RFC's files write it."""
    members: dict[str, Any] = json.loads(senml.encode([record]))[0]
    return members


def resolve_one(text: bytes) -> senml.Record:
    """Resolve a pack that holds one record."""
    (record,) = senml.resolve(senml.decode(text))
    return record


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_rfc_resolves_as_published(example: str, shared_data: Path) -> None:
    """Names, units, times and values are those of the published resolved form."""
    published = json.loads((shared_data / "senml" / f"{example}.gen.resolved.json").read_bytes())
    records = senml.decode((shared_data / "senml" / f"{example}.gen.json").read_bytes())
    if example == "ex7":  # the published form leaves the record with `vd` out
        data = {"n": "urn:dev:ow:10e2073a01080063:nfv-reader", "t": published[0]["t"], "vd": "aGkgCg"}
        published.append(data)
    for record in published:
        record.pop("l", None)  # ex8: a member of another standard, which we skip
        if example == "ex3":
            record["bver"] = 5  # section 4.6 asks for it; the tool that made the published form leaves it out

    resolved = [plain(record) for record in senml.resolve(records, now_s=published[-1]["t"])]

    assert resolved == sorted(published, key=itemgetter("t"))  # by section 4.6; published is ex3 in another order


def test_resolved_records_are_in_the_order_of_time() -> None:
    """RFC 8428, section 4.6; records of one time keep the order in which they were written."""
    pack = b'[{"bn":"a/","bt":1e9,"n":"x","t":5,"v":1},{"n":"y","v":2},{"n":"x","v":3},{"bt":999999999,"n":"z","v":4}]'
    resolved = [(record.n, record.t) for record in senml.resolve(senml.decode(pack))]
    assert resolved == [("a/z", 1e9 - 1), ("a/y", 1e9), ("a/x", 1e9), ("a/x", 1e9 + 5)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b'"t":-5', 999_999_995.0),
        (b'"t":0', 1e9),
        (b'"bt":-60,"t":10', 999_999_950.0),
        (b'"t":268435455', 1268435455.0),
    ],
)
def test_a_time_below_2_to_the_28_is_relative_to_now(written: bytes, expected: float) -> None:
    """RFC 8428, section 4.5.3."""
    (record,) = senml.resolve(senml.decode(b'[{"n":"a","v":1,' + written + b"}]"), now_s=1e9)
    assert record.t == expected


def test_a_time_of_2_to_the_28_is_absolute() -> None:
    """The bound itself belongs to the absolute times."""
    (record,) = senml.resolve(senml.decode(b'[{"n":"a","v":1,"t":268435456}]'), now_s=1e9)
    assert record.t == 2**28


def test_base_value_and_base_sum_are_added() -> None:
    """A missing one of the pair counts as zero (RFC 8428, section 4.5.4)."""
    pack = b'[{"bn":"a","bv":20,"bs":100,"v":1,"s":5},{"n":"b","v":2},{"n":"c"}]'
    resolved = [(record.n, record.v, record.s) for record in senml.resolve(senml.decode(pack))]
    assert resolved == [("a", 21, 105), ("ab", 22, 100), ("ac", 20, 100)]


def test_a_base_value_leaves_texts_alone() -> None:
    """It is for numbers."""
    record = resolve_one(b'[{"n":"a","bv":20,"vs":"x"}]')
    assert (record.v, record.vs) == (None, "x")


def test_a_record_of_base_fields_alone_makes_no_reading() -> None:
    """It sets what follows."""
    record = resolve_one(b'[{"bn":"a/","bt":1e9,"bu":"W"},{"n":"x","v":1}]')
    assert (record.n, record.u, record.t) == ("a/x", "W", 1e9)


def test_an_empty_unit_ends_the_base_unit() -> None:
    """A record, and a base, may say that there is none."""
    pack = b'[{"bn":"a/","bu":"W","n":"x","v":1},{"n":"y","u":"","v":1},{"bu":"","n":"z","v":1}]'
    assert [record.u for record in senml.resolve(senml.decode(pack))] == ["W", None, None]


def test_an_unknown_member_is_skipped() -> None:
    """RFC 8428, section 4.4: whatever it holds, nested members with an underscore included."""
    record = resolve_one(b'[{"n":"a","v":1,"colour":{"deep_":[1,{}]}}]')
    assert (record.n, record.v) == ("a", 1)


@pytest.mark.parametrize(
    "member",
    [b'"calibrated_":true', b'"aq_":1', b'"q__":1', b'"_":null', rb'"calibrated\u005f":1', b'"v":[],"new_":1'],
)
def test_an_unknown_member_with_an_underscore_is_not_understood(member: bytes) -> None:
    """RFC 8428, section 4.4: neither confirmed nor rejected, for a later release will know it."""
    with pytest.raises(UnsupportedError, match="must be understood"):
        senml.decode(b'[{"n":"a","t":1e9,' + member + b"}]")


@pytest.mark.parametrize("text", [b'"q_"', b'"a_\\"b_"', b'"ends_"', rb'"\u005f"'])
def test_a_value_that_looks_like_a_member_is_none(text: bytes) -> None:
    """Only names of members are looked at."""
    record = resolve_one(b'[{"n":"a","vs":' + text + b',"q_":4}]')
    assert (record.vs, record.q) == (json.loads(text), 4)


def test_flags_behind_an_escape_are_flags() -> None:
    """JSON may write any character of a name as an escape."""
    assert resolve_one(rb'[{"n":"a","v":1,"q\u005f":4}]').q == 4


@pytest.mark.parametrize("bad", [b"", b"{}", b"[1]", b'[{"n":1}]', b"[", b"\xff", b'[{"n":"a\xff"}]', b"[" * 100_000])
def test_what_is_no_senml_is_refused(bad: bytes) -> None:
    """And nothing but BadMessageError leaves the decoder."""
    with pytest.raises(BadMessageError):
        senml.decode(bad)


@pytest.mark.parametrize(
    "record",
    [
        b'{"n":"a","v":1,"vs":"x"}',
        b'{"n":"a","vb":true,"vd":"eA"}',
        b'{"n":"a"}',
        b'{"n":"a","u":"W","t":3}',
        b'{"v":1}',
        b'{"n":"/a","v":1}',
        b'{"n":"a b","v":1}',
        b'{"n":"a\\n","v":1}',
        '{"n":"größe","v":1}'.encode(),
        b'{"n":"' + b"a" * 161 + b'","v":1}',
        b'{"bn":"' + b"a" * 100_000 + b'","n":"x","v":1}',
    ],
)
def test_a_record_without_name_or_value_is_refused(record: bytes) -> None:
    """Exactly one value, and a name of the RFC's characters, no longer than a store takes."""
    with pytest.raises(BadMessageError):
        resolve_one(b"[" + record + b"]")


@pytest.mark.parametrize("number", [b"NaN", b"1e999", b"-1e999", b"Infinity", b"9" * 400])
def test_what_is_no_finite_number_is_refused(number: bytes) -> None:
    """JSON knows no other, and a store must not learn one."""
    with pytest.raises(BadMessageError):
        resolve_one(b'[{"n":"a","v":' + number + b"}]")


@pytest.mark.parametrize(
    "pack",
    [
        b'[{"n":"a","bv":1e308,"v":1e308}]',
        b'[{"n":"a","v":1,"bt":1e308,"t":1e308}]',
        b'[{"n":"a","v":1,"bs":1e308,"s":1e308}]',
    ],
)
def test_a_sum_beyond_all_numbers_is_refused(pack: bytes) -> None:
    """Two finite numbers may add up to one that is not."""
    with pytest.raises(BadMessageError, match="not finite"):
        resolve_one(pack)


@pytest.mark.parametrize("version", [1, 5, 10, 26])
def test_a_known_version_is_taken(version: int) -> None:
    """RFC 8428 and its drafts (its own example says 5), and with the secondary units of RFC 8798."""
    record = resolve_one(b'[{"n":"a","v":1,"bver":%d}]' % version)
    assert record.bver == (None if version == 10 else version)


@pytest.mark.parametrize("version", [0, -6, 11, 16, 27, 42, 1 << 40])
def test_an_unknown_version_is_not_understood(version: int) -> None:
    """A feature that we do not know may change what a record means (RFC 9100)."""
    with pytest.raises(UnsupportedError, match="version"):
        resolve_one(b'[{"n":"a","v":1,"bver":%d}]' % version)


def test_two_versions_in_one_pack_are_refused() -> None:
    """RFC 8428, section 4.4."""
    with pytest.raises(BadMessageError, match="version 10 and 26"):
        senml.resolve(senml.decode(b'[{"n":"a","v":1,"bver":10},{"n":"b","v":1,"bver":26}]'))


@pytest.mark.parametrize("unit", [b'\\"', b'"_', b'\\u005f"_'])
def test_a_hostile_pack_costs_no_more_than_its_length(unit: bytes) -> None:
    """Two megabytes of quotes once took hours to look through for members."""
    pack = b'["' + unit * 300_000 + b'"]'
    start_s = time.process_time()
    with pytest.raises(BadMessageError):
        senml.decode(pack)
    assert time.process_time() - start_s < 2.0
