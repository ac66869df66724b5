"""One line to its devices: requests out, registers back, errors translated.

`tcp` speaks Modbus TCP, `rtu` whatever carries RTU frames: serial ports and serial servers.

A late reply is never taken for the answer to another question. Modbus TCP numbers its transactions, and after a
time-out the connection is opened anew, and counts on. RTU has no numbers: there a unit that owes a reply is first
asked for a number of registers that it was not asked for since, so that what it owes shows by its length; it answers
in turn, so whatever it owed has come when this answer has. A unit that owed nothing and whose answer came damaged owes
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from typing import TYPE_CHECKING, TypeAlias

from base.errors import PermanentError, TransientError
from edge.interface import NoAnswerError, Traffic
from edge.modbus.budget import silence_s
from edge.modbus.config import Endpoint, Line
from edge.modbus.diagnosis import why_closed
from edge.modbus.registers import Request, octets_of
from edge.modbus.tcp import DamagedReplyError, TcpConnection

if TYPE_CHECKING:
    from edge.modbus.rtu import RtuConnection
_Connection: TypeAlias = "TcpConnection | RtuConnection"


QUIET_AFTER_TIMEOUT_S = 0.3
"""A line is left alone that long after a time-out: what is a little late falls into the void."""
OWED_FOR_S = 60.0
"""Nobody answers later than that."""

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
_PASSING = {4, 5, 6, 10}
NO_ANSWER_BEHIND_GATEWAY = 11


class RefusedError(PermanentError):
    """The device answered with an exception that will not go away; `code` is Modbus' own."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class DamagedAnswerError(TransientError):
    """The device answered, and the line spoiled it."""


class _Debt:
    """What a unit on an RTU line may still answer late: the sizes of the replies that it owes."""

    def __init__(self) -> None:
        self.sizes: set[int] = set()
        self.until_s = 0.0


