"""Signatures of commands: Ed25519 (RFC 8032), by libsodium through PyNaCl.

The library is loaded with the first signature: a gateway that never gets a command never pays for it. Keys are
written as base64 of their 32 bytes; the private one is RFC 8032's seed. A key's id is computed from the public
key, so that nobody has to choose one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Annotated, TypeAlias

import msgspec

from wire.ids import END

SIGNATURE_BYTES = 64
PUBLIC_KEY_PATTERN = r"^[A-Za-z0-9+/]{43}=" + END

KeyId: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}" + END)]

_KEY = re.compile(PUBLIC_KEY_PATTERN)


def write_key(key: bytes) -> str:
    """Write a key as text."""
    return base64.b64encode(key).decode()


def read_key(text: str) -> bytes:
    """Read a key, private or public, from its text.

    Raises: ValueError where it is none; its text never repeats what might be a secret.
    """
    if not _KEY.match(text):
        raise ValueError("no Ed25519 key: those are 44 characters of base64, the last one '='")
    return base64.b64decode(text)


def key_id(public: bytes) -> str:
    """Return the id of a public key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def new_key() -> bytes:
    """Make a private key."""
    from nacl.signing import SigningKey  # noqa: PLC0415 - loaded when asked for

    return bytes(SigningKey.generate())


def public_key(private: bytes) -> bytes:
    """Return the public key that belongs to a private one."""
    from nacl.signing import SigningKey  # noqa: PLC0415 - loaded when asked for

    return bytes(SigningKey(private).verify_key)


def sign(private: bytes, message: bytes) -> str:
    """Sign a message; returns base64."""
    from nacl.signing import SigningKey  # noqa: PLC0415 - loaded when asked for

    return base64.b64encode(SigningKey(private).sign(message).signature).decode()


def is_signed(public: bytes, message: bytes, signature: str) -> bool:
    """Whether the holder of a public key's private half signed exactly these bytes."""
    from nacl.exceptions import BadSignatureError  # noqa: PLC0415 - loaded when asked for
    from nacl.signing import VerifyKey  # noqa: PLC0415 - loaded when asked for

    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(raw) != SIGNATURE_BYTES or base64.b64encode(raw).decode() != signature:  # written in one way only
        return False
    try:
        VerifyKey(public).verify(message, raw)
    except BadSignatureError:
        return False
    return True
