"""What subjects of an hour say, against published examples and by hand."""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import TYPE_CHECKING

import pytest

from simulator.faults import crc16
from simulator.mbus import Plate
from simulator.ports import Noise
from simulator.radar import OPS243, Car
from simulator.radar_subject import bounds
from simulator.rtu import RtuSubject
from simulator.subjects import SUBJECTS
from simulator.text_subjects import sentence
from simulator.wireless import checksum, culfw, telegram

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sentence_has_the_checksum_of_the_published_example() -> None:
    """Of a wind sensor."""
    assert sentence("WIMWV,214.8,R,2.5,M,A") == b"$WIMWV,214.8,R,2.5,M,A*28\r\n"


def test_a_radio_telegram_has_a_checksum_behind_ten_bytes_and_every_sixteen() -> None:
    """The last block is as long as it is; the length counts none of the checksums."""
    data = telegram(Plate("12345678"), 7, bytes(range(20)))
    assert data[0] == 9 + 5 + 20
    assert len(data) == data[0] + 1 + 2 * 3
    blocks = (data[:12], data[12:30], data[30:])
    assert all(checksum(block[:-2]) == block[-2:] for block in blocks)
    assert data[4:8].hex() == "78563412"
    assert checksum(bytes.fromhex("43449315785634123303")).hex() == "7ac9"  # OMS Specification Volume 2, Annex N
    assert culfw(data) == b"b" + data.hex().upper().encode() + b"A53C\r\n"


@pytest.mark.parametrize("protocol", sorted(SUBJECTS))
def test_every_subject_says_what_bus_it_is_on(protocol: str, tmp_path: Path) -> None:
    """One device, at the link that was asked for."""
    bus = SUBJECTS[protocol](tmp_path / "line", Noise(0.2)).bus()
    assert bus["serial"] == str(tmp_path / "line")
    assert [device["id"] for device in bus["devices"]] == ["meter"]


def test_a_meter_on_rtu_answers_its_own_questions_only(tmp_path: Path) -> None:
    """Whole ones, in pieces too, of what it has; everything else with silence, or a refusal."""
    said: list[bytes] = []

    async def story() -> None:
        meter = RtuSubject(tmp_path / "line", Noise(0.0))
        meter.port.send = said.append  # type: ignore[method-assign, assignment]

        def ask(unit: int, function_code: int, address: int, count: int) -> None:
            body = bytes((unit, function_code)) + address.to_bytes(2, "big") + count.to_bytes(2, "big")
            question = body + crc16(body).to_bytes(2, "little")
            meter._hear(question[:3])
            meter._hear(question[3:])

        ask(1, 4, 0, 2)
        ask(2, 4, 0, 2)
        ask(1, 3, 0, 2)
        meter._hear(b"\xff\x00")
        ask(1, 4, 0x52, 2)
        assert meter.spoken.words == 2

    asyncio.run(story())
    good, refused = (each for each in said if each)
    assert (good[:3], len(good)) == (b"\x01\x04\x04", 9)
    assert refused[:3] == b"\x01\x84\x02"


def test_what_a_radar_may_count_lies_between_what_came_whole_and_what_passed() -> None:
    """Where every car came whole it is the truth to the digit; where one did not, speeds are those of some car."""
    ends_ms = 1_800_000_000_000
    cars = OPS243.cars("meter", ends_ms)
    truth = {name: OPS243.truth("meter", name, ends_ms) for name in OPS243.names}
    assert bounds(cars, cars, ends_ms) == (truth, truth)
    missed = next(car for car in cars if car.direction == "in")
    least, most = bounds(cars, [car for car in cars if car is not missed], ends_ms)
    assert least["count_vehicles/in"] == truth["count_vehicles/in"] - 1
    assert most["count_vehicles/in"] == truth["count_vehicles/in"]
    assert least["speed_mean/in"] < truth["speed_mean/in"] < most["speed_mean/in"]
    assert least["speed_v85/out"] == most["speed_v85/out"] == truth["speed_v85/out"]


def test_a_report_of_a_radar_says_the_direction_by_its_sign() -> None:
    """Positive is inbound."""
    assert Car(0.0, "in", 9.5).line() == b'{"unit": "mps", "speed": "9.50"}\r\n'
    assert Car(0.0, "out", 9.5).line() == b'{"unit": "mps", "speed": "-9.50"}\r\n'


def test_bursts_leave_no_line_that_differs_in_a_few_characters() -> None:
    """What is no prefix of a line has characters in it that were not there, more than a number is long."""
    noise, line = Noise(1.0, 3).of_bursts(), b"0R2,Ta=23.6C,Ua=14.2P,Pa=1026.6H\r\n"
    for _ in range(500):
        spoiled = noise.spoil(line)
        common = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(spoiled, line, strict=False))))
        assert common == len(spoiled) or len(spoiled) - common >= 7
