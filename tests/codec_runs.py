"""Runs codecs in the test's own process: the worker's inside, without the process around it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from edge.lorawan.codec import worker
from edge.lorawan.codec.errors import CodecError
from edge.lorawan.codec.result import decoded, encoded

if TYPE_CHECKING:
    from edge.lorawan.codec.result import Decoded, Encoded

RECEIVED_MS = 1_790_000_000_000


@cache
def _engine() -> worker.Worker:
    import _quickjs  # type: ignore[import-not-found]  # noqa: PLC0415 - for the tests of codecs alone

    prelude = Path(worker.__file__).with_name("prelude.js").read_text(encoding="utf-8")
    return worker.Worker(_quickjs, prelude)


@cache
def _number(source: str) -> int:
    return len(source) + hash(source) % 1_000_000_000


def _call(source: str, operation: int, given: dict[str, object]) -> str:
    engine, number, text = _engine(), _number(source), json.dumps(given)
    status, answer = engine.call(number, worker.KINDS[operation], text)
    if status == worker.UNKNOWN:
        engine.load(number, source)
        status, answer = engine.call(number, worker.KINDS[operation], text)
    if status != worker.RESULT:
        raise CodecError(answer)
    return answer


def decode(source: str, f_port: int, payload: bytes, recv_time_ms: int = RECEIVED_MS) -> Decoded:
    """Decode a message. Raises CodecError as the worker's users see it."""
    given = {"bytes": list(payload), "fPort": f_port, "recvTime": recv_time_ms}
    return decoded(_call(source, worker.CALL_UPLINK, given))


def encode(source: str, data: dict[str, object]) -> Encoded:
    """Make a message to a device."""
    return encoded(_call(source, worker.CALL_ENCODE, {"data": data}))
