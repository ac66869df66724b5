"""The generic driver of lines: profiles that are checked, and sensors on a real port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from far_end import far_end, opened, until
from hypothesis import given, settings
from hypothesis import strategies as st

from base import strict_yaml
from base.errors import ConfigError
from edge.drivers import plan_bus
from edge.interface import ParkedError
from edge.line import driver
from edge.line import profile as profiles
from edge.line.decoder import LineDecoder
from edge.listening import Garbled, ListeningPlan, Said
from edge.parameters import check
from wire import profile as public
from wire.profile import PROFILES

BUS = """\
id: brook
driver: line
serial: {port}
devices:
  - {{id: level, profile: maxbotix/hrxl-5m, site: s, parameters: {{mounting_cm: 412}}}}
"""
LEVEL = (PROFILES / "maxbotix" / "hrxl-5m.yaml").read_text()


def _plan(text: str) -> ListeningPlan:
    plan = plan_bus(strict_yaml.parse(text.encode(), Path("gw.yaml")), ())
    assert isinstance(plan, ListeningPlan)
    return plan


def _profile(text: str) -> profiles.LineProfile:
    document = strict_yaml.parse(text.encode(), Path("level.yaml"))
    profile = document.convert(profiles.LineProfile)
    public.check(document, profile, profile.profile)
    profiles.check(document, profile)
    return profile


def test_the_sample_is_right() -> None:
    """What a technician copies from must work."""
    document = strict_yaml.load(Path(driver.__file__).parent / "sample.yaml")
    assert [plan_bus(document, ("buses", index)).devices[0].id for index in range(2)] == ["brook-level", "roof-weather"]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("R{distance}", "R{rain}", "{rain}; expected one of those under 'readings'"),
        ("R{distance}", "R{distance", "a lone '{': write it twice where it is text"),
        ("R{distance}", "R{*}", "'R{*}'; expected a value in braces"),
        ("of: distance", "of: rain", "'rain'; expected a reading in one of the lines"),
        ("add: mounting_cm", "add: height", "'height'; expected a parameter declared"),
        ("add: mounting_cm", "divide_by: mounting_cm", "'mounting_cm', which may be 0"),
        ("scale: -0.1", "scale: 0", "0; expected another number"),
        ("    water_level: {of", "    water_lvl: {of", "'water_lvl'; expected one of those under 'readings'"),
        ("PN:{*}", "PN:{distance}", "no value in braces but {*}"),
        (
            "  - water_level\n",
            "  - water_level\n  - temp_water\n",
            "'temp_water' without a value; expected it",
        ),
        ("\nline:", "\nthinning: {rain: {by: max}}\nline:", "'rain'; expected one of those under 'readings'"),
    ],
)
def test_a_profile_is_checked_at_its_line(old: str, new: str, error: str) -> None:
    """Whoever writes one for a new sensor learns what is wrong with it."""
    _profile(LEVEL)
    with pytest.raises(ConfigError) as caught:
        _profile(LEVEL.replace(old, new))
    assert error in str(caught.value)


def test_the_first_line_is_left_out() -> None:
    """It may have begun before the port was opened: `R234` instead of `R1234`."""
    profile = _profile(LEVEL)
    decoder = LineDecoder(profile.line, {"mounting_cm": 400})
    decoder.reset()
    (word,) = decoder.feed(b"R234\rR1234\r")
    assert isinstance(word, Said)
    assert [reading.value for reading in word.readings] == [1234, 276.6]


def test_words_are_states() -> None:
    """And a word that is none fits no pattern."""
    half = profiles.LineHalf(
        lines=["door {leak}"], values={"leak": profiles.Value(states={"OPEN": 1, "CLOSED": 0}, no_value=["?"])}
    )
    decoder = LineDecoder(half, {})
    words = list(decoder.feed(b"door OPEN\ndoor CLOSED\ndoor ?\ndoor AJAR\n"))
    assert [[reading.value for reading in word.readings] for word in words[:3] if isinstance(word, Said)] == [
        [1],
        [0],
        [],
    ]
    assert isinstance(words[2], Said)
    assert words[2].without_value == ("leak",)
    assert words[3] == Garbled("'door AJAR' came, which fits no pattern")


@pytest.mark.parametrize("text", ["-99", "-99.0", "---"])
def test_no_value_is_a_text_or_a_number(text: str) -> None:
    """However that is written."""
    half = profiles.LineHalf(lines=["{temp_air}"], values={"temp_air": profiles.Value(no_value=["---", "-99"])})
    assert list(LineDecoder(half, {}).feed(text.encode() + b"\n")) == [Said((), ("temp_air",))]


@given(st.binary(max_size=1500), st.sampled_from(public.names_of("line")), st.integers(1, 100))
@settings(max_examples=300, derandomize=True)
def test_any_bytes_make_words(data: bytes, name: str, size: int) -> None:
    """Never an exception."""
    profile = profiles.load(name)
    given = {name: parameter.default or 1.0 for name, parameter in profile.parameters.items()}
    decoder = LineDecoder(profile.line, check(given, profile.parameters))
    for at in range(0, len(data), size):
        for word in decoder.feed(data[at : at + size]):
            assert isinstance(word, Said | Garbled)


def test_a_sensor_on_a_port_is_thinned_to_one_sample() -> None:
    """Of what it said seven times a second the mean is kept."""

    async def play() -> None:
        with far_end() as end:
            bus = _plan(BUS.format(port=end.port)).open()
            await opened(bus, "level")
            end.write(b"234\rR1000\rR1010\rR5000\rxyz\r")
            await until(lambda: bus.traffic("level").requests >= 4)
            measured = await bus.read("level")
            assert {reading.name: reading.value for reading in measured.readings} == {
                "distance": 1005,
                "water_level": 311.5,
            }
            assert bus.traffic("level").errors == 1
            with pytest.raises(ParkedError):
                await bus.read("level")
            await bus.close()

    asyncio.run(play())


def test_a_sensor_that_waits_is_asked() -> None:
    """And its first answer counts."""

    async def play() -> None:
        half = profiles.LineHalf(lines=["{temp_air}"], asks="M!\r\n", ask_s=0.5)
        with far_end() as end:
            end.behave = lambda data: b"21.5\r\n" if data == b"M!\r\n" else b""
            bus = _plan(BUS.format(port=end.port)).open()
            bus._decoder = LineDecoder(half, {})
            await opened(bus, "level")
            await until(lambda: bus.traffic("level").requests >= 2)
            assert bus.traffic("level").errors == 0
            assert end.heard.startswith(b"M!\r\nM!\r\n")
            await bus.close()

    asyncio.run(play())
