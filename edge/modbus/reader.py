"""Reads one device: where its values stand, its requests, what it refuses, and what it is."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from base.errors import PermanentError, TransientError
from edge.interface import Measured, ParkedError
from edge.modbus.model import SearchError
from edge.modbus.registers import enclosing, text
from edge.modbus.transport import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.modbus.model import Compiled, Model
    from edge.modbus.registers import Request
    from edge.modbus.transport import Transport

logger = logging.getLogger(__name__)

ILLEGAL_DATA_ADDRESS = 2
ASK_ALL_AGAIN_S = 3600.0
"""What a device refused is asked for again after an hour: it may have been starting, or been updated."""
SEARCH_AGAIN_S = 60.0
"""A search that found nothing may have cost a hundred requests: not with every poll."""


class DeviceReader:
    """Reads one device by its compiled profile; remembers where its values are and which requests it accepts."""

    def __init__(self, name: str, unit: int, compiled: Compiled, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.unit = unit
        self._compiled = compiled
        self._turnaround_s = compiled.half.turnaround_s
        self._clock = clock
        self._search_at_s = 0.0
        self._ask_all_at_s = math.inf
        self._model: Model | None = None
        self._requests: list[Request] = []

    async def read(self, transport: Transport) -> Measured:
        """Read everything the device has.

        A request that it refuses with "illegal data address" is halved until it is accepted; a value that is
        refused alone is not asked for again. What was learned holds until the device shows that it is laid out
        differently now; then everything is learned anew, once.

        Raises: NoAnswerError, TransientError, RefusedError as `Transport.read`; RefusedError where it refuses all;
        PermanentError where it is not what its profile says, and then ParkedError for a while.
        """
        for _ in range(2):
            model = await self._locate(transport)
            try:
                registers, at_s = await self._collect(transport, model)
            except RefusedError:
                if model.landmarks:
                    self._model = None  # perhaps elsewhere now: the next reading searches anew
                raise
            if model.holds(registers):
                values = model.values(registers)
                return Measured(model.readings(values), at_s, model.without_value(values))
            logger.info("device %s is laid out differently now; it is searched anew", self.name)
            self._model = None
        raise TransientError(f"device {self.name} answers the same question differently each time")

    async def identify(self, transport: Transport) -> dict[str, str]:
        """Read what the device says it is: serial number, firmware; nothing where it is not known to say."""
        model = await self._locate(transport)
        registers: dict[tuple[int, int], int] = {}
        for request in model.identity_requests():
            words = await transport.read(self.unit, request, self._turnaround_s)
            registers |= _placed(request, words)
        texts = {
            name: text([registers[span.function_code, address] for address in range(span.address, span.end)])
            for name, span in model.identity.items()
        }
        return {name: found for name, found in texts.items() if found}

    async def _locate(self, transport: Transport) -> Model:
        if self._model is None:
            if self._clock() < self._search_at_s:
                raise ParkedError(f"device {self.name} is not what its profile says; asked more rarely")
            try:
                self._model = await self._search(transport)
            except SearchError as error:
                self._search_at_s = self._clock() + SEARCH_AGAIN_S
                raise PermanentError(f"{transport.line}, unit {self.unit} has {error}") from error
            self._requests = self._model.requests()
        return self._model

    async def _search(self, transport: Transport) -> Model:
        search = self._compiled.locate()
        try:
            request = next(search)
            while True:
                try:
                    words = await transport.read(self.unit, request, self._turnaround_s)
                except RefusedError:
                    request = search.send(None)
                else:
                    request = search.send(words)
        except StopIteration as found:
            model: Model = found.value
            return model

    async def _collect(self, transport: Transport, model: Model) -> tuple[dict[tuple[int, int], int], float]:
        """Read all that the device accepts; returns it with the time of the first question that was answered."""
        if self._clock() >= self._ask_all_at_s:  # what it refused while it started, say, it may have by now
            self._requests, self._ask_all_at_s = model.requests(), math.inf
        registers: dict[tuple[int, int], int] = {}
        at_s: float | None = None
        refusals: list[RefusedError] = []
        accepted: list[Request] = []
        for request in self._requests:
            accepted += await self._read(transport, model, request, registers, refusals)
            if at_s is None and accepted:
                at_s = transport.asked_at_s
        if refusals:
            if not accepted and not model.landmarks:
                raise refusals[0]  # another model, or none: nothing to learn from it
            self._requests = accepted
            self._ask_all_at_s = self._clock() + ASK_ALL_AGAIN_S
        return registers, transport.asked_at_s if at_s is None else at_s

    async def _read(
        self,
        transport: Transport,
        model: Model,
        request: Request,
        registers: dict[tuple[int, int], int],
        refusals: list[RefusedError],
    ) -> list[Request]:
        """Read one request, in parts where it must be; returns the requests that the device accepted."""
        try:
            words = await transport.read(self.unit, request, self._turnaround_s)
        except RefusedError as error:
            if error.code != ILLEGAL_DATA_ADDRESS:
                raise
            refusals.append(error)
            accepted = []
            for part in self._halves(model, request):
                accepted += await self._read(transport, model, part, registers, refusals)
            return accepted
        registers |= _placed(request, words)
        return [request]

    def _halves(self, model: Model, request: Request) -> list[Request]:
        spans = [span for span in model.spans() if span.is_within(request)]
        if len(spans) == 1:
            logger.warning("device %s does not have %s; it is read without for an hour", self.name, spans[0])
            return []
        middle = len(spans) // 2
        return [enclosing(spans[:middle]), enclosing(spans[middle:])]


def _placed(request: Request, words: list[int]) -> dict[tuple[int, int], int]:
    return dict(zip(request.keys(), words, strict=True))
