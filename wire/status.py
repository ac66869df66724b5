"""What a gateway says of itself, retained; and what the broker says for it when it is gone (Last Will).

`P/<gateway>/status`: `{"state","since_ms","version","stream","machine","config"}`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from wire.batch import Stream, TimeMs
from wire.bounds import MAX_PAYLOAD_BYTES
from wire.errors import BadMessageError


class Status(msgspec.Struct, frozen=True):
    """The state of one gateway's agent.

    `machine` is the machine id and the CPU's serial number; two machines under one gateway id show by it.
    `config` is a hash of the configuration in force.
    """

    state: Literal["online", "offline", "no_time"]
    since_ms: TimeMs
    version: str
    stream: Stream
    machine: str
    config: str


_statuses = msgspec.json.Decoder(Status)


def encode(status: Status) -> bytes:
    """Write a status message."""
    return msgspec.json.encode(status)


def decode(payload: bytes) -> Status:
    """Read a status message.

    Raises: BadMessageError where it is none.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadMessageError(f"a status of {len(payload)} bytes")
    try:
        return _statuses.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessageError(f"no status: {error}") from error
