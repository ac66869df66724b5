"""The rhythm of a particulate sensor: who speaks when, what is asked, and what is left out."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from far_end import PlayedTime, WrittenLine

from base.errors import TransientError
from edge.listening import Garbled, Said
from edge.pms.decoder import ASK_S, PmsDecoder, Working
from edge.pms.sensors import SENSORS

SDS011 = SENSORS["sds011"]
FRAME = bytes.fromhex("aac00600060058d93dab")
ANSWER = bytes.fromhex("aac50601010058d939ab")
VALUES = {"pm25": "pm25", "pm10": "pm10"}


def _decoder(working: Working, time: PlayedTime, name: str = "sds011") -> PmsDecoder:
    return PmsDecoder(SENSORS[name], VALUES, working, time, time.sleep)


def _written(decoder: PmsDecoder, time: PlayedTime, most: int) -> list[tuple[float, bytes]]:
    """Let a decoder speak until the line breaks; times count from the beginning."""
    line, began_s = WrittenLine(time, most), time.now_s
    decoder.reset()
    with pytest.raises(TransientError):
        asyncio.run(decoder.ask(line))
    return [(at_s - began_s, data) for at_s, data in line.written]


def test_a_frame_becomes_readings() -> None:
    """In the quantity's unit."""
    time = PlayedTime()
    decoder = _decoder(Working(is_asked=False, warm_up_s=0), time)
    decoder.reset()
    (word,) = decoder.feed(FRAME)
    assert isinstance(word, Said)
    assert [(r.name, r.value, r.unit) for r in word.readings] == [("pm25", 0.6, "ug/m3"), ("pm10", 0.6, "ug/m3")]


def test_while_it_warms_up_it_is_there_and_not_believed() -> None:
    """After the line was opened: a USB port that comes back has switched the sensor on."""
    time = PlayedTime()
    decoder = _decoder(Working(is_asked=False, warm_up_s=30), time)
    decoder.reset()
    time.now_s += 29
    assert list(decoder.feed(FRAME)) == [Said(())]
    time.now_s += 2
    (word,) = decoder.feed(FRAME)
    assert isinstance(word, Said)
    assert len(word.readings) == 2


def test_the_answer_to_a_command_is_a_sign_of_life() -> None:
    """It carries no values, and is no error."""
    decoder = _decoder(Working(is_asked=False, warm_up_s=0), PlayedTime())
    assert list(decoder.feed(ANSWER)) == [Said(())]


def test_a_frame_of_zeros_has_no_value() -> None:
    """0 µg/m³ in the open air is nowhere."""
    time = PlayedTime()
    decoder = _decoder(Working(is_asked=False, warm_up_s=0), time)
    decoder.reset()
    assert list(decoder.feed(bytes.fromhex("aac00000000058d931ab"))) == [Said((), ("pm25", "pm10"))]


def test_damage_is_garbled() -> None:
    """And counted by the bus."""
    decoder = _decoder(Working(is_asked=False, warm_up_s=0), PlayedTime())
    assert list(decoder.feed(FRAME[:4] + b"\x07" + FRAME[5:])) == [Garbled("a wrong checksum came")]


def test_half_a_frame_is_forgotten_with_its_line() -> None:
    """What comes after the port was opened anew is no end of it."""
    time = PlayedTime()
    decoder = _decoder(Working(is_asked=False, warm_up_s=0), time)
    assert list(decoder.feed(FRAME[:6])) == []
    decoder.reset()
    assert len(list(decoder.feed(FRAME))) == 1


def test_a_sensor_that_speaks_is_told_so_once() -> None:
    """It may have been left waiting for questions by somebody else; and it is woken."""
    time = PlayedTime()
    decoder = _decoder(Working(is_asked=False, warm_up_s=0), time)
    written = _written(decoder, time, 2)
    assert [data for _, data in written] == [SDS011.commands.wake, SDS011.commands.active]


def test_a_sensor_that_waits_is_asked() -> None:
    """Every five seconds."""
    time = PlayedTime()
    written = _written(_decoder(Working(is_asked=True, warm_up_s=0), time), time, 5)
    assert [data for _, data in written[:2]] == [SDS011.commands.wake, SDS011.commands.passive]
    asked = [at_s for at_s, data in written if data == SDS011.commands.ask]
    assert [round(later - earlier, 6) for earlier, later in pairwise(asked)] == [ASK_S, ASK_S]


def test_a_sensor_without_worth_is_woken_again() -> None:
    """An SPS30 that lost its power answers each question with a refusal until it is told to measure."""
    time = PlayedTime()
    written = _written(_decoder(Working(is_asked=True, warm_up_s=0), time), time, 20)
    woken = [at_s for at_s, data in written if data == SDS011.commands.wake]
    assert len(woken) >= 2
    assert 30 < woken[1] - woken[0] < 40


def test_a_sleeper_works_once_in_its_period() -> None:
    """Awake for warm-up and measurement, then off: so its laser lasts for years."""
    time = PlayedTime()
    working = Working(is_asked=True, warm_up_s=30, measures_s=15, period_s=300)
    written = _written(_decoder(working, time), time, 40)
    switched = [(round(at_s), data) for at_s, data in written if data in (SDS011.commands.wake, SDS011.commands.sleep)]
    assert switched[:4] == [
        (0, SDS011.commands.wake),
        (45, SDS011.commands.sleep),
        (300, SDS011.commands.wake),
        (345, SDS011.commands.sleep),
    ]


def test_a_sleeper_is_believed_between_warm_up_and_sleep_only() -> None:
    """What it says on its way into sleep is no measurement."""
    believed: list[float] = []

    class Line(WrittenLine):
        async def write(self, data: bytes) -> None:
            await super().write(data)
            if any(word.readings for word in decoder.feed(FRAME) if isinstance(word, Said)):
                believed.append(time.now_s - began_s)

    time = PlayedTime()
    began_s = time.now_s
    decoder = _decoder(Working(is_asked=True, warm_up_s=30, measures_s=15, period_s=300), time)
    decoder.reset()
    with pytest.raises(TransientError):
        asyncio.run(decoder.ask(Line(time, 30)))
    assert believed
    assert all(30 <= at_s % 300 <= 46 for at_s in believed)


@pytest.mark.parametrize("name", SENSORS)
def test_every_sensor_can_be_started(name: str) -> None:
    """Whatever it does not understand is not said to it."""
    time = PlayedTime()
    sensor = SENSORS[name]
    working = Working(is_asked=not sensor.speaks, warm_up_s=sensor.warm_up_s)
    decoder = PmsDecoder(sensor, {}, working, time, time.sleep)

    async def play() -> list[bytes]:
        line = WrittenLine(time)
        task = asyncio.create_task(decoder.ask(line))
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        return [data for _, data in line.written]

    assert all(asyncio.run(play()))
