"""Finding a SunSpec model, whatever the device says of itself."""

from __future__ import annotations

import asyncio
import math
from itertools import cycle, islice
from typing import TYPE_CHECKING

import pytest
import sunspec_maps as maps
from hypothesis import given
from hypothesis import strategies as st

from base.errors import MessnetzError, PermanentError, TransientError
from edge.interface import ParkedError
from edge.modbus import profile as profiles
from edge.modbus.config import Endpoint
from edge.modbus.model import SearchError
from edge.modbus.reader import SEARCH_AGAIN_S, DeviceReader
from edge.modbus.sunspec import chain
from edge.modbus.transport import RefusedError
from wire.readings import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.modbus.registers import Request
    from edge.modbus.transport import Transport

METER = {"power_sign": 1.0, "meter_number": 1.0}


class Wire:
    """Stands for a transport: a device with these words from a base on, that refuses all else and long requests."""

    asked_at_s = 0.0

    line = Endpoint("meter", 502)

    def __init__(self, base: int, words: Sequence[int], most: int = 125) -> None:
        self.base = base
        self.words = list(words)
        self.most = most
        self.requests = 0
        self.refusal = 2
        self.alter: Callable[[Request, list[int]], list[int]] = lambda _request, words: words

    async def read(self, _unit: int, request: Request, _turnaround_s: float = 0.0) -> list[int]:
        """Answer one request."""
        self.requests += 1
        offset = request.address - self.base
        if offset < 0 or offset + request.count > len(self.words) or request.count > self.most:
            raise RefusedError("refused", self.refusal)
        return self.alter(request, self.words[offset : offset + request.count])


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Monotonic time in seconds."""
        return self.now_s


def reader(profile: str = "sunspec/meter", clock: Clock | None = None) -> DeviceReader:
    """Make a reader of a profile."""
    compiled = profiles.compile_model(profiles.load(profile), METER)
    return DeviceReader("main", 1, compiled, clock or Clock())


def read(device: DeviceReader, wire: Wire) -> dict[str, float]:
    """Read once over a wire."""
    transport: Transport = wire  # type: ignore[assignment] # a double of ours
    return {reading.name: reading.value for reading in asyncio.run(device.read(transport)).readings}


def test_a_located_device_is_read_with_one_request() -> None:
    """Marker and headers are read once, not with every poll; a meter's readings come with one request."""
    wire, device = Wire(40000, maps.device(203, maps.METER)), reader()
    read(device, wire)
    before = wire.requests
    assert read(device, wire) == maps.METER_READINGS
    assert wire.requests == before + 1


@pytest.mark.parametrize("most", [99, 54, 20, 7])
def test_a_device_that_takes_short_requests_only_is_read_in_parts(most: int) -> None:
    """What it refuses as too long is halved until it answers, and that is remembered."""
    wire, device = Wire(40000, maps.device(203, maps.METER), most), reader()
    assert read(device, wire) == maps.METER_READINGS
    before = wire.requests
    assert read(device, wire) == maps.METER_READINGS
    assert wire.requests - before <= 2 * math.ceil(55 / (most / 2))


def test_a_device_laid_out_anew_is_found_anew() -> None:
    """A firmware update moves a model: the next reading is right, not what stands there now."""
    wire, device = Wire(40000, maps.device(203, maps.METER)), reader()
    read(device, wire)
    wire.words = maps.chain(maps.block(1, maps.COMMON), maps.VENDOR, maps.block(213, maps.FLOAT_METER))
    assert read(device, wire) == maps.FLOAT_METER_READINGS


def test_a_device_that_moved_away_is_found_anew() -> None:
    """Where it was it refuses with "illegal data address" now."""
    wire, device = Wire(40000, maps.device(203, maps.METER)), reader()
    read(device, wire)
    wire.base = 50000
    assert read(device, wire) == maps.METER_READINGS


def test_a_device_that_refuses_otherwise_is_searched_with_the_next_reading() -> None:
    """Not every device says "illegal data address" where it has nothing any more."""
    wire, device = Wire(40000, maps.device(203, maps.METER)), reader()
    read(device, wire)
    wire.base, wire.refusal = 50000, 3
    with pytest.raises(RefusedError):
        read(device, wire)
    assert read(device, wire) == maps.METER_READINGS


def test_a_device_that_never_answers_alike_is_said() -> None:
    """A header that changes between search and reading gives an error, and no reading."""
    wire, device = Wire(40000, maps.device(203, maps.METER)), reader()
    wire.alter = lambda request, words: [0, *words[1:]] if request.count > 2 else words
    with pytest.raises(TransientError, match="differently each time"):
        read(device, wire)


