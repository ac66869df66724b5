"""SunSpec devices for tests: maps made by pysunspec2's encoder, which is not ours, served by pymodbus."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import sunspec2.device
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

MARKER = [0x5375, 0x6E53]
END = [0xFFFF, 0]
VENDOR = [64999, 3, 1, 2, 3]
"""A model that only its maker knows."""
COMMON = {"Mn": "Fronius", "Md": "Smart Meter 63A", "Vr": "1.4", "SN": "16420123"}
METER = {
    "A": -1873, "AphA": -612, "AphB": 631, "AphC": 630, "A_SF": -2,
    "PhVphA": 2301, "PhVphB": 2298, "PhVphC": 2310, "V_SF": -1,
    "Hz": 4998, "Hz_SF": -2,
    "W": -432, "WphA": -144, "WphB": -143, "WphC": -145, "W_SF": 1,
    "VA": 433, "VA_SF": 1, "VAR": -12, "VAR_SF": 0,
    "TotWhExp": 1234567, "TotWhImp": 4000000001, "TotWh_SF": 0,
}  # fmt: skip
METER_READINGS = {
    "voltage/L1": 230.1, "voltage/L2": 229.8, "voltage/L3": 231.0,
    "current/L1": 6.12, "current/L2": 6.31, "current/L3": 6.3,
    "active_power/L1": -1440.0, "active_power/L2": -1430.0, "active_power/L3": -1450.0, "active_power": -4320.0,
    "apparent_power": 4330.0, "reactive_power": -12.0, "frequency": 49.98,
    "active_energy_import": 4000000.001, "active_energy_export": 1234.567,
}  # fmt: skip
FLOAT_METER = {
    "AphA": -0.94, "AphB": 3.363, "AphC": 4.117, "PhVphA": 234.3, "PhVphB": 230.7, "PhVphC": 234.8,
    "Hz": 49.9, "W": 1961.2, "WphA": -210.5, "WphB": 1200.0, "WphC": 971.7, "VA": 2000.5, "VAR": -13.5,
    "TotWhExp": 10444598.0, "TotWhImp": 119.0,
}  # fmt: skip
FLOAT_METER_READINGS = {
    "voltage/L1": 234.3, "voltage/L2": 230.7, "voltage/L3": 234.8,
    "current/L1": 0.94, "current/L2": 3.363, "current/L3": 4.117,
    "active_power/L1": -210.5, "active_power/L2": 1200.0, "active_power/L3": 971.7, "active_power": 1961.2,
    "apparent_power": 2000.5, "reactive_power": -13.5, "frequency": 49.9,
    "active_energy_import": 0.119, "active_energy_export": 10444.598,
}  # fmt: skip
INVERTER = {
    "A": 302, "AphA": 101, "AphB": 100, "AphC": 101, "A_SF": -1, "PhVphA": 2343, "PhVphB": 2307, "PhVphC": 2348,
    "V_SF": -1, "W": 7004, "W_SF": 0, "Hz": 49990, "Hz_SF": -3, "VA": 7010, "VA_SF": 0, "VAr": -250, "VAr_SF": 0,
    "WH": 98765432, "WH_SF": 0,
}  # fmt: skip
INVERTER_READINGS = {
    "voltage/L1": 234.3, "voltage/L2": 230.7, "voltage/L3": 234.8,
    "current/L1": 10.1, "current/L2": 10.0, "current/L3": 10.1,
    "active_power": 7004.0, "apparent_power": 7010.0, "reactive_power": -250.0, "frequency": 49.99,
    "active_energy_export": 98765.432,
}  # fmt: skip


def block(model: int, values: Mapping[str, float | str]) -> list[int]:
    """Encode a model, header and all; a point without a value is "not implemented"."""
    made = sunspec2.device.Model(model)
    for name, point in made.points.items():
        if name not in ("ID", "L"):
            point.value = values.get(name)
    data: bytes = b"".join(point.get_mb() for point in made.points.values())
    words = list(struct.unpack(f">{len(data) // 2}H", data))
    words[:2] = [model, len(words) - 2]
    return words


def chain(*blocks: Sequence[int]) -> list[int]:
    """Put blocks behind the marker and before the end."""
    return [*MARKER, *(word for words in blocks for word in words), *END]


def device(model: int, values: Mapping[str, float | str]) -> list[int]:
    """Encode a whole device: its common model and one more."""
    return chain(block(1, COMMON), block(model, values))


class Server:
    """A device of pymodbus, whose registers may be exchanged; remembers what it was asked."""

    def __init__(self, base: int, words: Sequence[int], most: int = 125) -> None:
        self.words = list(words)
        self.requests: list[tuple[int, int]] = []
        self._base = base
        self._most = most

    async def _answer(
        self,
        _code: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        _values: Any,  # noqa: ANN401
    ) -> ExcCodes | None:
        self.requests.append((address, count))
        offset = address - self._base
        if count > self._most or offset < 0 or offset + count > len(self.words):
            return ExcCodes.ILLEGAL_ADDRESS
        registers[address - start : address - start + count] = self.words[offset : offset + count]
        return None

    @asynccontextmanager
    async def serve(self, unit: int = 1) -> AsyncIterator[int]:
        """Answer on a free TCP port of loopback; yields the port."""
        everywhere = SimData(0, count=0x10000, datatype=DataType.REGISTERS)
        server = ModbusTcpServer([SimDevice(unit, [everywhere], action=self._answer)], address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        try:
            listening: Any = server.transport
            yield int(listening.sockets[0].getsockname()[1])
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call] # pymodbus has no annotation there
