"""A heat meter that sends by radio, and the stick that hears it: telegrams of EN 13757-4, as culfw writes them.

The noise is between the stick and the gateway. culfw leaves the radio's checksums in, of every block one: they protect
this stretch, too.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from simulator.devices import now_ms
from simulator.heat import HEAT_METER
from simulator.mbus import Plate
from simulator.spoken import DEVICE, Speaker, Values

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.ports import Noise

PLATE = Plate("66660002")
SENDS, SHORT_HEAD = 0x44, 0x7A
"""Control field of a meter that sends by itself (SND_NR); what stands before a head of four bytes."""
FIRST_BLOCK, BLOCK = 10, 16
DIVISOR = 0x1_3D65
"""Of the checksum: x16+x13+x12+x11+x10+x8+x6+x5+x2+1."""
QUALITY = b"A53C"
NAMES = tuple(name for name in HEAT_METER.names if name != "temp_difference")


def checksum(block: bytes) -> bytes:
    """The remainder of a block and sixteen zeros by the divisor, every bit turned over, the higher byte first."""
    rest = int.from_bytes(block, "big") << 16
    while rest.bit_length() > 16:
        rest ^= DIVISOR << rest.bit_length() - 17
    return (rest ^ 0xFFFF).to_bytes(2, "big")


def telegram(plate: Plate, access: int, records: bytes) -> bytes:
    """A telegram in the clear, in frame format A: a checksum behind ten bytes, and behind every sixteen that follow."""
    number, kind = plate.written()[:4], plate.written()[6:]
    body = bytes([SENDS]) + plate.written()[4:6] + number + kind + bytes((SHORT_HEAD, access, 0, 0, 0)) + records
    plain = bytes([len(body)]) + body
    starts = [0, *range(FIRST_BLOCK, len(plain), BLOCK), len(plain)]
    blocks = (plain[one:next_] for one, next_ in itertools.pairwise(starts))
    return b"".join(block + checksum(block) for block in blocks)


def culfw(data: bytes) -> bytes:
    """The line that a CUL writes of a telegram in mode T: hexadecimal digits, the quality of reception behind."""
    return b"b" + data.hex().upper().encode() + QUALITY + b"\r\n"


def radio_meter(link: Path, noise: Noise) -> Speaker:
    """A heat meter that sends every half second, and a CUL that hears it."""
    sent: list[bytes] = []

    def measure() -> Values:
        at_ms = now_ms()
        sent.append(b"".join(HEAT_METER.records(DEVICE, at_ms)))
        return {name: HEAT_METER.truth(DEVICE, name, at_ms) for name in NAMES}

    access = 0

    def say(_values: Values) -> bytes:
        nonlocal access
        access = (access + 1) % 256
        return culfw(telegram(PLATE, access, sent.pop()))

    bus = {"driver": "wmbus", "profile": "generic/wmbus-heat", "receiver": "cul", "mode": "T"}
    return Speaker(link, noise, say, bus, measure, device={"number": PLATE.number, "maker": PLATE.maker}, is_told=True)
