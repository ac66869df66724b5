"""How what a codec gives becomes readings."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import codec_runs
import msgspec
import pytest

from base import strict_yaml
from base.errors import ConfigError, MessnetzError, PermanentError
from edge.json_values import paths, units
from edge.lorawan import profile as profiles
from edge.lorawan.codec.codecs import Codecs
from edge.lorawan.codec.errors import CodecError, NoWorkerError
from edge.lorawan.codec.result import Decoded, encoded
from edge.lorawan.half import LorawanHalf
from edge.lorawan.model import Model
from edge.lorawan.uplink import Radio, Uplink
from wire import profile as public
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from edge.lorawan.codec.result import Encoded

NOW_MS = codec_runs.RECEIVED_MS
UPLINK = Uplink("0011223344556677", 1, 9, b"\x01", NOW_MS, Radio(-101.5, -3.0, 10, 125_000, coding_rate="4/5"))


def _model(values: dict[str, Any], parameters: dict[str, float] | None = None, **more: object) -> Model:
    half = msgspec.convert({"codec": "elsys/tlv", "values": values, **more}, LorawanHalf)
    return Model.of(half, "", parameters or {})


def _read(value: dict[str, Any], data: object, name: str = "temp_air", **parameters: float) -> float | str | None:
    """Return the value of one reading, None where it has none, and the fault where there is one."""
    said = _model({name: {"path": "x", **value}}, parameters).read({"x": data}, NOW_MS)
    if said.fault is not None:
        return said.fault
    return said.now.readings[0].value if said.now.readings else None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", 1),
        ("b.c", 2),
        ("d[0]", 10),
        ("d[-1]", 12),
        ("e[0].v", 3),
        ("e[k=two].v", 4),
        ("e[k=three,ok=true].v", 6),
        ("d[9]", paths.MISSING),
        ("a.b", paths.MISSING),
        ("b[0]", paths.MISSING),
        ("e[k=none].v", paths.MISSING),
        ("a[k=1]", paths.MISSING),
        ("n", None),
    ],
)
def test_paths(path: str, value: object) -> None:
    """Names, places in a list, and entries of a list by what they say of themselves."""
    data = {
        "a": 1,
        "b": {"c": 2},
        "d": [10, 11, 12],
        "e": [
            {"k": "one", "v": 3},
            {"k": "two", "v": 4},
            {"k": "three", "ok": False},
            {"k": "three", "ok": True, "v": 6},
        ],
        "n": None,
    }
    find = paths.parse(path)
    assert find is not None
    assert find(data) == value


@pytest.mark.parametrize("path", ["", ".a", "a.", "a..b", "a[", "a[]", "a[1", "a]b", "a[x]", "[=1", ".".join("a" * 13)])
def test_what_is_no_path(path: str) -> None:
    """Is refused at the desk."""
    assert paths.parse(path) is None


def test_units() -> None:
    """What a codec gives in another unit is converted; all of the table lead to units of the vocabulary."""
    assert _read({"unit": "degF"}, 212) == 100.0
    assert _read({"unit": "Wh"}, 1500, "active_energy_import") == 1.5
    assert _read({"unit": "m3/m3"}, 0.25, "soil_vwc") == 25.0
    assert _read({"unit": "m3/h"}, 3.6, "flow_rate") == 0.001
    assert {row.unit for row in quantities().values()} >= units._KNOWN.keys()


def test_scale_parameters_and_offset() -> None:
    """In the order that the profile's documentation says."""
    assert _read({"scale": 0.1}, 226) == 22.6
    assert _read({"divide_by": "pulses"}, 250, "water_volume", pulses=100) == 2.5
    assert _read({"multiply_by": "ratio"}, 3, "current", ratio=20) == 60.0
    assert _read({"scale": -1, "add": "height", "unit": "mm"}, 800, "water_level", height=3000) == 220.0
    assert _read({"offset": -0.5}, 20) == 19.5


@pytest.mark.parametrize("given", [0, 65535, "none", None])
def test_no_value(given: object) -> None:
    """Is named, and no reading."""
    said = _model({"co2_indoor": {"path": "x", "no_value": [0, 65535, "none"]}}).read({"x": given}, NOW_MS)
    assert (said.now.readings, said.now.without_value, said.fault) == ((), ("co2_indoor",), None)


@pytest.mark.parametrize(
    ("given", "is_none"),
    [(4294967295, True), (4294967295.0, True), (16777215.0, True), (4294967000.0, False), (16777215.4, False)],
)
def test_large_numbers_that_mean_no_value_are_known_to_the_last_digit(given: float, *, is_none: bool) -> None:
    """Whether they come as whole numbers or, as all from ChirpStack, as floats; and their neighbours are values."""
    value = {"path": "x", "no_value": [4294967295, 16777215]}
    said = _model({"active_energy_import": value}).read({"x": given}, NOW_MS)
    assert (said.now.without_value == ("active_energy_import",), said.now.readings == ()) == (is_none, is_none)