class Transport:
    """One connection to one line. Not for use by two tasks at once."""

    def __init__(self, line: Line, timeout_s: float) -> None:
        self.line = line
        self._timeout_s = timeout_s
        self._client: _Connection | None = None
        self._last_number = 0
        self._free_at_s = 0.0
        self.asked_at_s = 0.0
        """When the last request was put on the line, on the monotonic clock."""
        self._debts: dict[int, _Debt] = {}
        self._traffic: dict[int, Traffic] = {}
        self._has_numbers = isinstance(line, Endpoint) and not line.is_rtu
        self._silence_s = 0.0 if isinstance(line, Endpoint) else silence_s(line.settings)

    async def read(self, unit: int, request: Request, turnaround_s: float = 0.0) -> list[int]:
        """Read registers by function codes 3 and 4 (words) or bits by 1 and 2 (0 and 1).

        `turnaround_s`: what the device needs after an answer before it hears the next request.

        Raises: NoAnswerError where nobody answers, DamagedAnswerError where the line spoils the answer, TransientError
        where the device cannot now, RefusedError where it never will.
        """
        if unit in self._debts:
            await self._settle(unit, request, turnaround_s)
        return await self._exchange(unit, request, turnaround_s)

    def traffic(self, unit: int) -> Traffic:
        """Return how many requests went to a unit, and how many came to nothing."""
        return self._traffic.get(unit, Traffic())

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        if self._client is not None:
            if isinstance(self._client, TcpConnection):
                self._last_number = self._client.number
            self._client.close()
            self._client = None

    async def _settle(self, unit: int, request: Request, turnaround_s: float) -> None:
        """Let a unit pay what it owes: ask for a size that it does not owe, and throw the answer away."""
        debt = self._debts[unit]
        if time.monotonic() > debt.until_s:
            del self._debts[unit]
            return
        taken = debt.sizes | {_size(request)}
        count = next(count for count in range(1, 126) if octets_of(request.function_code, count) not in taken)
        with contextlib.suppress(RefusedError):  # an exception is an answer too
            await self._exchange(unit, Request(request.function_code, request.address, count), turnaround_s)
        self._debts.pop(unit, None)

    async def _exchange(self, unit: int, request: Request, turnaround_s: float) -> list[int]:
        requests, errors = self.traffic(unit)
        self._traffic[unit] = Traffic(requests + 1, errors)
        try:
            return await self._ask(unit, request, turnaround_s)
        except (NoAnswerError, DamagedAnswerError):
            self._traffic[unit] = Traffic(requests + 1, errors + 1)
            raise

    async def _ask(self, unit: int, request: Request, turnaround_s: float) -> list[int]:
        client = await self._connected()
        wait_s = self._free_at_s - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self.asked_at_s = time.monotonic()
        try:
            question = request.function_code, request.address, request.count
            pdu = await client.ask(unit, question, self._timeout_s)
        except DamagedReplyError as error:
            if unit in self._debts or isinstance(self.line, Endpoint):
                self._unanswered(unit, request)
            self._free_at_s = time.monotonic() + QUIET_AFTER_TIMEOUT_S
            raise DamagedAnswerError(f"{self.line}, unit {unit}: its answer came damaged") from error
        except OSError as error:
            self._unanswered(unit, request)
            raise NoAnswerError(f"{self.line}, unit {unit}: no answer in {self._timeout_s:g} s") from error
        except asyncio.CancelledError:
            self._unanswered(unit, request)
            raise
        self._free_at_s = time.monotonic() + self._silence_s + turnaround_s
        code = _exception(pdu, request)
        if code is not None:
            raise self._refusal(unit, request, code)
        words = _content(pdu, request)
        if words is None:
            self._unanswered(unit, request)
            raise NoAnswerError(f"{self.line}, unit {unit}: an answer to another question")
        return words

    def _unanswered(self, unit: int, request: Request) -> None:
        """Note that a reply may still come, and keep the line quiet for a while."""
        self._free_at_s = time.monotonic() + QUIET_AFTER_TIMEOUT_S
        if isinstance(self.line, Endpoint):
            self.close()
        if not self._has_numbers:
            debt = self._debts.setdefault(unit, _Debt())
            debt.sizes.add(_size(request))
            debt.until_s = time.monotonic() + OWED_FOR_S

    def _refusal(self, unit: int, request: Request, code: int) -> Exception:
        text = f"{self.line}, unit {unit}: {_EXCEPTIONS.get(code, 'exception')} ({code}) on {request}"
        if code == NO_ANSWER_BEHIND_GATEWAY:
            return NoAnswerError(text)
        return TransientError(text) if code in _PASSING else RefusedError(text, code)

    async def _connected(self) -> _Connection:
        if self._client is not None and self._client.connected:
            return self._client
        self.close()
        began_s = time.monotonic()
        client = await self._opened()
        if client is None:
            took_s = time.monotonic() - began_s
            raise NoAnswerError(f"{self.line}: {await why_closed(self.line, self._timeout_s, took_s)}")
        self._client = client
        return client

    async def _opened(self) -> _Connection | None:
        """Open the line; None where that fails."""
        try:
            if isinstance(self.line, Endpoint) and not self.line.is_rtu:
                # a new connection counts on: a gateway behind which serial devices stand may mix connections up
                return await TcpConnection.open(self.line.host, self.line.port, self._timeout_s, self._last_number)
            from edge.modbus.rtu import RtuConnection  # noqa: PLC0415 - pymodbus is loaded when it is first needed

            return await RtuConnection.open(self.line, self._timeout_s)
        except (UnicodeError, OSError):
            return None
        except ValueError as error:  # pyserial, for an odd baud rate
            raise NoAnswerError(f"{self.line}: {error}") from error


def _size(request: Request) -> int:
    return octets_of(request.function_code, request.count)


def _exception(pdu: bytes, request: Request) -> int | None:
    """Return the code of an exception to this request; None where the answer is none."""
    return pdu[1] if len(pdu) == 2 and pdu[0] == request.function_code | 0x80 else None


def _content(pdu: bytes, request: Request) -> list[int] | None:
    """Return what an answer carries; None where it is none to this request."""
    size = _size(request)
    if len(pdu) != 2 + size or pdu[0] != request.function_code or pdu[1] != size:
        return None
    if request.function_code in (1, 2):
        return [pdu[2 + index // 8] >> index % 8 & 1 for index in range(request.count)]
    return list(struct.unpack_from(f">{request.count}H", pdu, 2))
