"""Reading one device: what it refuses is found out once, what it is can be asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from base import strict_yaml
from edge.interface import NoAnswerError
from edge.modbus import profile as profiles
from edge.modbus.reader import DeviceReader
from edge.modbus.register_map import RegisterProfile
from edge.modbus.registers import Request
from edge.modbus.transport import RefusedError, Transport

PROFILE = """\
profile: test/meter
label: {de: Zähler, en: Meter}
driver: modbus
measurement: electricity
interval_s: 10
channels: {L1: {phase: L1}, L2: {phase: L2}, L3: {phase: L3}}
readings: [voltage/L1, voltage/L2, voltage/L3, current/L1, current/L2, current/L3, frequency]
sources: [{what: a test, where: here, retrieved: 2026-11-22}]
modbus:
  function_code: 3
  max_gap: 4
  registers:
    voltage/L1: {address: 0, type: uint16}
    voltage/L2: {address: 1, type: uint16}
    voltage/L3: {address: 2, type: uint16}
    current/L1: {address: 6, type: uint16}
    current/L2: {address: 7, type: uint16}
    current/L3: {address: 8, type: uint16}
    frequency: {address: 100, type: uint16}
  identity:
    serial_number: {address: 200, length: 2}
"""


class Device:
    """A device below the reader: register n holds n; some addresses it does not have."""

    def __init__(self, *, lacks: set[int] | None = None, refusal: int = 2) -> None:
        self.lacks = lacks or set()
        self.refusal = refusal
        self.is_dead = False
        self.asked_at_s = 0.0
        self.asked: list[Request] = []

    async def read(self, _unit: int, request: Request, _turnaround_s: float = 0.0) -> list[int]:
        """Answer as the transport would."""
        self.asked.append(request)
        self.asked_at_s += 1.0
        if self.is_dead:
            raise NoAnswerError("silent")
        addresses = range(request.address, request.end)
        if self.lacks.intersection(addresses):
            raise RefusedError("refused", self.refusal)
        return [0x4142 if address >= 200 else address for address in addresses]


def _reader() -> DeviceReader:
    profile = strict_yaml.parse(PROFILE.encode(), Path("meter.yaml")).convert(RegisterProfile)
    return DeviceReader("meter", 1, profiles.compile_model(profile, {}))


def _read(reader: DeviceReader, device: Device) -> dict[str, float]:
    measured = asyncio.run(reader.read(cast("Transport", device)))
    return {reading.name: reading.value for reading in measured.readings}


ALL = {f"{q}/L{n + 1}": float(base + n) for q, base in (("voltage", 0), ("current", 6)) for n in range(3)}


def test_neighbours_come_with_one_request() -> None:
    """Over the gap of three registers too; the far one by itself."""
    device = Device()
    assert _read(_reader(), device) == ALL | {"frequency": 100.0}
    assert device.asked == [Request(3, 0, 9), Request(3, 100, 1)]


def test_the_time_is_that_of_the_first_question() -> None:
    """However many follow: what is read last is not what is measured last."""
    measured = asyncio.run(_reader().read(cast("Transport", Device())))
    assert measured.at_s == 1.0


def test_a_gap_that_the_device_refuses_is_found_and_remembered() -> None:
    """The request is halved until it is accepted; the second reading makes no refused request."""
    device, reader = Device(lacks={4}), _reader()
    assert _read(reader, device) == ALL | {"frequency": 100.0}
    device.asked.clear()
    assert _read(reader, device) == ALL | {"frequency": 100.0}
    assert device.asked == [Request(3, 0, 3), Request(3, 6, 3), Request(3, 100, 1)]


@pytest.mark.parametrize("lacking", [0, 2, 7, 100])
def test_a_value_that_the_device_does_not_have_costs_only_itself(
    lacking: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and never asked for again."""
    device, reader = Device(lacks={lacking}), _reader()
    expected = {name: value for name, value in (ALL | {"frequency": 100.0}).items() if value != lacking}
    assert _read(reader, device) == expected
    device.asked.clear()
    caplog.clear()
    assert _read(reader, device) == expected
    assert not any(request.address <= lacking < request.end for request in device.asked)
    assert caplog.text == ""


def test_a_device_that_refuses_everything_is_another_model() -> None:
    """Nothing is learned from it: the error says so each time, until the right device is there."""
    device, reader = Device(lacks=set(range(1000))), _reader()
    for _ in range(2):
        with pytest.raises(RefusedError):
            _read(reader, device)
    device.lacks = set()
    assert _read(reader, device) == ALL | {"frequency": 100.0}


def test_what_was_refused_is_asked_for_again_after_an_hour() -> None:
    """A meter that was starting, or was updated, has it by then; nobody must restart the agent."""
    now_s = [0.0]
    profile = strict_yaml.parse(PROFILE.encode(), Path("meter.yaml")).convert(RegisterProfile)
    reader = DeviceReader("meter", 1, profiles.compile_model(profile, {}), lambda: now_s[0])
    device = Device(lacks={100})
    assert _read(reader, device) == ALL
    device.lacks = set()
    now_s[0] = 3599.0
    assert _read(reader, device) == ALL
    now_s[0] = 3600.0
    assert _read(reader, device) == ALL | {"frequency": 100.0}
    now_s[0] = 1e6
    device.asked.clear()
    assert _read(reader, device) == ALL | {"frequency": 100.0}
    assert device.asked == [Request(3, 0, 9), Request(3, 100, 1)]


def test_another_refusal_is_an_error() -> None:
    """Only "illegal data address" is a reason to ask for less."""
    with pytest.raises(RefusedError):
        _read(_reader(), Device(lacks={4}, refusal=1))


def test_nothing_is_learned_from_silence() -> None:
    """A device that dies while it is being learned is asked for everything again."""
    device, reader = Device(), _reader()
    device.is_dead = True
    with pytest.raises(NoAnswerError):
        _read(reader, device)
    device.is_dead = False
    assert _read(reader, device) == ALL | {"frequency": 100.0}


def test_a_device_says_what_it_is() -> None:
    """Serial number and firmware, where the profile knows where they stand."""
    device = Device()
    identity = asyncio.run(_reader().identify(cast("Transport", device)))
    assert identity == {"serial_number": "ABAB"}
    assert device.asked == [Request(3, 200, 2)]
