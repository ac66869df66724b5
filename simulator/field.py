"""Kinds of buses beside Modbus: what hangs on a town's walls and roofs, and how a gateway's file reaches it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from typing import TYPE_CHECKING, Any

from simulator.concentrator import Concentrator
from simulator.heat import HeatModel
from simulator.lorawan import EndDevice
from simulator.mbus import HeatMeter, MbusLine, Plate
from simulator.ports import ended
from simulator.servers import LOOPBACK, free_port
from simulator.stations import Speaker, SpeakingLine
from simulator.words import WordModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simulator.kinds import Rig
    from simulator.servers import Bus
    from simulator.spec import Device

MBUS_BAUD_RATE = 2400
JOIN_AGAIN_S = 2.0
ROOM_PORT = 5
LOST_EACH, TWICE_EACH = 5, 3
"""Of a LoRaWAN device's frames every fifth is lost on the air, and every third is heard twice."""


class _Mbus:
    """Heat meters on a wired M-Bus."""

    speaks = False

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:
        """Put meters on a pseudo-terminal."""
        meters = [self._meter(device, rig) for device in devices]
        return MbusLine(meters, rig.lines / name, baud_rate=MBUS_BAUD_RATE)

    @staticmethod
    def _meter(device: Device, rig: Rig) -> HeatMeter:
        if not isinstance(device.model, HeatModel):
            raise TypeError(f"{device.id} is no heat meter")
        plate = Plate(f"{66_660_000 + device.unit:08d}")
        sector = rig.sectors[device.id]
        return HeatMeter(
            device.id, device.unit, plate, rig.journal, model=device.model, faults=rig.faults, sector=sector
        )

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name the port."""
        del lines
        return {"driver": "mbus", "serial": address or f"/dev/null/{name}", "baud_rate": MBUS_BAUD_RATE}

    def entry(self, device: Device) -> dict[str, Any]:
        """Name the primary address."""
        return {"address": device.unit}


class Line:
    """One device that speaks by itself on a serial port of its own, read by a driver that needs no more than that."""

    speaks = True

    def __init__(self, driver: str) -> None:
        self.driver = driver

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:
        """Put the device on a pseudo-terminal."""
        (device,) = devices
        return SpeakingLine(Speaker(device, words_of(device), rig), rig.lines / name)

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name the port."""
        del lines
        return {"driver": self.driver, "serial": address or f"/dev/null/{name}"}

    def entry(self, device: Device) -> dict[str, Any]:
        """Nothing: it is alone."""
        del device
        return {}


class LorawanSite:
    """A concentrator on the gateway's roof, and the devices that it hears."""

    def __init__(self, speakers: Sequence[Speaker], port: int, keys: Path) -> None:
        self.address = f"{LOOPBACK}:{port}"
        self._port, self._speakers = port, speakers
        self._devices = [(EndDevice(dev_eui(s.device), secrets.token_hex(16)), s) for s in speakers]
        self._keys = keys
        self._task: asyncio.Task[None] | None = None
        self._is_hushed = False

    async def plug(self) -> None:
        """Write the keys down where the agent reads them, and switch everything on."""
        if self._task is not None:
            return
        text = "".join(f"{device.dev_eui}: {{app_key: {device.app_key}}}\n" for device, _ in self._devices)
        with os.fdopen(os.open(self._keys, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        self._task = asyncio.create_task(self._work())

    async def unplug(self) -> None:
        """Take the concentrator off the roof."""
        task, self._task = self._task, None
        await ended(task)

    async def hush(self) -> None:
        """Let no device speak any more."""
        self._is_hushed = True

    async def _work(self) -> None:
        async with Concentrator(LOOPBACK, self._port) as concentrator, asyncio.TaskGroup() as group:
            await concentrator.is_served()
            for device, speaker in self._devices:
                await self._join(concentrator, device)
                group.create_task(speaker.speak(_Radio(concentrator, device).send, lambda: not self._is_hushed))

    async def _join(self, concentrator: Concentrator, device: EndDevice) -> None:
        while not device.has_joined:
            concentrator.push(device.join_request())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(JOIN_AGAIN_S):
                    while not device.take_accept((await concentrator.ordered.get()).phy):
                        pass


class _Radio:
    """What becomes of one device's frames on the air."""

    def __init__(self, concentrator: Concentrator, device: EndDevice) -> None:
        self._concentrator, self._device = concentrator, device

    def send(self, payload: bytes) -> None:
        """Send a payload; before some a frame is lost, some are heard twice."""
        if self._device.f_cnt % LOST_EACH == LOST_EACH - 1:
            self._device.uplink(ROOM_PORT, payload)  # nobody hears it
        frame = self._device.uplink(ROOM_PORT, payload)
        self._concentrator.push(frame)
        if self._device.f_cnt % TWICE_EACH == 0:
            self._concentrator.push(frame)


class _Lorawan:
    """LoRaWAN devices around the gateway's own concentrator."""

    speaks = True

    def bus(self, name: str, devices: Sequence[Device], rig: Rig) -> Bus:
        """Put a concentrator and its devices to work."""
        speakers = [Speaker(device, words_of(device), rig) for device in devices]
        return LorawanSite(speakers, free_port(), keys_of(name, rig.lines))

    def section(self, name: str, address: str | None, lines: Path) -> dict[str, Any]:
        """Name where the concentrator reports, and where keys and sessions are."""
        return {
            "driver": "lorawan_udp",
            "listen": address or f"{LOOPBACK}:1700",
            "keys": str(keys_of(name, lines)),
            "state": str(lines / f"{name}.sqlite"),
        }

    def entry(self, device: Device) -> dict[str, Any]:
        """Name the DevEUI; the devices are near."""
        return {"dev_eui": dev_eui(device), "data_rate": "SF7"}


def keys_of(name: str, lines: Path) -> Path:
    """Where the keys of a LoRaWAN bus lie."""
    return lines / f"{name}-keys.yaml"


def dev_eui(device: Device) -> str:
    """DevEUI of a simulated device."""
    return f"a81758fffe{device.unit:06x}"


def words_of(device: Device) -> WordModel:
    """Return the model of a device that speaks.

    Raises: TypeError where it is none of those.
    """
    if not isinstance(device.model, WordModel):
        raise TypeError(f"{device.id} says no words")
    return device.model


MBUS = _Mbus()
SML = Line("sml")
LORAWAN = _Lorawan()
