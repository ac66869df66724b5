"""What a released version sent decodes for ever.

Each directory under `golden/` holds payloads of one version of the contract as they went over MQTT, and
`expected.json` with what they mean. Add a directory with a release that changes the wire; never edit one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wire import batch, command, confirm, signing, status
from wire.readings import Sample

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("batch", "confirm", "status", "command", "reply")
VERSIONS = sorted(directory for directory in GOLDEN.iterdir() if directory.is_dir())


def expectations(directory: Path) -> dict[str, dict[str, Any]]:
    """What each payload of a version means, by file name."""
    expected: dict[str, dict[str, Any]] = json.loads((directory / "expected.json").read_bytes())
    return expected


CASES = [pytest.param(d / name, id=f"{d.name}/{name}") for d in VERSIONS for name in expectations(d)]


@pytest.mark.parametrize("directory", VERSIONS, ids=lambda directory: directory.name)
def test_every_payload_has_a_meaning(directory: Path) -> None:
    """A file that no expectation names would be a check that cannot fail."""
    files = {file.name for file in directory.iterdir()} - {"expected.json"}
    assert files == set(expectations(directory))
    assert {case["kind"] for case in expectations(directory).values()} == set(KINDS)


@pytest.mark.parametrize("file", CASES)
def test_a_golden_payload_decodes(file: Path) -> None:
    """To the same words, numbers and flags as on the day of its release."""
    expected = expectations(file.parent)[file.name]
    payload = file.read_bytes()
    match expected["kind"]:
        case "batch":
            header, packed = batch.open_header(payload)
            assert header == msgspec.convert(expected["header"], batch.Header)
            assert batch.open_pack(header, packed) == msgspec.convert(expected["samples"], list[Sample])
        case "confirm":
            assert confirm.decode(payload) == msgspec.convert(expected["content"], confirm.Confirm)
        case "status":
            assert status.decode(payload) == msgspec.convert(expected["content"], status.Status)
        case "command":
            signed = command.open_signed(payload)
            assert signing.is_signed(signing.read_key(expected["public_key"]), signed.message(), signed.signature)
            assert command.decode(signed) == msgspec.convert(expected["content"], command.Command)
        case "reply":
            assert command.decode_reply(payload) == msgspec.convert(expected["content"], command.Reply)
        case other:
            pytest.fail(f"{file.name}: no such kind: {other!r}")
