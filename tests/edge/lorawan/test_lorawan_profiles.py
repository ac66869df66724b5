"""Profiles of LoRaWAN devices, their codecs and cases, and the vectors that others published."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import codec_runs
import pytest
from lacking import lacking

from edge.lorawan import half as halves
from edge.lorawan import profile as profiles
from edge.lorawan.codec import worker
from edge.lorawan.codec.errors import CodecError
from edge.parameters import check
from wire import profile as public

CASES = Path(worker.__file__).parent / "cases"
FOLDERS = sorted(CASES.iterdir())
NAMES = public.names_of("lorawan")

PROFILED = {
    "klax-codec": "alpha-omega/klax",
    "tps110-0392-codec": "bosch/tps110",
    "dl-atm41-codec": "decentlab/dl-atm41",
    "dl-iam-codec": "decentlab/dl-iam",
    "dl-mbx-codec": "decentlab/dl-mbx",
    "dl-pr21-1-10-codec": "decentlab/dl-pr21",
    "dl-trs12-codec": "decentlab/dl-trs12",
    "ldds75-codec": "dragino/ldds75",
    "lht65-codec": "dragino/lht65",
    "lse01-codec": "dragino/lse01",
    "lsn50-v2-codec": "dragino/lsn50-v2",
    "elt-2-codec": "elsys/elt-2",
    "elt-ultrasonic-codec": "elsys/elt-ultrasonic",
    "ems-codec": "elsys/ems",
    "ems-desk-codec": "elsys/ems-desk",
    "ems-door-codec": "elsys/ems-door",
    "ems-lite-codec": "elsys/ems-lite",
    "ers-codec": "elsys/ers",
    "ers-co2-codec": "elsys/ers-co2",
    "ers-co2-lite-codec": "elsys/ers-co2-lite",
    "ers-eye-codec": "elsys/ers-eye",
    "ers-lite-codec": "elsys/ers-lite",
    "ers-sound-codec": "elsys/ers-sound",
    "co2-sensor-codec": "mclimate/co2-sensor",
    "vicki-codec": "mclimate/vicki",
    "am107-codec": "milesight/am107",
    "t00048xx-codec": "tektelic/t00048xx",
}
WITHOUT_PROFILE = {"wsc1-l-codec": "its only message claims a value of 136 octets, and has five"}

DIFFERENT: dict[tuple[str, str], dict[str, tuple[object, object]]] = {
    ("klax-codec", "App"): {
        f"data.payloads.{part}.registers.{register}.data_valid": (part == 1 and register == 0, None)
        for part in (1, 2)
        for register in (0, 1)
    },  # a second spelling of dataValid
    ("tps110-0392-codec", "Startup with code 205 and time"): {
        "data.reset_cause": (0, 3),  # theirs reads the octet behind it, and says System Request all the same
    },
    ("tps110-0392-codec", "Debug code 201 with time"): {
        "data.debug_code_description": ("LoRa join request failed", None),  # the maker's sentences are not ours to copy
        "data.timestamp": (-805306368, 3489660928),  # a time is no negative number
    },
    ("tps110-0392-codec", "Debug code 209"): {
        "data.debug_code_description": ("Cause for last reset: Power-on", None),
    },
    ("tps110-0392-codec", "Debug code 717 with time"): {
        "data.debug_code_description": ("Confirmed uplink message not acknowledged after 8 re-tries", None),
    },
    ("ldds75-codec", "Distance Detection"): {
        "data.distance": ("No Sensor", 2821),  # the maker's manual has 2821 mm for these very octets
        "data.Bat": (None, 3.612),
    },
    ("vicki-codec", "Periodic uplink"): {"data.valveOpenness": (None, 17)},  # ours has it beside
}
"""What ours says otherwise, and why: path -> theirs, ours."""


def _vectors() -> list[dict[str, Any]]:
    folder = Path(os.environ.get("MESSNETZ_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    file = folder / "lorawan" / "payload-examples.jsonl"
    if not file.is_file():
        lacking("no payload-examples.jsonl: set MESSNETZ_TEST_DATA")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _differences(theirs: Any, ours: Any, at: str = "") -> dict[str, tuple[object, object]]:  # noqa: ANN401 - JSON
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = theirs.keys() | ours.keys()
        parts = [(key, theirs.get(key), ours.get(key)) for key in keys]
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        parts = [(str(index), *pair) for index, pair in enumerate(zip(theirs, ours, strict=True))]
    else:
        return {} if _same(theirs, ours) else {at: (theirs, ours)}
    found: dict[str, tuple[object, object]] = {}
    for key, left, right in parts:
        found |= _differences(left, right, f"{at}.{key}" if at else key)
    return found


def _same(theirs: object, ours: object) -> bool:
    """Numbers are equal as numbers, those that a codec wrote as texts included."""
    if isinstance(ours, float) and isinstance(theirs, float | int | str) and not isinstance(theirs, bool):
        try:
            return ours == pytest.approx(float(theirs), rel=1e-12)
        except ValueError:
            return False
    return theirs == ours


def _given(vector: dict[str, Any]) -> dict[str, Any]:
    codec = profiles.load(PROFILED[vector["codec"]]).lorawan.codec
    try:
        decoded = codec_runs.decode(halves.source(codec), vector["fPort"], bytes.fromhex(vector["bytes"]))
    except CodecError as error:
        return {"errors": [str(error).removeprefix("says: ")]}
    return {"data": decoded.data}


def test_vectors_of_others() -> None:
    """Every published message means the same to our codecs, but where the table above says why not."""
    found = {
        (vector["codec"], vector["desc"]): differences
        for vector in _vectors()
        if vector["codec"] in PROFILED and (differences := _differences(vector["expected"], _given(vector)))
    }
    assert found == DIFFERENT


def test_every_vector_has_a_profile() -> None:
    """But for those that are named, with the reason."""
    assert {vector["codec"] for vector in _vectors()} == PROFILED.keys() | WITHOUT_PROFILE.keys()


def _run(folder: Path) -> tuple[dict[str, Any], Any]:
    given = json.loads((folder / "input.json").read_text(encoding="utf-8"))
    profile = profiles.load(given["profile"])
    model = profiles.compile_model(profile, check(given.get("parameters", {}), profile.parameters))
    received_ms = given.get("received_at_ms", codec_runs.RECEIVED_MS)
    data: dict[str, Any] = {}
    if not model.f_ports or given["f_port"] in model.f_ports:
        data = codec_runs.decode(model.codec, given["f_port"], bytes.fromhex(given["payload"]), received_ms).data
    return given, model.read(data, received_ms)


def _shown(readings: Any) -> dict[str, list[object]]:  # noqa: ANN401 - readings of a sample
    return {reading.name: [reading.value, reading.unit] for reading in readings}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_case(folder: Path) -> None:
    """A message becomes exactly the expected readings, or exactly the expected error."""
    expected, error = folder / "expected.json", folder / "error.txt"
    assert expected.exists() != error.exists(), "a case has either expected.json or error.txt"
    if error.exists():
        with pytest.raises(CodecError) as caught:
            _run(folder)
        assert str(caught.value) == error.read_text().strip()
        return
    _, said = _run(folder)
    shown: dict[str, Any] = {"readings": _shown(said.now.readings)}
    if said.now.without_value:
        shown["without_value"] = list(said.now.without_value)
    if said.before:
        shown["before"] = [{"at_ms": each.at_ms, "readings": _shown(each.readings)} for each in said.before]
    if said.fault:
        shown["fault"] = said.fault
    assert shown == json.loads(expected.read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_a_case_says_why_it_is_there_and_whence(folder: Path) -> None:
    """Who breaks it must learn what was promised."""
    given = json.loads((folder / "input.json").read_text(encoding="utf-8"))
    assert len(given["why"]) > 20
    assert given["source"]


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_case(name: str) -> None:
    """No profile ships without a message that was decoded by it."""
    cases = [json.loads((folder / "input.json").read_text(encoding="utf-8"))["profile"] for folder in FOLDERS]
    assert name in cases


def test_every_codec_is_of_a_profile() -> None:
    """None is left over."""
    used = {profiles.load(name).lorawan.codec for name in NAMES}
    assert used == {str(file.relative_to(halves.CODECS).with_suffix("")) for file in halves.CODECS.glob("*/*.js")}


@pytest.mark.parametrize("name", [name for name in NAMES if profiles.load(name).lorawan.settings])
def test_every_setting_makes_a_message(name: str) -> None:
    """At both ends of its bounds."""
    half = profiles.load(name).lorawan
    for setting in half.settings.values():
        for value in (setting.minimum, setting.maximum):
            made = codec_runs.encode(halves.source(half.codec), {setting.key: int(value)})
            assert made.payload
            assert 1 <= made.f_port <= 223
