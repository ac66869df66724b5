"""One batch as it travels: a header line, then the pack.

`P/<gateway>/batch`: `{"v":1,"stream","number","encoding","sealed_at_ms","crc"}` LF pack. `crc` is the CRC-32
(as in zlib) of the pack's bytes as they are sent, so that a damaged one is told from a foreign one.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec
import zstandard

from wire import pack, senml
from wire.bounds import MAX_HEADER_BYTES, MAX_PACK_BYTES, MAX_PAYLOAD_BYTES, MAX_TIME_MS
from wire.errors import BadMessageError, DamagedError, UnsupportedError
from wire.ids import END

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wire.readings import Sample

VERSION = 1
JSON = "json"
ZSTD = "zstd"
ZSTD_LEVEL = 9

Stream: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}" + END)]
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
TimeMs: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]


class _Version(msgspec.Struct):
    v: int


class Header(msgspec.Struct, frozen=True):
    """What a collector must know of a batch before it opens it."""

    v: int
    stream: Stream
    number: Number
    encoding: str
    sealed_at_ms: TimeMs
    crc: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


_headers = msgspec.json.Decoder(Header)
_versions = msgspec.json.Decoder(_Version)


def compress(samples: Iterable[Sample]) -> bytes:
    """Pack and compress samples, ready to be sealed."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(pack.encode(samples))


def seal_header(stream: str, number: int, sealed_at_ms: int, packed: bytes) -> bytes:
    """Write the header line of a compressed pack."""
    return header_line(stream, number, sealed_at_ms, zlib.crc32(packed))


def header_line(stream: str, number: int, sealed_at_ms: int, crc: int) -> bytes:
    """Write the header line of a compressed pack whose checksum was computed when it was sealed."""
    return msgspec.json.encode(Header(VERSION, stream, number, ZSTD, sealed_at_ms, crc)) + b"\n"


def open_header(payload: bytes) -> tuple[Header, bytes]:
    """Split a payload into its header and the pack's bytes.

    Raises: BadMessageError where there is no header; UnsupportedError for a version or encoding of a newer
    release.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadMessageError(f"a payload of {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES}")
    end = payload.find(b"\n", 0, MAX_HEADER_BYTES)
    if end < 0:
        raise BadMessageError("a payload without a header line")
    line = payload[:end]
    try:
        version = _versions.decode(line).v
        if version != VERSION:
            raise UnsupportedError(f"header version {version}")
        header = _headers.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessageError(f"a header that is none: {error}") from error
    if header.encoding not in (JSON, ZSTD):
        raise UnsupportedError(f"encoding {header.encoding!r}")
    return header, payload[end + 1 :]


def open_pack(header: Header, packed: bytes, *, earliest_s: float = senml.RELATIVE_BELOW_S) -> list[Sample]:
    """Check, decompress and decode the pack of a batch; `earliest_s` as `pack.decode` has it.

    Raises: DamagedError where it is not what was sent; BadMessageError where it is, and bombs or is no pack;
    UnsupportedError for a newer one.
    """
    if zlib.crc32(packed) != header.crc:
        raise DamagedError("a pack that does not match its checksum")
    return pack.decode(_decompress(packed) if header.encoding == ZSTD else packed, earliest_s=earliest_s)


def _decompress(packed: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(packed)
        if not 0 <= size <= MAX_PACK_BYTES:
            raise BadMessageError(f"a pack of unknown or too great a size ({size} bytes; at most {MAX_PACK_BYTES})")
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=MAX_PACK_BYTES)
    except zstandard.ZstdError as error:
        raise BadMessageError(f"a pack that does not decompress: {error}") from error
