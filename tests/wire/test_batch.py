"""One batch as it travels: header line and pack."""

from __future__ import annotations

import json
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from wire import batch, pack
from wire.bounds import MAX_PACK_BYTES, MAX_PAYLOAD_BYTES, MAX_TIME_MS
from wire.errors import BadMessageError, DamagedError, UnsupportedError
from wire.readings import Reading, Sample

STREAM = "0123456789abcdef"
NOW_MS = 1_760_000_000_123
SAMPLES = [Sample("meter", NOW_MS, (Reading("active_power", 4321.5, "W"), Reading("frequency", 49.98, "Hz")))]


def payload(packed: bytes, **members: object) -> bytes:
    """A batch with a sound header, but for `members`; None leaves one out."""
    sound: dict[str, object] = {
        "v": 1,
        "stream": STREAM,
        "number": 7,
        "encoding": "zstd",
        "sealed_at_ms": NOW_MS,
        "crc": zlib.crc32(packed),
    }
    header = {name: value for name, value in (sound | members).items() if value is not None}
    return json.dumps(header).encode() + b"\n" + packed


def opened(message: bytes) -> list[Sample]:
    """Open a batch as a collector does."""
    return batch.open_pack(*batch.open_header(message))


def test_a_sealed_batch_is_opened_as_it_was() -> None:
    """Header and samples."""
    packed = batch.compress(SAMPLES)
    header, rest = batch.open_header(batch.seal_header(STREAM, 7, NOW_MS, packed) + packed)
    assert header == batch.Header(1, STREAM, 7, "zstd", NOW_MS, zlib.crc32(packed))
    assert batch.open_pack(header, rest) == SAMPLES


def test_a_plain_pack_is_read() -> None:
    """`json` is for those who write a gateway of their own."""
    assert opened(payload(pack.encode(SAMPLES), encoding="json")) == SAMPLES


def test_the_largest_number_and_time_fit_into_the_header() -> None:
    """SQLite's largest row id, and the last millisecond that a store can hold."""
    packed = batch.compress(SAMPLES)
    header, _ = batch.open_header(batch.seal_header(STREAM, 2**63 - 1, MAX_TIME_MS, packed) + packed)
    assert (header.number, header.sealed_at_ms) == (2**63 - 1, MAX_TIME_MS)


@given(st.data())
def test_a_damaged_batch_is_refused(data: st.DataObject) -> None:
    """One flipped bit anywhere in the pack shows in its checksum; sent again it may be whole."""
    packed = bytearray(batch.compress(SAMPLES))
    whole = payload(bytes(packed))
    bit = data.draw(st.integers(0, len(packed) * 8 - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedError, match="checksum"):
        opened(whole[: whole.index(b"\n") + 1] + bytes(packed))


@pytest.mark.parametrize("kept", [0, 1, 20])
def test_a_batch_cut_short_is_refused(kept: int) -> None:
    """Also where it is cut right behind the header."""
    packed = batch.compress(SAMPLES)
    with pytest.raises(DamagedError, match="checksum"):
        opened(payload(packed[:kept], crc=zlib.crc32(packed)))


@pytest.mark.parametrize("packed", [b"", b"no zstd at all", zstandard.compress(b"[]")[:-1]])
def test_a_pack_that_does_not_decompress_is_refused(packed: bytes) -> None:
    """Though its checksum is right."""
    with pytest.raises(BadMessageError, match=r"decompress|size"):
        opened(payload(packed))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    """A few bytes that would become more than a pack may be."""
    bomb = zstandard.compress(b" " * (MAX_PACK_BYTES + 1))
    assert len(bomb) < 1000
    with pytest.raises(BadMessageError, match="too great a size"):
        opened(payload(bomb))


def test_a_bomb_that_hides_its_size_is_refused() -> None:
    """A frame need not say how large it becomes; ours must."""
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    bomb = stream.compress(b" " * (MAX_PACK_BYTES + 1)) + stream.flush()
    with pytest.raises(BadMessageError, match="unknown or too great"):
        opened(payload(bomb))


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    """The frame says one byte and holds a megabyte."""
    honest = bytearray(zstandard.compress(b" " * (1 << 20)))
    assert honest[4] & 0xE0 == 0xA0, "single segment, size in four bytes"
    honest[5:9] = (1).to_bytes(4, "little")
    with pytest.raises(BadMessageError, match="decompress"):
        opened(payload(bytes(honest)))


@pytest.mark.parametrize(
    "message", [b"", b"{}", b"\n", b"{}\n", b"[]\nx", b"\xff\n", b"x" * 600 + b"\n", b"[" * 400 + b"\n"]
)
def test_a_payload_without_a_header_is_refused(message: bytes) -> None:
    """Foreign messages on our topic."""
    with pytest.raises(BadMessageError, match="header"):
        opened(message)


def test_a_payload_over_the_bound_is_refused() -> None:
    """Never trimmed."""
    with pytest.raises(BadMessageError, match="at most"):
        batch.open_header(payload(b"x" * MAX_PAYLOAD_BYTES))


@pytest.mark.parametrize(
    "members",
    [
        {"stream": "0123"},
        {"stream": STREAM.upper()},
        {"stream": STREAM + "\n"},
        {"stream": None},
        {"number": 0},
        {"number": 2**63},
        {"number": "7"},
        {"number": None},
        {"sealed_at_ms": -1},
        {"sealed_at_ms": MAX_TIME_MS + 1},
        {"crc": 2**32},
        {"crc": None},
        {"encoding": None},
        {"v": True},
        {"v": None},
    ],
)
def test_a_broken_header_is_refused(members: dict[str, object]) -> None:
    """Every member is bounded."""
    with pytest.raises(BadMessageError, match="header"):
        batch.open_header(payload(b"", **members))


def test_an_unknown_member_of_the_header_is_skipped() -> None:
    """A later release may say more."""
    assert opened(payload(batch.compress(SAMPLES), priority="urgent")) == SAMPLES


def test_a_newer_version_is_reported() -> None:
    """Neither confirmed nor rejected, whatever else its header says: the gateway keeps it until we can read it."""
    with pytest.raises(UnsupportedError, match="version 2"):
        batch.open_header(payload(b"", v=2, number="seven", stream=None))


def test_an_unknown_encoding_is_reported() -> None:
    """As a newer version is."""
    with pytest.raises(UnsupportedError, match="'brotli'"):
        batch.open_header(payload(b"", encoding="brotli"))


def test_compressing_is_worth_it() -> None:
    """Readings of a day cost a few bytes each on the air."""
    day = [Sample("meter", NOW_MS + 10_000 * i, (Reading("active_power", 400.0 + i % 7, "W"),)) for i in range(500)]
    assert len(batch.compress(day)) < 500 * 10
