"""Modbus TCP, the client's side: a question out, its answer back. Modbus Messaging on TCP/IP V1.0b, 3.1.3.

Written here and not taken from pymodbus, which costs three times as much a request: a gateway's time goes into this.
An answer is known by its transaction number and its unit; whatever else comes is passed over.
"""

from __future__ import annotations

import asyncio
import struct

HEADER = struct.Struct(">HHHB")
"""Transaction number, protocol (0), length of what follows it, unit."""
QUESTION = struct.Struct(">HHHBBHH")
"""The header; then function code, address, count."""
QUESTION_LENGTH = 6
LEAST_LENGTH, MOST_LENGTH = 2, 254
"""Of unit and PDU together."""


class DamagedReplyError(ConnectionError):
    """A unit on a serial line has begun its answer, and it did not come whole."""


class TcpConnection(asyncio.Protocol):
    """One open connection; one question at a time.

    `number` is the transaction number of the last question: a new connection counts on from it, since a gateway behind
    which serial devices stand may mix connections up.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.connected = False
        """Whether it is open."""
        self._unit = 0
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, host: str, port: int, timeout_s: float, number: int) -> TcpConnection:
        """Connect.

        Raises: OSError (TimeoutError among them) where that fails; UnicodeError for a host name that is none.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            _, connection = await loop.create_connection(lambda: cls(number), host, port)
        return connection

    async def ask(self, unit: int, question: tuple[int, int, int], timeout_s: float) -> bytes:
        """Ask by function code, address and count; returns the answer's PDU, its function code first.

        Raises: OSError (TimeoutError among them) where none comes.
        """
        if not self.connected:
            raise ConnectionResetError("the connection is closed")
        self.number = number = self.number % 0xFFFF + 1
        self._unit = unit
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._answer = answer
        timer = self._loop.call_later(timeout_s, self._fail, TimeoutError())
        self._transport.write(QUESTION.pack(number, 0, QUESTION_LENGTH, unit, *question))
        try:
            return await answer
        finally:
            timer.cancel()
            self._answer = None

    def close(self) -> None:
        """Close the connection at once; what is still to be sent or received is of no use to anybody."""
        self.connected = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection; asyncio calls this."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream, it always is
        self._transport = transport
        self.connected = True

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits; asyncio calls this."""
        self.connected = False
        self._fail(error if isinstance(error, OSError) else ConnectionResetError("closed by the other side"))

    def data_received(self, data: bytes) -> None:
        """Take every whole frame out of what has come; asyncio calls this."""
        data = self._received + data
        while len(data) > HEADER.size:
            number, protocol, length, unit = HEADER.unpack_from(data)
            if protocol != 0 or not LEAST_LENGTH <= length <= MOST_LENGTH:
                data = b""  # no Modbus: nothing says where the next frame begins
                break
            end = HEADER.size - 1 + length
            if len(data) < end:
                break
            answer = self._answer
            if number == self.number and unit == self._unit and answer is not None and not answer.done():
                answer.set_result(data[HEADER.size : end])
            data = data[end:]
        self._received = data

    def _fail(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