def test_what_a_message_does_not_hold_is_no_fault() -> None:
    """Devices send their values in several messages."""
    said = _model({"temp_air": {"path": "a"}, "humidity": {"path": "b"}}).read({"b": 40}, NOW_MS)
    assert [reading.name for reading in said.now.readings] == ["humidity"]
    assert (said.now.without_value, said.fault) == ((), None)


@pytest.mark.parametrize(
    ("value", "given", "state"),
    [
        ({}, True, 1.0),
        ({}, False, 0.0),
        ({}, 1, 1.0),
        ({"states": {"open": 1, "closed": 0}}, "open", 1.0),
        ({"states": {"open": 1, "closed": 0}}, "closed", 0.0),
        ({"states": {"2": 1, "0": 0}}, 2, 1.0),
        ({"states": {"2": 1, "0": 0}}, 2.0, 1.0),
        ({"states": {"true": 0, "false": 1}}, True, 0.0),
        ({"above": 0}, 7, 1.0),
        ({"above": 0}, 0, 0.0),
        ({"states": {"open": 1}}, "ajar", "motion: 'ajar', which the profile does not know"),
        ({}, "yes", "motion: 'yes', which the profile does not know"),
        ({"states": {"1": 1}}, 3, "motion: '3', which the profile does not know"),
    ],
)
def test_states(value: dict[str, Any], given: object, state: float | str) -> None:
    """Words, numbers and truths become 0 and 1; a word that nobody knows is a fault and no guess."""
    assert _read(value, given, "motion") == state


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("24.1", 24.1),
        (" -3 ", -3.0),
        ("24,1", "temp_air: '24,1', which is no number"),
        ("nan", "temp_air: 'nan', which is no number"),
        ("", "temp_air: '', which is no number"),
        ("1e400", "temp_air: a number too large"),
        (True, "temp_air: true or false, where a number should be"),
        ([1], "temp_air: a list, where a number should be"),
        ({"a": 1}, "temp_air: a mapping, where a number should be"),
        (10**400, "temp_air: a number too large"),
    ],
)
def test_numbers(given: object, value: float | str) -> None:
    """Some codecs write numbers as texts; what is none is a fault of that reading."""
    assert _read({}, given) == value


def test_one_fault_costs_one_reading() -> None:
    """The others of the message are there."""
    said = _model({"temp_air": {"path": "t"}, "humidity": {"path": "h"}}).read({"t": "warm", "h": 40}, NOW_MS)
    assert [reading.name for reading in said.now.readings] == ["humidity"]
    assert said.fault == "temp_air: 'warm', which is no number"


HISTORY = {"path": "log", "time": "at"}


def test_samples_of_former_times() -> None:
    """Each at its own time, the oldest first, a time once."""
    log = [{"at": 1_789_990_000, "t": 3}, {"at": 1_789_980_000, "t": 1}, {"at": 1_789_990_000, "t": 4}]
    said = _model({"temp_air": {"path": "t"}}, history=HISTORY).read({"t": 20, "log": log}, NOW_MS)
    assert [(each.at_ms, each.readings[0].value) for each in said.before] == [
        (1_789_980_000_000, 1.0),
        (1_789_990_000_000, 4.0),
    ]
    assert said.now.readings[0].value == 20.0


@pytest.mark.parametrize("at", [0, 1_789_990_000_000, -5, "yesterday", None, True, 1e300, [1]])
def test_a_time_that_cannot_be(at: object) -> None:
    """A clock that was never set, or is ahead, costs its sample, and is said."""
    log = [{"at": at, "t": 3}, {"at": 1_789_990_000, "t": 5}]
    said = _model({"temp_air": {"path": "t"}}, history=HISTORY).read({"log": log}, NOW_MS)
    assert [each.readings[0].value for each in said.before] == [5.0]
    assert said.fault == "a sample of a former time without a time that can be"


@pytest.mark.parametrize(
    ("clock", "at"),
    [("unix_ms", 1_789_990_000_000), ("text", "2026-09-21T11:26:40Z"), ("text", "2026-09-21T11:26:40")],
)
def test_clocks(clock: str, at: object) -> None:
    """Milliseconds, and texts, which are UTC where they do not say."""
    model = _model({"temp_air": {"path": "t"}}, history={**HISTORY, "clock": clock})
    assert model.read({"log": [{"at": at, "t": 1}]}, NOW_MS).before[0].at_ms == 1_789_990_000_000


class _Scripted(Codecs):
    """Codecs that give what a test says."""

    def __init__(self, answer: Decoded | MessnetzError) -> None:
        self.answer = answer
        self.calls = 0

    async def decode(self, device: str, source: str, f_port: int, payload: bytes, recv_time_ms: int) -> Decoded:
        """Give the answer."""
        del device, source, f_port, payload, recv_time_ms
        self.calls += 1
        if isinstance(self.answer, MessnetzError):
            raise self.answer
        return self.answer

    async def encode_downlink(self, device: str, source: str, data: dict[str, Any]) -> Encoded:
        """Write the data down."""
        del device, source
        return encoded(json.dumps({"bytes": list(json.dumps(data).encode()), "fPort": 7}))


RADIO = {"rssi": -101.5, "snr": -3.0, "spreading_factor": 10.0, "frames_lost": 2.0, "airtime": 288.768}


