"""Reads one device: its requests, what it refuses, and what it is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.modbus.registers import enclosing, text
from edge.modbus.transport import RefusedError

if TYPE_CHECKING:
    from edge.modbus.profile import Model
    from edge.modbus.registers import Request
    from edge.modbus.transport import Transport
    from wire.readings import Reading

logger = logging.getLogger(__name__)

ILLEGAL_DATA_ADDRESS = 2


class DeviceReader:
    """Reads one device by its model, and remembers which requests it accepts."""

    def __init__(self, name: str, unit: int, model: Model) -> None:
        self.name = name
        self.unit = unit
        self.model = model
        self._turnaround_s = model.profile.modbus.turnaround_s
        self._requests = model.requests()

    async def read(self, transport: Transport) -> tuple[Reading, ...]:
        """Read everything the device has.

        A request that it refuses with "illegal data address" is halved until it is accepted; a value that is
        refused alone is not asked for again. What was learned holds as long as this reader does.

        Raises: NoAnswerError, TransientError, RefusedError as `Transport.read`; RefusedError where it refuses all.
        """
        registers: dict[tuple[int, int], int] = {}
        refusals: list[RefusedError] = []
        accepted: list[Request] = []
        for request in self._requests:
            accepted += await self._read(transport, request, registers, refusals)
        if refusals:
            if not accepted:
                raise refusals[0]  # another model, or none: nothing to learn from it
            self._requests = accepted
        return self.model.decode(registers)

    async def identify(self, transport: Transport) -> dict[str, str]:
        """Read what the device says it is: serial number, firmware; nothing where its profile names nothing."""
        return {
            name: text(await transport.read(self.unit, request, self._turnaround_s))
            for name, request in self.model.identity().items()
        }

    async def _read(
        self,
        transport: Transport,
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
            return await self._halve(transport, request, registers, refusals)
        for offset, word in enumerate(words):
            registers[request.function_code, request.address + offset] = word
        return [request]

    async def _halve(
        self,
        transport: Transport,
        request: Request,
        registers: dict[tuple[int, int], int],
        refusals: list[RefusedError],
    ) -> list[Request]:
        spans = [span for span in self.model.spans() if span.is_within(request)]
        if len(spans) == 1:
            logger.warning("device %s does not have %s; it is read without from now on", self.name, spans[0])
            return []
        middle = len(spans) // 2
        accepted = []
        for part in (spans[:middle], spans[middle:]):
            accepted += await self._read(transport, enclosing(part), registers, refusals)
        return accepted
