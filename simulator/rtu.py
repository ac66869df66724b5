"""A meter on a line of Modbus RTU whose answers the line spoils; frames as Modbus over serial line V1.02 has them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from simulator.devices import now_ms
from simulator.faults import crc16
from simulator.models import SDM630
from simulator.ports import Port
from simulator.spoken import ASKED_S, DEVICE, OnPort

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.ports import Noise

UNIT = 1
BAUD_RATE = 9600
QUESTION_BYTES = 8
ILLEGAL_DATA_ADDRESS = 2


class RtuSubject(OnPort):
    """An electricity meter that is asked for its registers."""

    interval_s = ASKED_S

    def __init__(self, link: Path, noise: Noise) -> None:
        bus = {"driver": "modbus", "profile": SDM630.profile, "baud_rate": BAUD_RATE}
        super().__init__(Port(link, self._hear), noise, bus, {"unit": UNIT})
        self._heard = b""

    async def plug(self) -> None:
        """Put its port in; half a question of before is forgotten."""
        self._heard = b""
        await super().plug()

    def _hear(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= QUESTION_BYTES:
            question = self._heard[:QUESTION_BYTES]
            if crc16(question[:-2]) == struct.unpack("<H", question[-2:])[0]:
                self._heard = self._heard[QUESTION_BYTES:]
                self._answer(*struct.unpack(">BBHH", question[:-2]))
            else:
                self._heard = self._heard[1:]

    def _answer(self, unit: int, function_code: int, address: int, count: int) -> None:
        if (unit, function_code) != (UNIT, SDM630.function_code):
            return
        at_ms = now_ms()
        self.spoken.note({name: SDM630.truth(DEVICE, name, at_ms) for name in SDM630.names})
        at = address - SDM630.first
        words = SDM630.registers(DEVICE, at_ms)[at : at + count]
        if len(words) == count:
            body = struct.pack(f">BBB{count}H", unit, function_code, 2 * count, *words)
        else:
            body = bytes((unit, function_code | 0x80, ILLEGAL_DATA_ADDRESS))
        self.port.send(self.noise.between())
        self.port.send(self.noise.spoil(body + struct.pack("<H", crc16(body))))
