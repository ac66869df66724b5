"""Frames of particulate and CO2 sensors: recorded ones, damaged ones, and any bytes at all."""

from __future__ import annotations

import csv
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.given_bytes import of_dump
from edge.pms.frames import FAMILIES, Damaged, Frame, Framer
from edge.pms.sensors import SENSORS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edge.pms.sensors import Sensor

RECORDED = {
    "MHZ19B": "mhz19b",
    "PMS3003": "pms3003",
    "PMSx003": "pmsx003",
    "SDS01x": "sds011",
    "SDS198": "sds198",
    "SPS30": "sps30",
}
DIGITS = {"diam": 1, "pm01": 1, "pm25": 1, "pm04": 1, "pm10": 1}
"""To which the recorded values of the SPS30 were rounded; its counts to two."""


def _recorded(shared_data: Path, name: str) -> tuple[bytes, list[dict[str, str]]]:
    folder = shared_data / "particulate"
    rows = csv.DictReader((folder / f"{name}.csv").read_text().splitlines(), skipinitialspace=True)
    return of_dump((folder / f"{name}.hexdump").read_bytes()), list(rows)


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_value_is_right(shared_data: Path, name: str) -> None:
    """Each value that was written down beside a recorded frame, and no frame more."""
    data, rows = _recorded(shared_data, name)
    sensor = SENSORS[RECORDED[name]]
    frames = [cut for cut in Framer(*sensor.families).feed(data) if isinstance(cut, Frame)]
    found = [sensor.read(frame) for frame in frames]
    assert len(found) == len(rows)
    for values, row in zip(found, rows, strict=True):
        assert values is not None
        for field, text in row.items():
            if field != "time":
                digits = DIGITS.get(field, 2) if name == "SPS30" else 3
                assert round(values[field.lower()], digits) == float(text), (field, row)


def test_316_values_were_recorded(shared_data: Path) -> None:
    """None of them got lost on the way into the test above."""
    assert sum(len(row) - 1 for name in RECORDED for row in _recorded(shared_data, name)[1]) == 316


@pytest.mark.parametrize("name", RECORDED)
@given(data=st.data())
@settings(max_examples=60, derandomize=True)
def test_frames_are_found_however_the_stream_is_cut(shared_data: Path, name: str, data: st.DataObject) -> None:
    """A serial port hands over any piece."""
    stream, _ = _recorded(shared_data, name)
    families = SENSORS[RECORDED[name]].families
    whole = list(Framer(*families).feed(stream))
    framer, at = Framer(*families), 0
    cuts: list[Frame | Damaged] = []
    while at < len(stream):
        size = data.draw(st.integers(1, 40))
        cuts += framer.feed(stream[at : at + size])
        at += size
    assert cuts == whole


