r"""Reads meters that are asked: one line, one meter or several with addresses (IEC 62056-21, modes A to C).

    we     /?!                      300 baud, 7E1; /?12345678! where it has an address
    meter  /LGZ5\2ZMD4054459.B40    its maker, the speed it can go at, its model
    we     06 30 35 30 0D 0A        mode C: yes, at speed 5 (9600), and say your values
    meter  02 ... 21 0D 0A 03 xx    at that speed: the values, and a checksum

Mode B (`A` to `I` for the speed) changes speed by itself, mode A (anything else) keeps it; both wait for no answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from base.errors import TransientError
from edge import stream
from edge.d0 import lines
from edge.d0.parity import raw, raw_line, stripped, with_parity
from edge.interface import Measured, NoAnswerError, Traffic
from edge.metering import Identity
from edge.obis import Map, Meter
from edge.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edge.d0.driver import ReadoutPlan, ReadoutTarget
    from edge.d0.lines import Lines
    from edge.interface import BusPlan
    from edge.stream import LineAddress, LineSettings, Stream

SPEEDS = (300, 600, 1200, 2400, 4800, 9600, 19200)
"""By the digit of mode C; mode B's letters begin with the second."""
_IDENT = re.compile(rb"/([A-Za-z]{3})([0-9A-Z])([^\r\n]*)\r?\n")
MOST_BYTES = 65536
ANSWER_S = 3.0
"""How long a meter may take to begin (1.5 s by the norm), and to pause within its answer."""
REACTION_S = 0.25
"""How long the norm wants everybody to wait before an answer: 0.2 s at least, 1.5 s at most."""
ZEROS, PAUSE_S = 68, 1.6
"""To wake a meter on a battery: 2.3 s of zeros at 300 baud, and a pause."""
STX, ETX = 0x02, 0x03
SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))
"""Translates each byte into what it is without its parity."""


class _Ident(NamedTuple):
    maker: str
    speed: str
    model: str


class ReadoutBus:
    """An open line of meters that are asked."""

    def __init__(self, plan: ReadoutPlan, open_line: Callable[[LineAddress], Awaitable[Stream]] | None = None) -> None:
        """`open_line`: another way to open it, for tests."""
        self._plan = plan
        self._open_line = open_line or stream.open_line
        self._line: Stream | None = None
        self._turns = Turns(plan.devices, _identity)
        self._asked: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    async def read(self, device: str) -> Measured:
        """Read all values of one meter.

        Raises: ParkedError where it has not answered for a while; NoAnswerError where it does not answer;
        TransientError where its answer cannot be read.
        """
        return await self._turns.ask(device, self._read)

    async def _read(self, target: ReadoutTarget, identity: Identity) -> Measured:
        began_s = time.monotonic()
        self._asked[target.id] += 1
        try:
            ident, said = await self._converse(target)
        except TransientError:
            self._failed[target.id] += 1
            raise
        identity.note(said.number)
        mapped = Map(target.half.registers, target.parameters).readings(said.values, Meter(ident.maker.upper()))
        if not mapped.readings:
            why = mapped.why or "none of the profile's values: is it another model's?"
            raise TransientError(f"device {target.id} answers with {why}")
        return Measured(mapped.readings, began_s)

    def traffic(self, device: str) -> Traffic:
        """Return how often a meter was asked, and how often in vain."""
        return Traffic(self._asked[device], self._failed[device])

    def parked_s(self, device: str) -> float | None:
        """Return the seconds until a parked meter is asked again; None where it is not parked."""
        return self._turns.parked_s(device)

    def follow(self, plan: BusPlan) -> None:
        """Go on with another plan of the same line."""
        from edge.d0.driver import ReadoutPlan  # noqa: PLC0415 - which imports this module where a bus is opened

        if not isinstance(plan, ReadoutPlan):
            raise TypeError(f"bus {self._plan.id} cannot go on with a {type(plan).__name__}")
        self._turns.follow(plan.devices, _identity)
        self._plan = plan

    async def close(self) -> None:
        """Close the port."""
        self._drop()

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    async def _converse(self, target: ReadoutTarget) -> tuple[_Ident, Lines]:
        """Ask a meter and hear it out; after an error the line is opened anew."""
        try:
            if self._line is None:
                self._line = await self._open_line(raw_line(self._plan.line))
            async with asyncio.timeout(2 * self._plan.cost_s(target.id) + 4 * ANSWER_S):
                return await _Conversation(self._line, self._plan.settings, target).run(self._plan.fastest)
        except TimeoutError as error:
            self._drop()
            raise TransientError(f"{self._plan.line}: device {target.id} does not come to an end") from error
        except BaseException:
            self._drop()
            raise


