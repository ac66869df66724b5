"""How long a reading keeps a line busy: arithmetic for the desk, from what the driver will ask.

On a serial line every character has its time; what no file knows is how long a device thinks, and there a usual one is
assumed. Errors, probes of parked devices and the search of a SunSpec device at its first reading are left out: they
pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.modbus.config import Endpoint, SerialLine, SerialSettings
from edge.modbus.registers import octets_of

if TYPE_CHECKING:
    from edge.modbus.config import Line
    from edge.modbus.model import Compiled
    from edge.modbus.registers import Request

REPLY_S = 0.05
"""How long a device on a serial line is assumed to think before it answers, the 16 ms that a USB adapter holds back
what it has received (FTDI AN232B-04) included."""
ROUND_TRIP_S = 0.03
"""How long a Modbus TCP device is assumed to take from question to answer."""
START_BIT, DATA_BITS = 1, 8
SILENT_CHARACTERS = 3.5
BITS_OF_SILENCE = 11
LEAST_SILENCE_S = 0.00175
"""Modbus over serial line V1.02, 2.5.1.1: 3.5 characters, above 19200 baud 1.750 ms."""
REQUEST_BYTES = 8
"""Unit, function code, address, count, CRC."""
REPLY_BYTES = 5
"""Unit, function code, byte count, CRC; the values come on top."""
BAUD_RATES = (9600, 19200, 38400, 57600, 115200)
"""What devices can usually be set to."""


def character_s(settings: SerialSettings) -> float:
    """Return how long one character takes: start bit, eight data bits, parity bit where there is one, stop bits."""
    bits = START_BIT + DATA_BITS + (settings.parity != "N") + settings.stop_bits
    return bits / settings.baud_rate


def silence_s(settings: SerialSettings) -> float:
    """Return how long a line must be silent between two frames."""
    return max(LEAST_SILENCE_S, SILENT_CHARACTERS * BITS_OF_SILENCE / settings.baud_rate)


def request_s(settings: SerialSettings, request: Request, turnaround_s: float) -> float:
    """Return how long one request takes on a serial line, from its first character until the next may begin."""
    characters = REQUEST_BYTES + REPLY_BYTES + octets_of(request.function_code, request.count)
    after_each_frame_s = 2 * silence_s(settings)
    return characters * character_s(settings) + after_each_frame_s + REPLY_S + turnaround_s


def reading_s(line: Line, compiled: Compiled) -> float:
    """Estimate how long one reading of a device takes, in seconds.

    A SunSpec device may have any of its profile's models: the one that takes longest counts. Behind a server that
    passes RTU frames through, the line is assumed to be set as the model leaves the factory.
    """
    return max(sum(_cost_s(line, compiled, request) for request in model.requests()) for model in compiled.expected())


def _cost_s(line: Line, compiled: Compiled, request: Request) -> float:
    half = compiled.half
    if isinstance(line, SerialLine):
        return request_s(line.settings, request, half.turnaround_s)
    if line.is_rtu:
        return ROUND_TRIP_S + request_s(half.settings, request, half.turnaround_s)
    return ROUND_TRIP_S + half.turnaround_s


def at_baud_rate(line: Line, baud_rate: int) -> Line:
    """Return the same line at another baud rate."""
    if isinstance(line, Endpoint):
        return line
    settings = SerialSettings(baud_rate, line.settings.parity, line.settings.stop_bits)
    return SerialLine(line.port, settings)
