"""Modbus RTU frames, on a serial port or through a serial server. The one module that touches pymodbus."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, TypeAlias

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException, ModbusIOException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse

from edge.modbus.config import Endpoint, SerialLine
from edge.modbus.registers import octets_of
from edge.modbus.tcp import DamagedReplyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_Client: TypeAlias = AsyncModbusTcpClient | AsyncModbusSerialClient

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it has to say comes as an exception


class RtuConnection:
    """One open line; one question at a time."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._ear = _Ear(client)

    @classmethod
    async def open(cls, line: Endpoint | SerialLine, timeout_s: float) -> RtuConnection:
        """Open the line.

        Raises: OSError where that fails; ValueError (UnicodeError among them) for a host name that is none, or an odd
        baud rate.
        """
        client = _client(line, timeout_s)
        for strict in (_HoldingReply, _InputReply):
            client.register(strict)
        connection = cls(client)
        is_open = False
        try:
            is_open = await client.connect()
        except ModbusException as error:
            raise ConnectionError(str(error)) from error
        finally:
            if not is_open:
                client.close()
        if not is_open:
            raise ConnectionError(f"{line} cannot be opened")
        return connection

    @property
    def connected(self) -> bool:
        """Whether it is open."""
        return bool(self._client.connected)

    async def ask(self, unit: int, question: tuple[int, int, int], _timeout_s: float) -> bytes:
        """Ask by function code, address and count; returns the answer's PDU, its function code first.

        The time-out is the one that it was opened with.

        Raises: DamagedReplyError where an answer begins and does not come whole; OSError where none comes.
        """
        function_code, address, count = question
        self._ear.expect(bytes((unit, function_code, octets_of(function_code, count))))
        try:
            reply = await _call(self._client, function_code)(address, count=count, device_id=unit)
        except ModbusException as error:
            kind = DamagedReplyError if self._ear.has_heard else ConnectionError
            raise kind(str(error)) from error
        if isinstance(reply, ExceptionResponse):
            return bytes([reply.function_code | 0x80, reply.exception_code])
        return bytes([reply.function_code]) + reply.encode()

    def close(self) -> None:
        """Close the line."""
        self._client.close()


def _client(line: Endpoint | SerialLine, timeout_s: float) -> _Client:
    # reconnect_delay 0 and retries 0: when to try again is not pymodbus' business
    if isinstance(line, Endpoint):
        return AsyncModbusTcpClient(
            line.host,
            port=line.port,
            framer=FramerType.RTU,
            timeout=timeout_s,
            retries=0,
            reconnect_delay=0,
        )
    settings = line.settings
    return AsyncModbusSerialClient(
        line.port,
        baudrate=settings.baud_rate,
        parity=settings.parity,
        stopbits=settings.stop_bits,
        timeout=timeout_s,
        retries=0,
        reconnect_delay=0,
    )


class _HoldingReply(ReadHoldingRegistersResponse):
    """A reply whose byte count must be that of whole registers, and of what came; pymodbus drops an odd byte."""

    def decode(self, data: bytes) -> None:
        """Read the registers. Raises: ModbusIOException for a count that does not fit."""
        if data[0] % 2 or data[0] != len(data) - 1:
            raise ModbusIOException(f"byte count {data[0]} before {len(data) - 1} bytes")
        super().decode(data)


class _InputReply(_HoldingReply):
    """As `_HoldingReply`, for function code 4."""

    function_code = 4


class _Ear:
    """Hears all that comes before pymodbus does.

    A frame that pymodbus cannot decode is treated as noise: left alone it ends the connection with a trace.
    """

    def __init__(self, client: _Client) -> None:
        self._expected = b""
        self.has_heard = False
        """Whether the answer began: unit, function code and byte count came, though perhaps no more."""
        self._decode = client.ctx.callback_data
        client.ctx.callback_data = self._hear  # type: ignore[method-assign] # pymodbus offers no other place

    def expect(self, beginning: bytes) -> None:
        """Listen for an answer."""
        self._expected, self.has_heard = beginning, False

    def _hear(self, data: bytes, addr: tuple[str, int] | None = None) -> int:
        self.has_heard = self.has_heard or self._expected in data
        try:
            return self._decode(data, addr)
        except (ModbusException, struct.error, IndexError):
            return len(data)


def _call(client: _Client, function_code: int) -> Callable[..., Awaitable[ModbusPDU]]:
    return {
        1: client.read_coils,
        2: client.read_discrete_inputs,
        3: client.read_holding_registers,
        4: client.read_input_registers,
    }[function_code]