def test_each_meter_of_a_chain_says_what_it_is() -> None:
    """Behind an inverter stand several meters: the common model before each of them is its own."""
    first, second = ({**maps.COMMON, "SN": number} for number in ("1111", "2222"))
    blocks = [maps.block(1, maps.COMMON), maps.block(103, maps.INVERTER)]
    for common in (first, second):
        blocks += [maps.block(1, common), maps.block(203, maps.METER)]
    wire = Wire(40000, maps.chain(*blocks))
    transport: Transport = wire  # type: ignore[assignment] # a double of ours
    found = []
    for number in (1.0, 2.0):
        compiled = profiles.compile_model(profiles.load("sunspec/meter"), {**METER, "meter_number": number})
        found.append(asyncio.run(DeviceReader("main", 1, compiled).identify(transport))["serial_number"])
    assert found == ["1111", "2222"]
    compiled = profiles.compile_model(profiles.load("sunspec/meter"), {**METER, "meter_number": 3.0})
    with pytest.raises(PermanentError, match="models 1, 103, 1, 203, 1, 203, but only 2 of 201, "):
        asyncio.run(DeviceReader("main", 1, compiled).read(transport))


def test_a_search_that_found_nothing_waits() -> None:
    """What is no SunSpec device does not cost its bus-mates a search with every poll."""
    clock = Clock()
    wire, device = Wire(40000, [0] * 100), reader(clock=clock)
    with pytest.raises(PermanentError, match="meter:502, unit 1 has no SunSpec marker at 40000, 50000, 0"):
        read(device, wire)
    with pytest.raises(ParkedError):
        read(device, wire)
    assert wire.requests == 3
    clock.now_s += SEARCH_AGAIN_S
    wire.words = maps.device(203, maps.METER)
    assert read(device, wire) == maps.METER_READINGS


def test_a_wrong_profile_is_named_with_what_is_there() -> None:
    """A technician sees which models the device has."""
    wire = Wire(40000, maps.device(203, maps.METER))
    with pytest.raises(PermanentError, match="has the SunSpec models 1, 203, but none of 101, 102, 103, 111"):
        read(reader("sunspec/inverter"), wire)


def search(words: Callable[[Request], list[int] | None]) -> tuple[chain.Found | str, int]:
    """Run a search; returns what was found, or the error, and how many requests it took."""
    walk, requests = chain.find(3, [203], 1), 0
    try:
        request = next(walk)
        while True:
            requests += 1
            request = walk.send(words(request))
    except StopIteration as end:
        return end.value, requests
    except SearchError as error:
        return str(error), requests


@pytest.mark.parametrize("header", [[64999, 0], [64999, 1], [1, 400]])
def test_a_chain_without_end_ends(header: list[int]) -> None:
    """Whatever lengths it claims, a walk makes a bounded number of requests, and only of registers that exist."""

    def words(request: Request) -> list[int]:
        assert request.end <= 65536
        return chain.MARKER if request.address == chain.BASES[0] else header

    found, requests = search(words)
    assert isinstance(found, str)
    assert "but none of 203" in found
    assert requests <= 1 + chain.MOST_MODELS


@pytest.mark.parametrize("end", [None, [0xFFFF, 0], [0xFFFF, 0xFFFF], [0, 0]])
def test_a_chain_ends_in_more_than_one_way(end: list[int] | None) -> None:
    """By the id 0xFFFF, by an address that is refused, by registers that hold nothing."""
    found, requests = search(lambda request: chain.MARKER if request.address == 40000 else end)
    assert (found, requests) == ("a SunSpec marker, but no model behind it", 2)


def test_a_model_of_the_last_registers_is_no_trap() -> None:
    """A length that leads beyond the last register ends the walk."""
    found, requests = search(lambda request: chain.MARKER if request.address == 40000 else [7, 0xFFFF])
    assert (found, requests) == ("the SunSpec models 7, but none of 203", 2)


WORDS = st.sampled_from([0, 1, 50, 65, 66, 101, 103, 105, 124, 201, 203, 213, 0x7FC0, 0x8000, 0xFFFF])


@given(
    st.lists(WORDS | st.integers(0, 0xFFFF), min_size=4, max_size=200),
    st.sampled_from([1, 101, 103, 113, 201, 203, 204, 211, 213, 64999]),
    st.sampled_from(chain.BASES),
    st.sampled_from([2, 9, 50, 125]),
    st.sampled_from(["sunspec/meter", "sunspec/inverter"]),
)
def test_no_registers_do_harm(content: list[int], first: int, base: int, most: int, profile: str) -> None:
    """Whatever stands behind the marker: finite readings of the profile or an error of ours, in bounded requests."""
    words = [*chain.MARKER, first, *islice(cycle(content), 60000 if base == 0 else 3000)]
    wire, device = Wire(base, words, most), reader(profile)
    try:
        values = read(device, wire)
    except MessnetzError:
        values = {}
    assert set(values) <= set(profiles.load(profile).readings)
    assert all(math.isfinite(value) for value in values.values())
    assert wire.requests <= 3 + chain.MOST_MODELS + 2 * 64


def test_readings_are_readings() -> None:
    """Each carries the quantity's unit."""
    wire = Wire(40000, maps.device(203, maps.METER))
    transport: Transport = wire  # type: ignore[assignment] # a double of ours
    readings = asyncio.run(reader().read(transport)).readings
    assert readings[0] == Reading("voltage", 230.1, "V", "L1")
    assert readings[-1] == Reading("active_energy_export", 1234.567, "kWh")
