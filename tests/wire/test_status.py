"""What a gateway says of itself."""

from __future__ import annotations

import json

import pytest

from wire import status
from wire.bounds import MAX_PAYLOAD_BYTES
from wire.errors import BadMessageError
from wire.status import Status

SAID = Status("online", 1_760_000_000_123, "0.1.0", "0123456789abcdef", "4f1c/10000000e2c4b1a7", "9a0364b9e99bb480")


def test_a_status_comes_back_as_it_was() -> None:
    """And is written with the members of the contract."""
    message = status.encode(SAID)
    assert status.decode(message) == SAID
    assert list(json.loads(message)) == ["state", "since_ms", "version", "stream", "machine", "config"]


@pytest.mark.parametrize("state", ["online", "offline", "no_time"])
def test_every_state_of_the_contract_is_known(state: str) -> None:
    """These three, and no others."""
    said = json.loads(status.encode(SAID)) | {"state": state}
    assert status.decode(json.dumps(said).encode()).state == state


def test_an_unknown_member_is_skipped() -> None:
    """A later release may say more."""
    said = json.loads(status.encode(SAID)) | {"uptime_s": 5}
    assert status.decode(json.dumps(said).encode()) == SAID


@pytest.mark.parametrize(
    "member",
    [{"state": "asleep"}, {"since_ms": -1}, {"stream": "x"}, {"machine": 5}, {"note": "x" * MAX_PAYLOAD_BYTES}],
)
def test_what_is_no_status_is_refused(member: dict[str, object]) -> None:
    """One wrong member is enough."""
    said = json.loads(status.encode(SAID)) | member
    with pytest.raises(BadMessageError, match="status"):
        status.decode(json.dumps(said).encode())


@pytest.mark.parametrize("message", [b"", b"\xff", b"[]", b"{}", b"[" * 100_000])
def test_garbage_is_refused(message: bytes) -> None:
    """An empty payload too, which is how a retained status is deleted."""
    with pytest.raises(BadMessageError, match="status"):
        status.decode(message)
