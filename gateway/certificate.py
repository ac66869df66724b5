"""Until when a certificate holds: the one fact of it that the agent needs, read without a library of its own.

RFC 5280, 4.1: Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version, serialNumber, signature, issuer,
validity SEQUENCE { notBefore, notAfter }, ... } ... }, in DER (X.690).
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

SEQUENCE, VERSION, UTC_TIME, GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
BEFORE_VALIDITY = 3
"""Serial number, signature, issuer."""
PEM_BEGIN, PEM_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class _Element(NamedTuple):
    tag: int
    content: bytes
    rest: bytes


def not_after(file: Path) -> datetime | None:
    """Return when the first certificate of a PEM file ends; None where there is none that can be read."""
    try:
        text = file.read_text(encoding="ascii", errors="replace")
        begin = text.index(PEM_BEGIN)
        der = ssl.PEM_cert_to_DER_cert(text[begin : text.index(PEM_END, begin) + len(PEM_END)])
        return _not_after(der)
    except (OSError, ValueError, IndexError):
        return None


def _not_after(der: bytes) -> datetime:
    body = _element(_element(der, SEQUENCE).content, SEQUENCE).content
    if body[0] == VERSION:
        body = _element(body).rest
    for _ in range(BEFORE_VALIDITY):
        body = _element(body).rest
    end = _element(_element(_element(body, SEQUENCE).content).rest)
    form = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(end.tag)
    if form is None:
        raise ValueError(f"no time (tag {end.tag:#x})")
    return datetime.strptime(end.content.decode("ascii"), form).replace(tzinfo=UTC)


def _element(data: bytes, tag: int | None = None) -> _Element:
    """Take the first element of DER data. Raises: ValueError where it is another; IndexError where it is cut off."""
    if tag is not None and data[0] != tag:
        raise ValueError(f"tag {data[0]:#x} where {tag:#x} belongs")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        raise IndexError("cut off")
    return _Element(data[0], data[start : start + length], data[start + length :])