@pytest.mark.parametrize("name", RECORDED)
@given(data=st.data())
@settings(max_examples=100, derandomize=True)
def test_one_wrong_bit_costs_its_frame_and_makes_no_value(shared_data: Path, name: str, data: st.DataObject) -> None:
    """Whatever bit it is; the frames around are read."""
    stream, rows = _recorded(shared_data, name)
    bit = data.draw(st.integers(0, len(stream) * 8 - 1))
    spoiled = bytearray(stream)
    spoiled[bit // 8] ^= 1 << bit % 8
    families = SENSORS[RECORDED[name]].families
    right = [cut for cut in Framer(*families).feed(stream) if isinstance(cut, Frame)]
    found = [cut for cut in Framer(*families).feed(bytes(spoiled)) if isinstance(cut, Frame)]
    assert all(frame in right or _is_outside_the_sum(frame, right) for frame in found)
    assert len(rows) - 2 <= len(found) <= len(rows)


def _is_outside_the_sum(frame: Frame, right: Iterable[Frame]) -> bool:
    """The kind of a Nova Fitness frame is not in its sum: 0xC5 is an answer, which carries no values."""
    return frame.kind[:1] == b"\xaa" and any(frame.values == each.values for each in right)


@given(st.binary(max_size=1500), st.sampled_from(sorted(SENSORS)), st.integers(1, 200))
@settings(max_examples=400, derandomize=True)
def test_any_bytes_make_frames_or_damage(data: bytes, name: str, size: int) -> None:
    """Never an exception other than the two that are documented, never more kept than one frame."""
    sensor = SENSORS[name]
    framer = Framer(*sensor.families)
    for at in range(0, len(data), size):
        for cut in framer.feed(data[at : at + size]):
            if isinstance(cut, Frame):
                try:
                    sensor.read(cut)
                except (KeyError, ValueError):
                    continue
    assert len(framer._buffer) < 600


@given(st.binary(max_size=400), st.sampled_from(["sds011", "pmsx003", "sps30", "mhz19b", "hpma115s0"]))
@settings(max_examples=300, derandomize=True)
def test_a_frame_behind_noise_is_found(noise: bytes, name: str) -> None:
    """At the latest when a second and a third one have followed."""
    frame = FRAMES[name]
    found = list(Framer(*SENSORS[name].families).feed(noise + frame * 16))
    assert sum(cut == FOUND[name] for cut in found) >= 2


FRAMES = {
    "sds011": bytes.fromhex("aac00600060058d93dab"),
    "pmsx003": bytes.fromhex("424d001c00000008000800000008000800d20046002d001e00000000970002c5"),
    "sps30": bytes.fromhex(
        "7e0003002840a78320411777bb414a5f8341548ddd41d2833e427d33fc85422617224229a4d9422a29bc3f55b7e79e7e"
    ),
    "mhz19b": bytes.fromhex("ff86027c42000000ba"),
    "hpma115s0": bytes.fromhex("4005040030003156"),
}
FOUND = {name: next(iter(Framer(*SENSORS[name].families).feed(frame))) for name, frame in FRAMES.items()}


@given(st.sampled_from(FAMILIES), st.binary(max_size=600))
@settings(max_examples=300, derandomize=True)
def test_what_is_cut_is_never_longer_than_what_there_is(family: Any, data: bytes) -> None:  # noqa: ANN401 - a protocol
    """Otherwise bytes would vanish that have not come yet; and a cut takes one byte at least."""
    cut, length = family.cut(family.start + data)
    assert 0 <= length <= len(family.start + data)
    assert (cut is None) == (length == 0)


def _pypms(name: str) -> Any:  # noqa: ANN401 - without types
    makers = {"sds011": "novafitness.sds01x", "sds198": "novafitness.sds198", "zh03b": "winsen.zh0xx"}
    makers |= {name: f"plantower.{name}" for name in SENSORS if name.startswith("pms")}
    makers |= {"sps30": "sensirion.sps30", "mhz19b": "winsen.mhz19b", "mcu680": "bosch_sensortec.mcu680"}
    makers |= {name: f"honeywell.{name}" for name in ("hpma115s0", "hpma115c0")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("pms.core")
        return import_module(f"pms.sensors.{makers[name]}")


PYPMS_NAMES = {"co2": "CO2", "hcho": "HCHO"}
ABOUT_OURS = {"hcho": 0.001}
"""pypms shows formaldehyde in mg/m³."""


@pytest.mark.parametrize("name", SENSORS)
@given(data=st.data())
@settings(max_examples=60, derandomize=True)
def test_pypms_reads_the_same(name: str, data: st.DataObject) -> None:
    """The library that decoded the recorded values agrees on frames that nobody recorded."""
    other = _pypms(name)
    sensor = SENSORS[name]
    command = other.commands.passive_read
    kind = next(kind for kind in sensor.layouts if command.answer_header.endswith(kind))
    values = data.draw(st.binary(min_size=(size := sensor.layouts[kind].packed.size), max_size=size))
    frame = _framed(sensor, kind, values)
    (cut,) = Framer(*sensor.families).feed(frame)
    assert isinstance(cut, Frame)
    try:
        theirs = other.ObsData(1, *other.Message.decode(frame, command))
    except UserWarning:
        theirs = None
    try:
        ours = sensor.read(cut)
    except ValueError:
        return
    if theirs is None or ours is None:
        assert theirs is None or _is_nothing(ours)
        return
    for field, value in ours.items():
        expected = getattr(theirs, PYPMS_NAMES.get(field, field))
        assert value * ABOUT_OURS.get(field, 1) == pytest.approx(expected), field


def _is_nothing(ours: dict[str, float] | None) -> bool:
    """Pypms takes a frame of zeros for a sensor that warms up."""
    return ours is None


def _framed(sensor: Sensor, kind: bytes, values: bytes) -> bytes:
    """Frame values as a sensor would."""
    start = sensor.families[0].start
    if start == b"\x42\x4d" or kind[:2] == b"\x42\x4d":
        return kind + values + (sum(kind + values) & 0xFFFF).to_bytes(2, "big")
    if start == b"\xaa":
        return kind + values + bytes([sum(values) & 0xFF, 0xAB])
    if start == b"\x7e":
        body = kind + values
        body += bytes([~sum(body) & 0xFF])
        for plain, stuffed in ((0x7D, 0x5D), (0x7E, 0x5E), (0x11, 0x31), (0x13, 0x33)):
            body = body.replace(bytes([plain]), bytes([0x7D, stuffed]))
        return b"\x7e" + body + b"\x7e"
    if start == b"\xff":
        return kind + values + bytes([-sum(kind[1:] + values) & 0xFF])
    if start == b"\x40":
        return kind + values + bytes([-sum(kind + values) & 0xFF])
    return kind + values + bytes([sum(kind + values) & 0xFF])


def test_damage_has_a_reason() -> None:
    """It is counted and logged."""
    (cut,) = Framer(*SENSORS["sds011"].families).feed(bytes.fromhex("aac00600060058d93eab"))
    assert cut == Damaged("a wrong checksum")
