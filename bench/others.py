"""Devices of the protocols that the demo town has none of, one each: simple ones, for what their drivers cost."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench import rig
from simulator import d0
from simulator.field import Line
from simulator.json_source import CAMERA, Mqtt
from simulator.spec import Device, GatewaySpec, TownSpec
from simulator.town import DEMO
from simulator.words import Row, WordModel, known, wave

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simulator.kinds import Kind, Rig
    from simulator.servers import Bus

PULSES_S = 0.5
COUNTER_BITS = 32
S0_INTERVAL_S = 10.0
METER_NUMBER = "33225544"
_SENT_BY_RADIO = bytes.fromhex("1844AE4C4455223368077A550000000413")
_BEHIND_THE_VOLUME = bytes.fromhex("023B0000")
"""A water meter's telegram in the clear, around its litres (wmbusmeters, simulations/simulation_t1.txt)."""


def _rows(numbers: Mapping[str, int | None]) -> dict[str, tuple[float, str, int, int]]:
    energy, power = (numbers[name] or 0 for name in ("active_energy_import", "active_power"))
    return {
        "1-0:1.8.0": (energy / 1000, "kWh", 6, 3),
        "1-0:1.8.1": (energy / 1000, "kWh", 6, 3),
        "1-0:1.8.2": (0.0, "kWh", 6, 3),
        "1-0:1.7.0": (power / 1000, "kW", 2, 3),
        "1-0:2.7.0": (0.0, "kW", 2, 3),
    }


def _d0(_device: str, numbers: Mapping[str, int | None]) -> bytes:
    return d0.push("XYZ5METER", d0.rows(_rows(numbers)))


def _p1(_device: str, numbers: Mapping[str, int | None]) -> bytes:
    return d0.p1("XYZ5METER", d0.rows(_rows(numbers)))


def _nmea(_device: str, numbers: Mapping[str, int | None]) -> bytes:
    body = f"WIMWV,{(numbers['wind_dir'] or 0) / 10:.1f},R,{(numbers['wind_speed'] or 0) / 10:.1f},M,A"
    check = 0
    for character in body.encode():
        check ^= character
    return f"${body}*{check:02X}\r\n".encode()


def _line(_device: str, numbers: Mapping[str, int | None]) -> bytes:
    return f"R{numbers['distance'] or 0:04d}\r".encode()


def _radio(_device: str, numbers: Mapping[str, int | None]) -> bytes:
    telegram = _SENT_BY_RADIO + (numbers["water_volume"] or 0).to_bytes(4, "little") + _BEHIND_THE_VOLUME
    return telegram.hex().encode() + b"\r\n"


_ELECTRICITY = {
    "active_energy_import": Row(known("active_energy_import"), 1000, 999_999_999),
    "active_power": Row(known("active_power"), 1, 99_999),
}
D0 = WordModel("d0/push", _ELECTRICITY, _d0)
P1 = WordModel("dsmr/p1", _ELECTRICITY, _p1)
WIND = WordModel("nmea/wind", {"wind_dir": Row(wave(180, 90), 10), "wind_speed": Row(wave(5, 3), 10)}, _nmea)
LEVEL = WordModel("maxbotix/hrxl-5m", {"distance": Row(wave(2500, 500))}, _line)
WATER = WordModel("generic/wmbus-water", {"water_volume": Row(known("active_energy_import"))}, _radio)
PULSES = WordModel("generic/s0-electricity", {"pulses": Row(known("active_energy_import"))}, _radio)


class _Told(Line):
    """A line of which a gateway's file must say more."""

    def __init__(self, driver: str, section: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
        super().__init__(driver)
        self._section, self._entry = section, entry

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name the port, and the rest."""
        return {**super().section(name, address, lines), **self._section}

    def entry(self, device: Device) -> dict[str, Any]:
        """Say what its profile wants to know."""
        del device
        return dict(self._entry)


class _Counter:
    """A counter of the kernel, as a file."""

    def __init__(self, file: Path) -> None:
        self.address = str(file)
        self._file = file
        self._task: asyncio.Task[None] | None = None

    async def plug(self) -> None:
        """Begin to count."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text("0\n", encoding="ascii")
        self._task = asyncio.create_task(self._count())

    async def unplug(self) -> None:
        """End."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def hush(self) -> None:
        """Count on: it only answers."""

    async def _count(self) -> None:
        pulses = 0
        while True:
            await asyncio.sleep(PULSES_S)
            pulses += 1
            beside = self._file.with_suffix(".new")
            beside.write_text(f"{pulses}\n", encoding="ascii")
            beside.replace(self._file)  # a counter of the kernel is never half written


class _S0:
    """A meter whose pulses the kernel counts."""

    speaks = False

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:
        """Put its counter where the agent finds it."""
        del devices
        return _Counter(rig.lines / name)

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name the counter, and where its count is kept."""
        counter = address or str(lines / name)
        return {"driver": "s0", "counter": counter, "counter_bits": COUNTER_BITS, "state_dir": str(lines / "pulses")}

    def entry(self, device: Device) -> dict[str, Any]:
        """Say what a pulse is worth."""
        del device
        return {"parameters": {"pulses_per_kwh": 1000}}


def town(broker: int) -> TownSpec:
    """Return the demo town with one more bus for each protocol that it lacks; `broker`: the port of the town's own."""
    kinds: dict[str, Kind] = {
        "d0": Line("d0"),
        "p1": Line("p1"),
        "nmea": Line("nmea"),
        "line": _Told("line", {}, {"parameters": {"mounting_cm": 412}}),
        "wmbus": _Told("wmbus", {"receiver": "hex"}, {"number": METER_NUMBER}),
        "s0": _S0(),
        "mqtt-json": Mqtt(rig.LOOPBACK, broker),
    }
    models = {"d0": D0, "p1": P1, "nmea": WIND, "line": LEVEL, "wmbus": WATER, "s0": PULSES, "mqtt-json": CAMERA}
    intervals = {"s0": S0_INTERVAL_S}
    devices = tuple(
        Device(f"bench-{bus}", model, "school", bus, interval_s=intervals.get(bus)) for bus, model in models.items()
    )
    gateway: GatewaySpec = DEMO.gateways[0]
    whole = replace(gateway, devices=(*gateway.devices, *devices), kinds={**gateway.kinds, **kinds})
    return replace(DEMO, gateways=(whole,))
