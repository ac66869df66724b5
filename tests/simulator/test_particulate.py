"""Simulated particulate sensors: their frames are what real ones send, and an hour of noise makes no wrong value."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from far_end import PlayedTime, opened, until

from base import strict_yaml
from edge.drivers import plan_bus
from edge.interface import NoAnswerError, ParkedError
from edge.listening import Garbled, ListeningPlan
from edge.pms.decoder import PmsDecoder, Working
from edge.pms.sensors import SENSORS
from simulator.particulate import PARTICULATE, SDS011, mhz19b_frame, pms5003_frame, sds011_frame
from simulator.ports import Noise, Port

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_S = 3600


def test_frames_are_as_real_sensors_send_them() -> None:
    """Each as it was recorded (avaldebe/PyPMS)."""
    assert sds011_frame(6, 6, 0x58D9).hex() == "aac00600060058d93dab"
    assert pms5003_frame((0, 8, 8), (210, 70, 45, 30, 0, 0)).hex() == (
        "424d001c00000008000800000008000800d20046002d001e00000000970002c5"
    )
    assert mhz19b_frame(636).hex() == "ff86027c42000000ba"


def _dust(at_s: int) -> tuple[bytes, dict[str, float]]:
    low, high = 60 + at_s % 97, 110 + at_s % 211
    return sds011_frame(low, high), {"pm25": low / 10, "pm10": high / 10}


def _masses(at_s: int) -> tuple[bytes, dict[str, float]]:
    masses = (5 + at_s % 7, 8 + at_s % 13, 12 + at_s % 31)
    return pms5003_frame(masses, (900, 260, 50, 6, 1, 0)), {"pm01": masses[0], "pm25": masses[1], "pm10": masses[2]}


def _air(at_s: int) -> tuple[bytes, dict[str, float]]:
    return mhz19b_frame(420 + at_s % 1500), {"co2": 420 + at_s % 1500}


READINGS = {"pm01": "pm1", "pm25": "pm25", "pm10": "pm10", "co2": "co2_indoor"}


@pytest.mark.parametrize(("sensor", "say"), [("sds011", _dust), ("pmsx003", _masses), ("mhz19b", _air)])
def test_an_hour_of_noise_makes_no_wrong_value(
    sensor: str, say: Callable[[int], tuple[bytes, dict[str, float]]]
) -> None:
    """Every tenth frame suffers; the others are read, and errors are counted."""
    noise, time = Noise(0.1, seed=7), PlayedTime()
    values = {READINGS[name]: name for name in say(0)[1]}
    decoder = PmsDecoder(SENSORS[sensor], values, Working(is_asked=False, warm_up_s=0), time)
    decoder.reset()
    said = {tuple(sorted((READINGS[name], value) for name, value in say(at_s)[1].items())) for at_s in range(HOUR_S)}
    read = garbled = 0
    for at_s in range(HOUR_S):
        time.now_s += 1
        for word in decoder.feed(noise.between() + noise.spoil(say(at_s)[0])):
            if isinstance(word, Garbled):
                garbled += 1
            elif word.readings:
                read += 1
                assert tuple(sorted((reading.name, reading.value) for reading in word.readings)) in said
    assert noise.spoiled > 200
    assert garbled > 50
    assert read >= HOUR_S - 2 * noise.spoiled


@pytest.mark.slow
def test_a_port_that_is_pulled_out_and_put_back(tmp_path: Path) -> None:
    """The sensor falls silent, and speaks again by itself."""

    async def play() -> None:
        port = Port(tmp_path / "dust")
        port.plug()
        section = PARTICULATE.section("dust", port.address, tmp_path)
        text = "\n".join(f"{key}: {value}" for key, value in section.items())
        text += f"\nid: dust\ndevices:\n  - {{id: dust, profile: {SDS011.profile}, site: s}}\n"
        plan = plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ())
        assert isinstance(plan, ListeningPlan)
        bus = plan.open()
        await opened(bus, "dust")
        for put_back in (False, True):
            if put_back:
                port.unplug()
                await until(lambda: bool(bus._line.why))
                with pytest.raises((ParkedError, NoAnswerError)):
                    await bus.read("dust")
                port.plug()
                await until(lambda: port.is_heard)
            before = bus.traffic("dust").requests
            port.send(SDS011.word("dust", 1_700_000_000_000))
            await until(lambda: bus.traffic("dust").requests > before)  # noqa: B023 - it is awaited here
            measured = await bus.read("dust")
            assert {reading.name: reading.value for reading in measured.readings} == {
                name: SDS011.truth("dust", name, 1_700_000_000_000) for name in SDS011.names
            }
        await bus.close()
        port.unplug()

    asyncio.run(play())