def test_the_radio_is_measured_with_every_uplink() -> None:
    """Beside what the codec gives."""
    codecs = _Scripted(Decoded({"t": 20}))
    said = asyncio.run(_model({"temp_air": {"path": "t"}}).readings(UPLINK, lost=2, codecs=codecs))
    assert {reading.name: reading.value for reading in said.now.readings} == {"temp_air": 20.0, **RADIO}
    assert all(reading.unit == quantities()[reading.quantity].unit for reading in said.now.readings)


def test_what_a_codec_remarks_is_passed_on() -> None:
    """It is no fault."""
    codecs = _Scripted(Decoded({"t": 20}, ("the battery is low",)))
    said = asyncio.run(_model({"temp_air": {"path": "t"}}).readings(UPLINK, codecs=codecs))
    assert (said.fault, said.warnings) == (None, ("the battery is low",))


def test_a_codec_that_fails_leaves_the_radio() -> None:
    """The device was heard, whatever its codec says; the fault is told."""
    codecs = _Scripted(CodecError("took too much processor time"))
    said = asyncio.run(_model({"temp_air": {"path": "t"}}).readings(UPLINK, lost=2, codecs=codecs))
    assert {reading.name: reading.value for reading in said.now.readings} == RADIO
    assert said.fault == "the codec took too much processor time"


def test_without_a_worker_the_message_waits() -> None:
    """Its source keeps it, and tries again."""
    with pytest.raises(NoWorkerError):
        asyncio.run(_model({"temp_air": {"path": "t"}}).readings(UPLINK, codecs=_Scripted(NoWorkerError("none"))))


@pytest.mark.parametrize("uplink", [UPLINK._replace(payload=b""), UPLINK._replace(f_port=0), UPLINK._replace(f_port=9)])
def test_what_holds_no_measurement_is_not_decoded(uplink: Uplink) -> None:
    """An empty message, MAC commands, a port that the profile does not list."""
    codecs = _Scripted(Decoded({"t": 20}))
    said = asyncio.run(_model({"temp_air": {"path": "t"}}, f_ports=[1, 2]).readings(uplink, codecs=codecs))
    assert codecs.calls == 0
    assert (said.fault, len(said.now.readings)) == (None, 5)


def test_settings() -> None:
    """Only those that the profile declares, within their bounds."""
    setting = {"label": {"de": "Abstand", "en": "Interval"}, "key": "every", "minimum": 60, "maximum": 3600}
    model = _model({"temp_air": {"path": "t"}}, settings={"interval_s": setting})
    codecs = _Scripted(Decoded({}))
    made = asyncio.run(model.encode("eui", "interval_s", 600, codecs=codecs))
    assert (made.f_port, made.payload) == (7, b'{"every": 600}')
    for name, value in (("other", 600), ("interval_s", 10), ("interval_s", "fast"), ("interval_s", float("nan"))):
        with pytest.raises(PermanentError):
            asyncio.run(model.encode("eui", name, value, codecs=codecs))


WRONG = [
    ("codec: elsys/tlv", "codec: elsys/none", "no codec 'elsys/none'"),
    ("temp_air: {path: temperature}", "temp_air: {path: 'temperature['}", "'temperature['"),
    ("temp_air: {path: temperature}", "temp_air: {path: temperature, unit: Wh}", "'Wh'"),
    ("temp_air: {path: temperature}", "temp_air: {path: temperature, scale: 0}", "0"),
    ("temp_air: {path: temperature}", "temp_air: {path: temperature, divide_by: ratio}", "'ratio'"),
    ("temp_air: {path: temperature}", "temp_air: {path: temperature, above: 1}", "'above' of a gauge"),
    ("temp_air: {path: temperature}", "temp_air: {path: temperature}\n    rain: {path: rain}", "the reading 'rain'"),
    ("  - humidity", "  - humidity\n  - tvoc", "'tvoc' without a value"),
    ("payload_bytes: 8", "payload_bytes: 8\n  history: {path: '[', time: at}", "'['"),
    ("payload_bytes: 8", "payload_bytes: 8\n  colour: red", "unknown key 'colour'"),
]


@pytest.mark.parametrize(("old", "new", "says"), WRONG)
def test_a_wrong_profile_is_refused(old: str, new: str, says: str) -> None:
    """At the desk, at the line."""
    text = (public.PROFILES / "elsys" / "ers-lite.yaml").read_text(encoding="utf-8")
    assert old in text
    document = strict_yaml.parse(text.replace(old, new).encode(), Path("ers-lite.yaml"))
    with pytest.raises(ConfigError) as caught:
        profiles.check(document, document.convert(profiles.LorawanProfile))
    assert says in caught.value.found


def test_a_profile_of_another_driver_is_an_error_of_the_line_that_names_it() -> None:
    """And not of the profile."""
    document = strict_yaml.parse(b"profile: eastron/sdm630\n", Path("gw.yaml"))
    with pytest.raises(ConfigError, match="which is one of driver 'modbus'") as caught:
        profiles.load_for(document, ("profile",), "eastron/sdm630")
    assert caught.value.at.file == Path("gw.yaml")
