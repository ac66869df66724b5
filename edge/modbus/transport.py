"""The one module that touches pymodbus: requests out, registers back, its errors translated.

After a time-out the connection is closed and opened anew before the next request, so that a late reply is
never taken for the answer to another question.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeAlias

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse

from base.errors import PermanentError, TransientError
from edge.modbus.config import Endpoint, SerialLine

if TYPE_CHECKING:
    from edge.modbus.registers import Request

Line: TypeAlias = Endpoint | SerialLine
_Client: TypeAlias = AsyncModbusTcpClient | AsyncModbusSerialClient

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it has to say comes as an exception

QUIET_AFTER_TIMEOUT_S = 0.3
"""A serial line is left alone that long after a time-out: what comes late falls into the void."""

_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
_PASSING = {4, 5, 6, 10, 11}


class Transport:
    """One connection to one line. Not for use by two tasks at once."""

    def __init__(self, line: Line, timeout_s: float) -> None:
        self.line = line
        self._timeout_s = timeout_s
        self._client: _Client | None = None
        self._quiet = False

    async def read(self, unit: int, function_code: int, request: Request) -> list[int]:
        """Read registers by function code 3 or 4.

        Raises: TransientError where there is no answer, PermanentError where the device refuses.
        """
        client = await self._connected()
        call = client.read_holding_registers if function_code == 3 else client.read_input_registers
        where = f"{self.line}, unit {unit}"
        try:
            reply = await call(request.address, count=request.count, device_id=unit)
        except ModbusException as error:
            self._drop()
            raise TransientError(f"{where}: no answer in {self._timeout_s:g} s") from error
        except OSError as error:
            self._drop()
            raise TransientError(f"{where}: {error}") from error
        except asyncio.CancelledError:
            self._drop()
            raise
        if isinstance(reply, ExceptionResponse):
            code = reply.exception_code
            text = (
                f"{where}: {_EXCEPTIONS.get(code, 'exception')} ({code}) on "
                f"registers {request.address} to {request.address + request.count - 1}"
            )
            raise TransientError(text) if code in _PASSING else PermanentError(text)
        if reply.isError() or len(reply.registers) != request.count:
            self._drop()
            raise TransientError(f"{where}: {len(reply.registers)} registers where {request.count} were asked for")
        return list(reply.registers)

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _drop(self) -> None:
        self.close()
        self._quiet = isinstance(self.line, SerialLine)

    async def _connected(self) -> _Client:
        if self._quiet:
            await asyncio.sleep(QUIET_AFTER_TIMEOUT_S)
            self._quiet = False
        if self._client is not None and self._client.connected:
            return self._client
        self.close()
        client = self._make_client()
        try:
            connected = await client.connect()
        except (OSError, ModbusException, ValueError) as error:  # ValueError: pyserial, for an odd baud rate
            client.close()
            raise TransientError(f"{self.line}: {error}") from error
        if not connected:
            client.close()
            raise TransientError(f"{self.line}: cannot be opened")
        self._client = client
        return client

    def _make_client(self) -> _Client:
        # reconnect_delay 0 and retries 0: when to try again is the agent's business
        if isinstance(self.line, Endpoint):
            return AsyncModbusTcpClient(
                self.line.host, port=self.line.port, timeout=self._timeout_s, retries=0, reconnect_delay=0
            )
        settings = self.line.settings
        return AsyncModbusSerialClient(
            self.line.port,
            baudrate=settings.baud_rate,
            parity=settings.parity,
            stopbits=settings.stop_bits,
            timeout=self._timeout_s,
            retries=0,
            reconnect_delay=0,
        )