class _Conversation:
    """One read-out of one meter."""

    def __init__(self, line: Stream, first: LineSettings, target: ReadoutTarget) -> None:
        self._line, self._first, self._target = line, first, target
        self._heard = bytearray()
        self._is_known = False
        """Whether it has said who it is: then it is there, whatever becomes of its answer."""

    async def run(self, fastest: int) -> tuple[_Ident, Lines]:
        """Ask, agree on a speed, and hear the values.

        Raises: NoAnswerError, TransientError.
        """
        self._line.set(raw(self._first))
        self._line.discard()
        if self._target.half.wake_up:
            await self._line.write(bytes(ZEROS))
            await asyncio.sleep(PAUSE_S)
        await self._say(f"/?{self._target.address}!\r\n".encode("ascii"))
        ident = await self._ident()
        await self._agree(ident, fastest)
        return ident, await self._values()

    async def _say(self, data: bytes) -> None:
        is_even = (self._first.data_bits, self._first.parity) == (7, "E")
        await self._line.write(with_parity(data) if is_even else data)

    async def _more(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                self._heard += await self._line.read()
        except TimeoutError as error:
            if self._is_known:
                raise TransientError(f"the answer of device {self._target.id} breaks off") from error
            raise NoAnswerError(f"no answer from device {self._target.id} in {ANSWER_S:g} s") from error

    async def _ident(self) -> _Ident:
        """Hear who it is; the head's echo of our own question is passed over."""
        while True:
            match = _IDENT.search(self._heard.translate(SEVEN_BITS))
            if match is not None:
                said = stripped(bytes(self._heard[match.start() : match.end()]))
                del self._heard[: match.end()]
                self._is_known = True
                if said is None:
                    raise TransientError(f"device {self._target.id}: its name came with a wrong parity")
                return _Ident(*(group.decode("ascii") for group in match.groups()))
            if len(self._heard) > MOST_BYTES:
                raise TransientError(f"device {self._target.id} does not say who it is")
            await self._more()

    async def _agree(self, ident: _Ident, fastest: int) -> None:
        if ident.speed.isdigit():
            possible = SPEEDS[: int(ident.speed) + 1]
            speed = max(each for each in possible if each <= fastest)
            await asyncio.sleep(REACTION_S)
            await self._say(b"\x060%d0\r\n" % SPEEDS.index(speed))
        elif ident.speed in "ABCDEF":
            speed = SPEEDS["ABCDEF".index(ident.speed) + 1]
        else:
            return
        self._line.set(raw(msgspec.structs.replace(self._first, baud_rate=speed)))

    async def _values(self) -> Lines:
        """Hear the values from STX to ETX and the checksum behind it.

        Raises: TransientError where the checksum is wrong.
        """
        while (found := _block(self._heard)) is None:
            if len(self._heard) > MOST_BYTES:
                raise TransientError(f"device {self._target.id} does not come to an end")
            await self._more()
        plain = stripped(found)
        if plain is None or reduce(xor, plain):
            raise TransientError(f"device {self._target.id}: the checksum of its answer is wrong")
        text = plain[:-2].decode("ascii")
        body = text[: text.rindex("!")] if "!" in text else text
        try:
            return lines.read(body.replace("\r", "").split("\n"), is_proved=True)
        except lines.BadLineError as error:
            raise TransientError(f"device {self._target.id} answers with {error}") from error


def _identity(target: ReadoutTarget) -> Identity:
    return Identity(target.id)


def _block(heard: bytearray) -> bytes | None:
    """Return what follows STX up to ETX and the checksum, as it came; None as long as it is not whole."""
    seven = heard.translate(SEVEN_BITS)
    begin = seven.find(STX)
    end = seven.find(ETX, begin) if begin >= 0 else -1
    if end < 0 or end + 1 >= len(heard):
        return None
    return bytes(heard[begin + 1 : end + 2])
